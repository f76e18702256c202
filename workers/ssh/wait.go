package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// newKeysScript has the host make keys of its own, aside, and prints their public halves. Asked again, it prints
// the same ones.
const newKeysScript = `set -e
umask 077
d=/etc/ssh/jarvis.new
mkdir -p "$d"
for t in ed25519 ecdsa; do
  [ -s "$d/ssh_host_${t}_key.pub" ] || { rm -f "$d/ssh_host_${t}_key"; ssh-keygen -q -t "$t" -N '' -C "root@$1" -f "$d/ssh_host_${t}_key"; }
done
cat "$d"/ssh_host_*_key.pub`

// rotateScript puts them in place and has sshd read them. It is safe to repeat: the keys aside stay.
const rotateScript = `set -e
d=/etc/ssh/jarvis.new
for f in /etc/ssh/ssh_host_*_key; do
  [ -e "$d/${f##*/}" ] || rm -f "$f" "$f.pub"
done
cp -p "$d"/ssh_host_* /etc/ssh/
chmod 644 /etc/ssh/ssh_host_*_key.pub
systemctl reload ssh 2>/dev/null || systemctl reload sshd 2>/dev/null || service ssh reload 2>/dev/null || kill -HUP "$(cat /run/sshd.pid)"`

// wait makes the first contact, which trusts the key that keys:create made and no other; then the host makes keys that
// only it has ever seen, and from there on only those count: the first key travelled in user-data, which others at the
// provider may read.
func (w *Worker) wait() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:wait",
		Doc:     "waits for SSH, verifies the host's key, has the host make its own keys and learns them",
		Needs:   []string{"ipaddress", "hostkey_first", "hostname", "fqdn?", "hostkeys?", "login?", "ssh_port?"},
		Gives:   []string{"hostkeys"},
		Timeout: 20 * time.Minute,
		Resume:  pipeline.Probe,
		Plan: func(_ context.Context, c *clipboard.Clipboard) (string, error) {
			l, err := c.Login()
			if err != nil {
				return "", err
			}
			port := fmt.Sprint("port ", w.over(l).Port)
			if l.Port == 0 {
				port += ", or the one that the provider tells with the address"
			}
			return fmt.Sprintf("would wait up to 20m for SSH on %s, with the key that keys:create makes", port), nil
		},
		Do:    w.doWait,
		Undo:  w.forget,
		Drift: w.driftWait,
	}
}

// doWait can be done again after any point: the host's own keys are kept before the host answers with them.
func (w *Worker) doWait(ctx context.Context, c *clipboard.Clipboard) error {
	addr, user, err := w.login(c)
	if err != nil {
		return err
	}
	firstLine, err := c.String("hostkey_first")
	if err != nil {
		return pipeline.Permanent(err)
	}
	first, err := parseKeys([]string{firstLine})
	if err != nil {
		return pipeline.Permanent(err)
	}
	var own []gossh.PublicKey
	known := false
	if c.Has("hostkeys") {
		lines, err := c.Strings("hostkeys")
		if err != nil {
			return pipeline.Permanent(err)
		}
		if own, err = parseKeys(lines); err != nil {
			return pipeline.Permanent(err)
		}
	}
	cl, err := w.open(ctx, w.via(c, w.target(addr, user, append(own[:len(own):len(own)], first...))))
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	if own == nil {
		pipeline.Progress(ctx, "the host's key is right; it makes its own keys now")
		res, err := cl.Run(ctx, remote.Command{Args: []string{"sh", "-c", newKeysScript, "jarvis", in.FQDN}})
		if err != nil {
			return err
		}
		lines := keyLines(res.Stdout)
		if res.Exit != 0 || len(lines) == 0 {
			return fmt.Errorf("the host could not make its keys: %s", last(res.Stderr, fmt.Sprintf("exit %d", res.Exit)))
		}
		if own, err = parseKeys(lines); err != nil {
			return err
		}
		if err := c.Set("hostkeys", lines); err != nil {
			return err
		}
		// From the next command on the host may answer with these keys: they must be on record before.
		if err := pipeline.Keep(ctx, c); err != nil {
			return err
		}
	}
	if string(cl.HostKey().Marshal()) != string(first[0].Marshal()) {
		known = true
	} else {
		res, err := cl.Run(ctx, remote.Command{Args: []string{"sh", "-c", rotateScript}})
		if err != nil {
			return err
		}
		if res.Exit != 0 {
			return fmt.Errorf("the host could not take its keys into use: %s", last(res.Stderr, fmt.Sprintf("exit %d", res.Exit)))
		}
	}
	// sshd needs a moment to read its keys; until then it may still offer the first one, or nobody listens.
	for try := 0; ; try++ {
		again, err := remote.Dial(ctx, w.via(c, w.target(addr, user, own)))
		if err == nil {
			_ = again.Close()
			break
		}
		var wrong *remote.HostKeyError
		if try >= 25 || ctx.Err() != nil || errors.Is(err, remote.ErrRefused) || errors.As(err, &wrong) && wrong.Got != "" && wrong.Got != gossh.FingerprintSHA256(first[0]) {
			return w.classify(ctx, addr, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	if err := w.remember(ctx, in, addr, own); err != nil {
		return err
	}
	if known {
		pipeline.Progress(ctx, "nothing to do: the host has its own key, "+gossh.FingerprintSHA256(own[0]))
		return nil
	}
	pipeline.Progress(ctx, "host key "+gossh.FingerprintSHA256(own[0]))
	return nil
}

// keyLines takes the public keys out of what the host printed, without their comments.
func keyLines(out string) []string {
	var lines []string
	for _, l := range strings.Split(out, "\n") {
		if k, _, _, _, err := gossh.ParseAuthorizedKey([]byte(l)); err == nil {
			lines = append(lines, strings.TrimSpace(string(gossh.MarshalAuthorizedKey(k))))
		}
	}
	// ed25519 first: it is the one that is shown.
	for i, l := range lines {
		if strings.HasPrefix(l, gossh.KeyAlgoED25519) {
			lines[0], lines[i] = lines[i], lines[0]
		}
	}
	return lines
}

func last(s, otherwise string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if l := strings.TrimSpace(lines[len(lines)-1]); l != "" {
		return l
	}
	return otherwise
}

// forget is the Undo: the next machine of that name or address has other keys.
func (w *Worker) forget(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	if !c.Has("ipaddress") {
		return nil
	}
	addr, _, err := w.login(c)
	if err != nil {
		return err
	}
	if err := w.remember(ctx, in, addr, nil); err != nil {
		return err
	}
	return c.Delete("hostkeys")
}
