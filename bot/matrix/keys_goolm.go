//go:build goolm

package matrix

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
	_ "modernc.org/sqlite" // the driver

	"github.com/jarvisops/jarvis/internal/plain"
)

// errKeysGone is of a device whose keys at the server are not ours: it cannot go on.
var errKeysGone = errors.New("the homeserver has other keys of our device than we have; I come back as a new one")

// olmKeys is a cipher on mautrix's Olm machine, whose keys are in a file of their own.
type olmKeys struct {
	c    *mautrix.Client
	m    *crypto.OlmMachine
	db   *dbutil.Database
	stop context.CancelFunc
}

// openKeys opens the keys of our device, and makes them for a new one.
func (f *Frontend) openKeys(ctx context.Context, s *session) (cipher, error) {
	if f.keep.folder == "" {
		return nil, nil
	}
	have := f.keep.get()
	file := filepath.Join(f.keep.folder, "keys.db")
	if len(have.Pickle) == 0 {
		have.Pickle = make([]byte, 32)
		_, _ = rand.Read(have.Pickle)
		if err := f.keep.set(func(k *kept) { k.Pickle = have.Pickle }); err != nil {
			return nil, fmt.Errorf("keep the keys of encrypted rooms: %w", err)
		}
		if err := removeDB(file); err != nil { // sealed by another
			return nil, fmt.Errorf("keep the keys of encrypted rooms: %w", err)
		}
	}
	if err := touch(file); err != nil {
		return nil, fmt.Errorf("keep the keys of encrypted rooms: %w", err)
	}
	raw, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	raw.SetMaxOpenConns(1)
	db, err := dbutil.NewWithDB(raw, "sqlite3")
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	store := crypto.NewSQLCryptoStore(db, nil, f.cfg.User, s.c.DeviceID, have.Pickle)
	back, stop := context.WithCancel(ctx)
	k := &olmKeys{c: s.c, db: db, stop: stop}
	fail := func(err error) (cipher, error) {
		k.close()
		return nil, fmt.Errorf("open the keys of encrypted rooms: %w", err)
	}
	if err := store.DB.Upgrade(ctx); err != nil {
		return fail(err)
	}
	states, ok := s.c.StateStore.(crypto.StateStore)
	if !ok {
		return fail(errors.New("the library's store of rooms has no encryption"))
	}
	k.m = crypto.NewOlmMachine(s.c, nil, store, states)
	k.m.SetBackgroundCtx(back)
	k.m.AllowKeyShare = func(context.Context, *id.Device, event.RequestedKeyInfo) *crypto.KeyShareRejection {
		return &crypto.KeyShareRejectUnavailable // we keep no keys for others
	}
	if err := k.m.Load(ctx); err != nil {
		return fail(err)
	}
	switch err := k.announce(ctx); {
	case errors.Is(err, errKeysGone):
		k.close()
		if err := errors.Join(removeDB(file), f.keep.set(func(x *kept) { x.Token, x.Device = "", "" })); err != nil {
			return nil, err
		}
		s.logout(context.WithoutCancel(ctx))
		return nil, errKeysGone
	case err != nil:
		return fail(err)
	}
	return k, nil
}

// announce makes sure that the server has the keys of our device, and no others.
func (k *olmKeys) announce(ctx context.Context) error {
	rctx, done := timed(ctx)
	defer done()
	res, err := k.c.QueryKeys(rctx, &mautrix.ReqQueryKeys{DeviceKeys: map[id.UserID]mautrix.DeviceIDList{k.c.UserID: {k.c.DeviceID}}})
	if err != nil {
		return short(err)
	}
	device, there := res.DeviceKeys[k.c.UserID][k.c.DeviceID]
	there = there && len(device.Keys) > 0
	shared := k.m.GetAccount().Shared
	switch {
	case there != shared, there && device.Keys.GetEd25519(k.c.DeviceID) != k.m.OwnIdentity().SigningKey:
		return errKeysGone
	case there:
		return nil
	}
	if err := k.m.ShareKeys(rctx, -1); err != nil {
		return short(err)
	}
	return nil
}

func (k *olmKeys) sync(ctx context.Context, res *mautrix.RespSync, since string) {
	k.m.ProcessSyncResponse(ctx, res, since)
}

func (k *olmKeys) member(ctx context.Context, e *event.Event) { k.m.HandleMemberEvent(ctx, e) }

func (k *olmKeys) open(ctx context.Context, e *event.Event) (*event.Event, error) {
	e.Type.Class = event.MessageEventType
	if err := e.Content.ParseRaw(e.Type); err != nil && !errors.Is(err, event.ErrContentAlreadyParsed) {
		return nil, fmt.Errorf("it is not what it says: %s", plain.Line(err.Error()))
	}
	out, err := k.m.DecryptMegolmEvent(ctx, e)
	if errors.Is(err, crypto.ErrNoSessionFound) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, errors.New(plain.Line(err.Error()))
	}
	return out, nil
}

// seal makes a key for the room and shares it with its members where there is none, or the old one has expired.
func (k *olmKeys) seal(ctx context.Context, room id.RoomID, content any) (any, error) {
	out, err := k.m.EncryptMegolmEvent(ctx, room, event.EventMessage, content)
	if err == nil {
		return out, nil
	}
	if !errors.Is(err, crypto.ErrSessionExpired) && !errors.Is(err, crypto.ErrNoGroupSession) && !errors.Is(err, crypto.ErrSessionNotShared) {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	users, err := k.c.StateStore.GetRoomJoinedOrInvitedMembers(ctx, room)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if err := k.m.ShareGroupSession(ctx, room, users); err != nil {
		return nil, fmt.Errorf("share a key: %w", err)
	}
	return k.m.EncryptMegolmEvent(ctx, room, event.EventMessage, content)
}

func (k *olmKeys) close() {
	k.stop()
	if k.m != nil {
		k.m.Destroy()
	}
	_ = k.db.Close()
}

// touch makes a file that only we can read.
func touch(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// removeDB deletes SQLite's log as well: one that stayed would be played into the next database of that name.
func removeDB(file string) error {
	for _, tail := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(file + tail); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
