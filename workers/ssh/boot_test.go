package ssh

import (
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// The story: a machine went down for its reboot without a word to us, and the step waited for its answer for ever.
func TestAHostThatGoesSilentIsAskedAgain(t *testing.T) {
	w, err := New(Config{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := startHost(t, w, "127.106.0.2").PublicKey()
	c, err := clipboard.Parse([]byte("instance: {hostname: web1, fqdn: web1.test, ipaddress: 127.106.0.2, hostkeys: [" + strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key))) + "]}"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := w.output(t.Context(), c, "greet", "echo hello"); err != nil || out != "hello\n" {
		t.Fatalf("%q %v", out, err)
	}
	defer func(d time.Duration) { answerTime = d }(answerTime)
	answerTime = time.Second
	began := time.Now()
	_, err = w.output(t.Context(), c, "read the host's boot id", "kill -STOP $PPID") // its sshd, which then says nothing more
	if _, why, ok := pipeline.AsWait(err); !ok || !strings.HasPrefix(why, "read the host's boot id: ") {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}
