//go:build goolm

package matrix_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/lab/real"
)

// sealedPerson is somebody with a client that knows encryption.
type sealedPerson struct {
	c   *mautrix.Client
	m   *crypto.OlmMachine
	mu  sync.Mutex
	saw []string
}

func sealedAlice(t *testing.T, s *real.Dendrite) *sealedPerson {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(s.CA))(t))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	c := must(mautrix.NewClient(s.URL, "", ""))(t)
	c.Client, c.Log, c.StateStore = &http.Client{Transport: tr}, zerolog.Nop(), mautrix.NewMemoryStateStore()
	ctx, cancel := context.WithCancel(context.Background())
	must(c.Login(ctx, &mautrix.ReqLogin{Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: "alice"}, Password: "pw-alice-lab", StoreCredentials: true}))(t)
	p := &sealedPerson{c: c, m: crypto.NewOlmMachine(c, nil, crypto.NewMemoryStore(nil), c.StateStore.(crypto.StateStore))}
	if err := p.m.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.m.ShareKeys(ctx, -1); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); p.listen(ctx) }()
	t.Cleanup(func() { cancel(); <-done; tr.CloseIdleConnections() })
	return p
}

func (p *sealedPerson) listen(ctx context.Context) {
	since := ""
	for ctx.Err() == nil {
		res, err := p.c.FullSyncRequest(ctx, mautrix.ReqSync{Timeout: 5000, Since: since})
		if err != nil {
			continue
		}
		p.m.ProcessSyncResponse(ctx, res, since)
		since = res.NextBatch
		for rid, j := range res.Rooms.Join {
			for _, e := range append(j.State.Events, j.Timeline.Events...) {
				e.RoomID = rid
				if e.StateKey != nil {
					e.Type.Class = event.StateEventType
				}
				_ = e.Content.ParseRaw(e.Type)
				mautrix.UpdateStateStore(ctx, p.c.StateStore, e)
				line := ""
				switch e.Type.Type {
				case "m.room.member":
					p.m.HandleMemberEvent(ctx, e)
					line = "* " + *e.StateKey + " " + string(e.Content.AsMember().Membership)
				case "m.room.message":
					line = "IN CLEAR " + e.Content.AsMessage().Body
				case "m.room.encrypted":
					if d, err := p.m.DecryptMegolmEvent(ctx, e); err != nil {
						line = "UNREADABLE " + err.Error()
					} else {
						line = fmt.Sprintf("%s %s: %s", d.Sender, d.Content.AsMessage().MsgType, d.Content.AsMessage().Body)
					}
				}
				p.mu.Lock()
				p.saw = append(p.saw, line)
				p.mu.Unlock()
			}
		}
	}
}

func (p *sealedPerson) wait(t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var saw []string
	for end := time.Now().Add(real.Patience(waiting)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		p.mu.Lock()
		saw = append(saw[:0], p.saw...)
		p.mu.Unlock()
		for _, l := range saw {
			if re.MatchString(l) {
				return
			}
		}
	}
	t.Fatalf("alice saw no %s in %q", pattern, saw)
}

// seal makes an event's content for all who are in the room.
func (p *sealedPerson) seal(t *testing.T, room id.RoomID, text string) *event.EncryptedEventContent {
	t.Helper()
	ctx := t.Context()
	msg := &event.MessageEventContent{MsgType: event.MsgText, Body: text}
	out, err := p.m.EncryptMegolmEvent(ctx, room, event.EventMessage, msg)
	if err != nil {
		users := must(p.c.StateStore.GetRoomJoinedOrInvitedMembers(ctx, room))(t)
		// Dendrite answers 500 to who asks for one-time keys while they are being brought.
		until(t, "alice shares her key", func() bool { err = p.m.ShareGroupSession(ctx, room, users); return err == nil })
		out = must(p.m.EncryptMegolmEvent(ctx, room, event.EventMessage, msg))(t)
	}
	return out
}

func (p *sealedPerson) say(t *testing.T, room id.RoomID, text string) {
	t.Helper()
	must(p.c.SendMessageEvent(t.Context(), room, event.EventEncrypted, p.seal(t, room, text)))(t)
}

func (p *sealedPerson) room(t *testing.T, alias string, direct bool) id.RoomID {
	t.Helper()
	enc := event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1}
	res := must(p.c.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{Preset: "private_chat", RoomAliasName: alias, IsDirect: direct, Invite: []id.UserID{me},
		InitialState: []*event.Event{{Type: event.StateEncryption, Content: event.Content{Parsed: &enc}}}}))(t)
	return res.RoomID
}

// In an encrypted room, and in an encrypted word in private, all is as elsewhere; after a restart, too.
func TestEncryptedRooms(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := sealedAlice(t, s)
	room, direct := alice.room(t, "ops", false), alice.room(t, "", true)
	cfg := config(t, s)
	h := newHeard()
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	alice.wait(t, `^\* `+me+" join$")
	until(t, "both rooms", func() bool {
		for _, r := range []id.RoomID{room, direct} {
			if !alice.c.StateStore.IsInRoom(t.Context(), r, me) {
				return false
			}
		}
		return true
	})
	alice.say(t, room, "jarvis: status")
	h.wait(t, "jarvis: status")
	alice.say(t, direct, "whoami")
	got := h.wait(t, "whoami")
	want := []bot.Message{
		{Nick: "alice", Account: alices, Place: ops, Direct: alices, Text: "jarvis: status"},
		{Nick: "alice", Account: alices, Place: direct.String(), Direct: direct.String(), Private: true, Text: "whoami"},
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("heard %+v, want %+v", got, want)
		}
	}
	// What an event is to another stands outside of what is encrypted, in most clients.
	first := must(alice.c.SendMessageEvent(t.Context(), room, event.EventEncrypted, alice.seal(t, room, "jarvis: first")))(t).EventID
	send := func(text string, relation *event.RelatesTo, edit bool) {
		t.Helper()
		msg := map[string]any{"msgtype": "m.text", "body": text}
		if edit {
			msg["m.new_content"] = map[string]any{"msgtype": "m.text", "body": text}
		}
		sealed := must(alice.m.EncryptMegolmEvent(t.Context(), room, event.EventMessage, msg))(t)
		sealed.RelatesTo = relation
		must(alice.c.SendMessageEvent(t.Context(), room, event.EventEncrypted, sealed))(t)
	}
	send("jarvis: edited", &event.RelatesTo{Type: event.RelReplace, EventID: first}, true)
	send("jarvis: in a thread", &event.RelatesTo{Type: event.RelThread, EventID: first}, false)
	list := h.wait(t, "jarvis: in a thread")
	if n := len(list); list[n-1].Place != ops+" "+first.String() || !list[n-2].Corrected || list[n-2].Text != "jarvis: edited" {
		t.Errorf("heard %+v", list)
	}
	if err := deliver(t, f, ops, "loki is ready"); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, f, direct.String(), "in private"); err != nil {
		t.Fatal(err)
	}
	alice.wait(t, "^"+me+" m.notice: loki is ready$")
	alice.wait(t, "^"+me+" m.notice: in private$")
	f.stop()

	alice.say(t, room, "jarvis: while away")
	h = newHeard()
	f = link(t, cfg, h.in)
	until(t, "a link", f.Up)
	alice.say(t, room, "jarvis: now again")
	got = h.wait(t, "jarvis: now again")
	if len(got) != 2 || got[0].Text != "jarvis: while away" || got[0].Past == 0 || got[1].Past != 0 {
		t.Errorf("heard %+v", got)
	}
	if err := deliver(t, f, ops, "thor is ready"); err != nil {
		t.Fatal(err)
	}
	alice.wait(t, "^"+me+" m.notice: thor is ready$")
	alice.mu.Lock()
	defer alice.mu.Unlock()
	for _, l := range alice.saw {
		if strings.HasPrefix(l, "IN CLEAR") {
			t.Errorf("%q", l)
		}
	}
	for _, name := range []string{"state.json", "keys.db"} {
		st := must(os.Stat(filepath.Join(cfg.State, "@jarvis:"+real.MatrixServer, name)))(t)
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %s", name, st.Mode())
		}
	}
}

// A message whose key comes after it is heard when the key is there.
func TestAKeyThatComesLate(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := sealedAlice(t, s)
	room := alice.room(t, "ops", false)
	h := newHeard()
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	alice.wait(t, `^\* `+me+" join$")
	var kept json.RawMessage
	told := false // of the message, without its key
	b.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if !isSync(r) {
			return false
		}
		if told {
			q := r.URL.Query()
			q.Set("timeout", "0")
			r.URL.RawQuery = q.Encode()
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		var body map[string]json.RawMessage
		if json.Unmarshal(rec.Body.Bytes(), &body) != nil {
			w.WriteHeader(rec.Code)
			return true
		}
		switch {
		case told:
			if kept != nil {
				body["to_device"], kept = kept, nil
			}
		case strings.Contains(string(body["to_device"]), "m.olm.v1"):
			kept = body["to_device"]
			delete(body, "to_device")
		}
		told = told || kept != nil && strings.Contains(string(body["rooms"]), "m.room.encrypted")
		_ = json.NewEncoder(w).Encode(body)
		return true
	})
	if err := deliver(t, f, ops, "in between"); err != nil { // ends the poll that began before
		t.Fatal(err)
	}
	alice.say(t, room, "jarvis: status")
	if m := h.wait(t, "jarvis: status"); m[len(m)-1].Past != 0 || !told {
		t.Errorf("heard %+v, without a late key: %v", m, !told)
	}
}

// A device whose keys are gone comes back as a new one, and says so.
func TestKeysThatAreGone(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := sealedAlice(t, s)
	room := alice.room(t, "ops", false)
	cfg := config(t, s)
	f := link(t, cfg, nil)
	until(t, "a link", f.Up)
	alice.wait(t, `^\* `+me+" join$")
	f.stop()
	folder := filepath.Join(cfg.State, "@jarvis:"+real.MatrixServer)
	for _, tail := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(filepath.Join(folder, "keys.db"+tail))
	}
	h := newHeard()
	f = link(t, cfg, h.in)
	f.until(t, "I come back as a new one")
	until(t, "a link", f.Up)
	alice.say(t, room, "jarvis: status")
	h.wait(t, "jarvis: status")
}
