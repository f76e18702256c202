package ssh_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/ssh"
)

// TestALoginThatIsNotRoot: cloud-init makes the user that the clipboard, or the configuration, names; every step logs
// in as that user, on the port that is named, and what it runs there runs as root.
func TestALoginThatIsNotRoot(t *testing.T) {
	for i, c := range []struct{ name, lines, conf string }{
		{"the clipboard's", "  login: {user: admin, port: 2222}\n", ""},
		{"the configuration's", "  login: {port: 2222}\n", "deploy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, err := ssh.New(ssh.Config{User: c.conf, Management: map[string]ssh.Management{"script": {Install: "id -un > /root/who", Run: "id -un; id -u"}}, Default: "script"}, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			public, private := hostKey(t)
			addr := fmt.Sprintf("127.82.1.%d", i+1)
			cb, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.example.org\n  ipaddress: " + addr + "\n  hostkey_first: " + public + "\n  jarvis_pubkey: " + w.PublicKey() + "\n" + c.lines))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range map[string]string{"hostkey_private": private, "root_password_hash": "$2a$10$abcdefghijklmnopqrstuuu3ZpBfO6lZ6M9QJ0c5c1kDq9kJ8y2eG"} {
				if err := cb.SetSecret(k, clipboard.Secret(v)); err != nil {
					t.Fatal(err)
				}
			}
			if c.conf != "" {
				if err := cb.Set("jarvis_user", w.User()); err != nil { // as keys:create does
					t.Fatal(err)
				}
			}
			data, err := cloudinit.UserData(cb)
			if err != nil {
				t.Fatal(err)
			}
			h, err := real.StartHost(t.Context(), addr+":2222", data.Text)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(h.Stop)
			said := ""
			ctx := pipeline.WithHost(t.Context(), &speaker{say: func(l string) { said = l }})
			for _, s := range w.Steps() {
				switch s.Name {
				case "ssh:wait", "ssh:make_root_keypair", "ssh:install_config_management", "ssh:run_config_management":
					if err := s.Do(ctx, cb); err != nil {
						t.Fatalf("%s: %v", s.Name, err)
					}
				}
			}
			if who, err := h.ReadFile("/root/who"); err != nil || strings.TrimSpace(who) != "root" {
				t.Errorf("the install ran as %q, %v", who, err)
			}
			if !strings.Contains(said, "done") && !strings.Contains(said, "0") {
				t.Errorf("the run said %q", said)
			}
			if !strings.HasPrefix(cb.Get("root_pubkey"), "ssh-ed25519 ") {
				t.Errorf("root_pubkey = %q", cb.Get("root_pubkey"))
			}
		})
	}
}

// speaker is the host of steps that run by themselves.
type speaker struct{ say func(string) }

func (s *speaker) Progress(l string)                                { s.say(l) }
func (s *speaker) Log(string)                                       {}
func (s *speaker) Keep(context.Context, *clipboard.Clipboard) error { return nil }
func (s *speaker) Facts() pipeline.Facts                            { return pipeline.Facts{Token: "jarvis-0badc0de-1"} }

func hostKey(t *testing.T) (public, private string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := gossh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key))), string(pem.EncodeToMemory(block))
}
