package remote_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"testing"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// token is an agent with one FIDO key, which it touches by itself: what an agent with a real token answers
// (PROTOCOL.u2f of OpenSSH), made without one.
type token struct {
	agent.Agent // what we do not need is refused by the keyring below
	private     ed25519.PrivateKey
	public      gossh.PublicKey
	counter     uint32
}

const fidoType, fidoApplication = "sk-ssh-ed25519@openssh.com", "ssh:"

func newToken(t *testing.T) *token {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := gossh.ParsePublicKey(gossh.Marshal(struct{ Type, Key, Application string }{fidoType, string(pub), fidoApplication}))
	if err != nil {
		t.Fatal(err)
	}
	return &token{Agent: agent.NewKeyring(), private: priv, public: k}
}

func (f *token) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: fidoType, Blob: f.public.Marshal(), Comment: "token"}}, nil
}

func (f *token) Sign(key gossh.PublicKey, data []byte) (*gossh.Signature, error) {
	if string(key.Marshal()) != string(f.public.Marshal()) {
		return nil, errors.New("another key")
	}
	f.counter++
	const touched = 1
	rest := binary.BigEndian.AppendUint32([]byte{touched}, f.counter)
	app, msg := sha256.Sum256([]byte(fidoApplication)), sha256.Sum256(data)
	signed := append(append(app[:], rest...), msg[:]...)
	return &gossh.Signature{Format: fidoType, Blob: ed25519.Sign(f.private, signed), Rest: rest}, nil
}

// TestFIDOKeysThroughAnAgent logs in to a real OpenSSH with a key whose private half is in a token.
func TestFIDOKeysThroughAnAgent(t *testing.T) {
	d := newDesk(t, "127.82.0.13:22")
	f := newToken(t)
	d.write("id_sk.pub", string(gossh.MarshalAuthorizedKey(f.public)))
	d.authorize("id_sk.pub")
	sock := filepath.Join(t.TempDir(), "token.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(f, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	t.Setenv("SSH_AUTH_SOCK", sock)
	for _, config := range []string{"", " IdentityFile DIR/id_sk\n IdentitiesOnly yes\n"} {
		if err := d.login("Host web\n HostName ADDR\n User root\n"+config, "web", nil); err != nil {
			t.Errorf("%q: %v", config, err)
		}
	}
	if f.counter != 2 {
		t.Errorf("the token signed %d times, want 2", f.counter)
	}
}
