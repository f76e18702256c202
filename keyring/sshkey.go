package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// ErrOther says that a node's SSH key is not the one of the database.
var ErrOther = errors.New("the SSH key is another one")

// otherKey says it in words for a person.
type otherKey string

func (e otherKey) Error() string        { return string(e) }
func (e otherKey) Is(target error) bool { return target == ErrOther }

// SSHKey is Jarvis's own key as a node has it.
type SSHKey struct {
	DB      *store.DB
	Seal    *clipboard.Key
	File    string
	Comment string
	Log     *slog.Logger
}

// next is the file of a key that is to take the place of the one in the database: File with this at its end.
const next = ".new"

// ofFile is a key that was read from a file.
type ofFile struct {
	text   []byte
	public string
}

// Settle has the file and the database hold the same key. The first node's counts, or one is made; a node without the
// file gets it; a file with a former key gets the one of today. A key in File.new takes the place of all. The error is
// ErrOther when the file holds a key that the database never had. Nodes that do this at once agree.
func (k SSHKey) Settle(ctx context.Context) error {
	fresh, err := readSSHKey(k.File + next)
	switch {
	case err == nil:
		return k.change(ctx, fresh)
	case !errors.Is(err, fs.ErrNotExist):
		return otherKey(fmt.Sprintf("%s, which is to be Jarvis's new SSH key, cannot be used (%v): put a key there that can, or remove it", k.File+next, err))
	}
	mine, err := readSSHKey(k.File)
	none := errors.Is(err, fs.ErrNotExist)
	if bad := err; bad != nil && !none {
		var there string
		if there, err = current(ctx, k.DB); err != nil {
			return err
		}
		if there == "" {
			return nil // the worker that uses the file says what is wrong with it
		}
		return otherKey(fmt.Sprintf("%s cannot be used (%v), and the database has Jarvis's SSH key (%s): remove that file, and the next start writes it from the database", k.File, bad, fingerprint(there)))
	}
	offer := mine
	if none {
		if err := os.MkdirAll(filepath.Dir(k.File), 0o700); err != nil {
			return fmt.Errorf("write the SSH key: %w", err)
		}
		text, err := remote.NewKey(k.Comment)
		if err != nil {
			return err
		}
		if offer, err = parseSSHKey(text); err != nil {
			return err
		}
	}
	sealed, err := k.Seal.Seal(string(offer.text))
	if err != nil {
		return err
	}
	var public, holds string
	var former, added bool
	err = k.DB.Write(ctx, func(tx store.Tx) (err error) {
		added = false
		if _, err := takeTurn(ctx, tx); err != nil {
			return err
		}
		if public, holds, err = read(ctx, tx); err != nil {
			return err
		}
		if former, err = once(ctx, tx, offer.public); err != nil {
			return err
		}
		if public == "" {
			public, holds, added = offer.public, sealed, true
			return put(ctx, tx, public, sealed)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep the SSH key in the database: %w", err)
	}
	switch {
	case !none && public == mine.public:
		return nil
	case !none && !former:
		return otherKey(fmt.Sprintf("%s (%s) is another SSH key than the one in the database (%s), which hosts let in: remove the file to have that one written there, or rename it to %s if it is to take its place on all nodes",
			k.File, fingerprint(mine.public), fingerprint(public), k.File+next))
	}
	text := string(offer.text)
	if !added {
		if text, err = k.Seal.Open(holds); err != nil {
			return fmt.Errorf("open the SSH key of the database: %w", err)
		}
	}
	if err := remote.PutKey(k.File, []byte(text), k.Comment, !none); err != nil {
		return err
	}
	if !added {
		k.Log.Info("the SSH key was written from the database", "file", k.File, "key", fingerprint(public), "in_place_of_a_former_one", former)
	}
	return nil
}

// change makes a key that of all nodes. Broken off, it goes on at the next start: the file is removed last.
func (k SSHKey) change(ctx context.Context, fresh ofFile) error {
	sealed, err := k.Seal.Seal(string(fresh.text))
	if err != nil {
		return err
	}
	err = k.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := takeTurn(ctx, tx); err != nil {
			return err
		}
		if public, err := current(ctx, tx); err != nil || public == fresh.public {
			return err
		}
		return put(ctx, tx, fresh.public, sealed)
	})
	if err != nil {
		return fmt.Errorf("keep the new SSH key in the database: %w", err)
	}
	if err := remote.PutKey(k.File, fresh.text, k.Comment, true); err != nil {
		return err
	}
	k.Log.Info("there is a new SSH key; other nodes have it after their next start", "file", k.File, "key", fingerprint(fresh.public))
	return os.Remove(k.File + next)
}

func readSSHKey(file string) (ofFile, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return ofFile{}, err
	}
	return parseSSHKey(text)
}

// parseSSHKey reads a private key without a passphrase. Its errors hold nothing of the text.
func parseSSHKey(text []byte) (ofFile, error) {
	s, err := gossh.ParsePrivateKey(text)
	var locked *gossh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return ofFile{}, errors.New("it has a passphrase, which a server cannot type")
	case err != nil:
		return ofFile{}, errors.New("it is no SSH private key")
	}
	return ofFile{text, strings.TrimSpace(string(gossh.MarshalAuthorizedKey(s.PublicKey())))}, nil
}

// fingerprint gives the line itself when it is no key.
func fingerprint(public string) string {
	k, _, _, _, err := gossh.ParseAuthorizedKey([]byte(public))
	if err != nil {
		return public
	}
	return gossh.FingerprintSHA256(k)
}

// current gives the public half of the key in the database; "" when there is none.
func current(ctx context.Context, q store.Querier) (string, error) {
	public, _, err := read(ctx, q)
	return public, err
}

// read gives both halves of the key that counts, the private one sealed; "" twice when there is none.
func read(ctx context.Context, q store.Querier) (public, sealed string, err error) {
	err = q.QueryRow(ctx, "SELECT public, sealed FROM ssh_keys WHERE ended = 0").Scan(&public, &sealed)
	if errors.Is(err, store.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read the SSH key of the database: %w", err)
	}
	return public, sealed, nil
}

// once reports whether a key was the one of the database before.
func once(ctx context.Context, q store.Querier, public string) (was bool, err error) {
	err = q.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM ssh_keys WHERE public = ? AND ended <> 0)", public).Scan(&was)
	return was, err
}

// put makes a key the one of the database. Of the one before it only the public half stays: nobody is to use it again.
func put(ctx context.Context, tx store.Tx, public, sealed string) error {
	now := time.Now().UnixMilli()
	if _, err := tx.Exec(ctx, "UPDATE ssh_keys SET ended = ?, sealed = '' WHERE ended = 0", now); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM ssh_keys WHERE public = ?", public); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO ssh_keys (public, sealed, since, ended) VALUES (?, ?, ?, 0)", public, sealed, now)
	return err
}
