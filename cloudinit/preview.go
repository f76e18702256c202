package cloudinit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
)

// Preview gives what UserData will give, before keys:create has made what it needs: with stand-ins as long as that, so
// that what is wrong, or too long, is known before anything is made. It may be some bytes longer, and never shorter.
func Preview(c *clipboard.Clipboard, disks ...Disk) (Document, error) {
	c = c.Clone()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Document{}, fmt.Errorf("make a stand-in for the host key: %w", err)
	}
	block, err := gossh.MarshalPrivateKey(priv, "root@"+c.Get("hostname"))
	if err != nil {
		return Document{}, fmt.Errorf("make a stand-in for the host key: %w", err)
	}
	sshPub, err := gossh.NewPublicKey(pub)
	if err != nil {
		return Document{}, fmt.Errorf("make a stand-in for the host key: %w", err)
	}
	line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(sshPub)))
	standIns := map[string]any{"hostkey_private": clipboard.Secret(pem.EncodeToMemory(block)), "hostkey_first": line,
		"root_password_hash": clipboard.Secret("$2a$10$" + strings.Repeat("x", 53)), "jarvis_pubkey": line + " jarvis@" + strings.Repeat("x", 64), "jarvis_user": strings.Repeat("j", 32)}
	for key, value := range standIns {
		if _, err := c.String(key); err == nil {
			continue // it is made
		}
		if secret, ok := value.(clipboard.Secret); ok {
			err = c.SetSecret(key, secret)
		} else {
			err = c.Set(key, value)
		}
		if err != nil {
			return Document{}, fmt.Errorf("make a stand-in for %s: %w", key, err)
		}
	}
	return UserData(c, disks...)
}
