package keys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// create makes what the new machine is told by its user-data, so that the first contact can trust its key.
func (w *Worker) create() pipeline.Step {
	return pipeline.Step{
		Name:    "keys:create",
		Doc:     "makes the host key for the first contact and root's password",
		Needs:   []string{"hostname"},
		Gives:   []string{"hostkey_private", "hostkey_first", "root_password", "root_password_hash", "jarvis_pubkey", "jarvis_user"},
		Timeout: time.Minute,
		Resume:  pipeline.Again,
		Plan: func(context.Context, *clipboard.Clipboard) (string, error) {
			return "would make an ed25519 host key and a password for root", nil
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if err := c.Set("jarvis_pubkey", w.cfg.PublicKey); err != nil {
				return err
			}
			if w.cfg.User != "" && w.cfg.User != "root" {
				if err := c.Set("jarvis_user", w.cfg.User); err != nil {
					return err
				}
			}
			if c.Has("hostkey_private") && c.Has("hostkey_first") && c.Has("root_password") && c.Has("root_password_hash") {
				pipeline.Progress(ctx, "nothing to do: the keys are made")
				return nil
			}
			host := c.Get("hostname")
			pub, priv, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return fmt.Errorf("make the host key: %w", err)
			}
			block, err := gossh.MarshalPrivateKey(priv, "root@"+host)
			if err != nil {
				return fmt.Errorf("write the host key: %w", err)
			}
			sshPub, err := gossh.NewPublicKey(pub)
			if err != nil {
				return fmt.Errorf("write the host key: %w", err)
			}
			password := rand.Text() // 26 letters, 130 bits
			// bcrypt: the strongest crypt(5) scheme that Debian since 10 and Red Hat since 8 take.
			hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
			if err != nil {
				return fmt.Errorf("hash root's password: %w", err)
			}
			line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(sshPub)))
			for _, err := range []error{
				c.SetSecret("hostkey_private", clipboard.Secret(pem.EncodeToMemory(block))),
				c.Set("hostkey_first", line),
				c.SetSecret("root_password", clipboard.Secret(password)),
				c.SetSecret("root_password_hash", clipboard.Secret(hash)),
			} {
				if err != nil {
					return err
				}
			}
			pipeline.Progress(ctx, "host key "+gossh.FingerprintSHA256(sshPub))
			return nil
		},
	}
}
