package ssh

import (
	"context"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// rootKeyScript makes the key unless it is there. The private half never leaves the host.
const rootKeyScript = `set -e
umask 077
mkdir -p /root/.ssh
f=/root/.ssh/id_ed25519
if [ -s "$f" ] && [ -s "$f.pub" ]; then echo there; else
  rm -f "$f" "$f.pub"
  ssh-keygen -q -t ed25519 -N '' -C "root@$1" -f "$f"
  echo made
fi
cat "$f.pub"`

// makeRootKeypair keeps the private half on the host: nobody else ever has it.
func (w *Worker) makeRootKeypair() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:make_root_keypair",
		Doc:     "has the host make root's key pair, and reads its public half",
		Needs:   []string{"ipaddress", "hostkeys", "login?", "ssh_port?", "hostname", "fqdn?"},
		Gives:   []string{"root_pubkey"},
		Timeout: 10 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			in, err := c.Instance()
			if err != nil {
				return pipeline.Permanent(err)
			}
			out, err := w.output(ctx, c, "make root's key pair", rootKeyScript, in.FQDN)
			if err != nil {
				return err
			}
			how, line, _ := strings.Cut(strings.TrimSpace(out), "\n")
			key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
			if err != nil {
				return pipeline.Permanentf("root's key on the host is not an SSH public key; look at /root/.ssh/id_ed25519.pub")
			}
			// Without the host's comment, and with ours: what goes on to other systems is ours to say.
			line = strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key))) + " root@" + in.FQDN
			if how == "there" && c.Get("root_pubkey") == line {
				pipeline.Progress(ctx, "nothing to do: root has "+gossh.FingerprintSHA256(key))
				return nil
			}
			pipeline.Progress(ctx, "root's key is "+gossh.FingerprintSHA256(key))
			return c.Set("root_pubkey", line)
		},
	}
}
