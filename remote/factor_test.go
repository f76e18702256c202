package remote_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/remote"
)

// code is the one-time password of a secret (RFC 6238: 30 seconds, 6 digits).
func code(secret []byte, now time.Time) string {
	mac := hmac.New(sha1.New, secret)
	_ = binary.Write(mac, binary.BigEndian, now.Unix()/30)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1000000)
}

// TestASecondFactor logs in where PAM asks for a password and a one-time password, after the key.
func TestASecondFactor(t *testing.T) {
	h, target := openssh(t, "127.82.0.20:22")
	withUsers(t, h, target.Signers[0])
	secret := []byte("a secret of odin")
	inside(t, h, "umask 077; echo 'HOTP/T30/6 odin - "+hex.EncodeToString(secret)+"' >/etc/users.oath; printf 'auth required pam_unix.so\nauth required pam_oath.so usersfile=/etc/users.oath window=3\naccount required pam_permit.so\nsession required pam_permit.so\n' >/etc/pam.d/sshd")
	serve(t, connect(t, target), "127.82.0.20:2222", "/usr/sbin/sshd", "-f", "/dev/null", "-o", "ListenAddress=127.82.0.20:2222", "-o", "HostKey=/etc/ssh/ssh_host_ed25519_key", "-o", "PidFile=none",
		"-o", "UsePAM=yes", "-o", "KbdInteractiveAuthentication=yes", "-o", "AuthenticationMethods=publickey,keyboard-interactive")
	target.Addr, target.User = "127.82.0.20:2222", "odin"
	target.Password = func() (string, error) { return "raven", nil }
	var asked []string
	target.Ask = func(who, question string, echo bool) (string, error) {
		asked = append(asked, who+": "+question)
		return code(secret, time.Now()), nil
	}
	res, err := connect(t, target).Run(t.Context(), remote.Command{Line: "id -un"})
	if err != nil || res.Stdout != "odin\n" {
		t.Fatalf("%q, %v", res.Stdout, err)
	}
	if len(asked) != 1 || !strings.HasPrefix(asked[0], "odin@127.82.0.20:2222: One-time password") {
		t.Errorf("asked were %q", asked)
	}
	slow := target
	slow.Timeout = time.Second
	var asking atomic.Bool
	slow.Asking = func() bool { return asking.Load() }
	slow.Ask = func(string, string, bool) (string, error) {
		asking.Store(true)
		defer asking.Store(false)
		time.Sleep(2500 * time.Millisecond)                      // a person looks for the phone
		return code(secret, time.Now().Add(30*time.Second)), nil // a code is good once
	}
	connect(t, slow)
	target.Ask = nil
	target.Password = nil
	if _, err := remote.Dial(t.Context(), target); !errors.Is(err, remote.ErrRefused) {
		t.Errorf("with nobody to ask: %v", err)
	}
}
