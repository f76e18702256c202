package remote_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/remote"
)

func newKey(t *testing.T) (gossh.Signer, string) {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := gossh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	return s, string(pem.EncodeToMemory(block))
}

func line(s gossh.Signer) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(s.PublicKey())))
}

// sandbox boots a host, and gives the target that reaches it.
func sandbox(t *testing.T) (*lab.Sandbox, remote.Target) {
	t.Helper()
	hostKey, hostPEM := newKey(t)
	user, _ := newKey(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	data := "#cloud-config\nhostname: loki\nssh_keys:\n  ed25519_private: " + strconv.Quote(hostPEM) + "\n  ed25519_public: " + line(hostKey) + "\nssh_authorized_keys:\n  - " + line(user) + "\n"
	h, err := lab.StartSandbox(addr, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return h, remote.Target{Addr: addr, User: "root", Signers: []gossh.Signer{user}, HostKeys: remote.Pinned{hostKey.PublicKey()}}
}

func dialSandbox(t *testing.T) (*lab.Sandbox, *remote.Client) {
	t.Helper()
	h, target := sandbox(t)
	cl, err := remote.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return h, cl
}

// startCut sends the start of a job as a connection would that breaks in its middle.
func startCut(ctx context.Context, cl *remote.Client, id, command, arrived string) (int, error) {
	res, err := cl.Run(ctx, remote.Command{Args: []string{"sh", "-c", remote.StartScript, "jarvis", id, "x", strconv.Itoa(len(command) + 1)}, Stdin: strings.NewReader(arrived)})
	return res.Exit, err
}

func TestDialTrustsTheGivenKeyAndNoOther(t *testing.T) {
	_, target := sandbox(t)
	other, _ := newKey(t)
	var wrong *remote.HostKeyError
	bad := target
	bad.HostKeys = remote.Pinned{other.PublicKey()}
	if _, err := remote.Dial(t.Context(), bad); !errors.As(err, &wrong) || wrong.Got == "" {
		t.Errorf("Dial with another host key = %v, want a HostKeyError", err)
	}
	bad.HostKeys = nil
	if _, err := remote.Dial(t.Context(), bad); err == nil {
		t.Error("Dial without a host key succeeded")
	}
	bad = target
	bad.Signers = []gossh.Signer{other}
	if _, err := remote.Dial(t.Context(), bad); !errors.Is(err, remote.ErrRefused) {
		t.Errorf("Dial with another key of ours = %v, want ErrRefused", err)
	}
	bad = target
	bad.Addr = "127.0.0.1:1"
	if _, err := remote.Dial(t.Context(), bad); !errors.Is(err, remote.ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Dial of nobody = %v, want ErrUnreachable", err)
	}
}

func TestDialDoesNotHangOnAServerThatSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, target := sandbox(t)
	target.Addr, target.Timeout = l.Addr().String(), 200*time.Millisecond
	if _, err := remote.Dial(t.Context(), target); !errors.Is(err, remote.ErrUnreachable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("Dial = %v", err)
	}
}

func TestRunKeepsStreamsApartAndGivesTheExitCode(t *testing.T) {
	_, cl := dialSandbox(t)
	var out, errs []string
	res, err := cl.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "cat; echo two; echo err >&2; exit 3"}, Stdin: strings.NewReader("one\n"),
		Stdout: func(l string) { out = append(out, l) }, Stderr: func(l string) { errs = append(errs, l) }})
	if err != nil || res.Exit != 3 || strings.Join(out, ",") != "one,two" || strings.Join(errs, ",") != "err" {
		t.Errorf("Run = %+v, %v; %q %q", res, err, out, errs)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	_, cl := dialSandbox(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := cl.Run(ctx, remote.Command{Args: []string{"sleep", "60"}}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("Run = %v after %s", err, time.Since(began))
	}
}

// TestQuoteSurvivesAShell asks the real shell of this machine.
func TestQuoteSurvivesAShell(t *testing.T) {
	for _, s := range []string{"", "a b", "'", `"`, "$(reboot)", "`id`", "a\nb", "\\", "*", "~", "-n", "ü", "a'b\"c$d", "!", "{a,b}", "#x", ";ls", "&", "|"} {
		out, err := exec.Command("sh", "-c", "printf %s "+remote.Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("Quote(%q) = %s; the shell makes it %q, %v", s, remote.Quote(s), out, err)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("a'b")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) || len(s) > 1000 {
			return
		}
		out, err := exec.Command("sh", "-c", "printf %s "+remote.Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("the shell makes %q of %q: %v", out, s, err)
		}
	})
}

func ExampleQuote() {
	fmt.Println(remote.Quote("echo", "it's", "$HOME"))
	// Output: echo 'it'\''s' '$HOME'
}
