package ldap

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// secretFile is where the host keeps its password for the directory, as nslcd and the first Jarvis have it.
const secretFile = "/etc/ldap/ldap.secret"

// Secrets keeps a small secret file on a host: Get gives its content, "" when there is none; Put writes it, mode 0400.
type Secrets interface {
	GetSecret(ctx context.Context, c *clipboard.Clipboard, file string) (clipboard.Secret, error)
	PutSecret(ctx context.Context, c *clipboard.Clipboard, file string, s clipboard.Secret) error
}

// saveSecret gives the host a password of its own in the directory. The clear text is on the host only, never in the
// clipboard; the entry holds its salted hash.
func (w *Worker) saveSecret() pipeline.Step {
	return pipeline.Step{
		Name:    "ldap:save_secret",
		Doc:     "gives the host a password in the directory: hashed (SSHA) in its entry, in clear only on the host, mode 0400",
		Needs:   []string{"hostname", "fqdn?", "ipaddress", "hostkeys", "login?", "ssh_port?"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if w.cfg.Secrets == nil {
				return pipeline.Permanentf("the host cannot be given a file: the SSH worker is not wired")
			}
			in, conn, e, err := w.open(ctx, c)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			if e == nil {
				return pipeline.Permanentf("there is no host %q in the directory; ldap:update_host_ou adds it", in.Hostname)
			}
			secret, err := w.cfg.Secrets.GetSecret(ctx, c, secretFile)
			if err != nil {
				return err
			}
			if secret != "" && slices.ContainsFunc(e.GetAttributeValues("userPassword"), func(h string) bool { return verifySSHA(h, string(secret)) }) {
				pipeline.Progress(ctx, "nothing to do: the host's password is the one in its entry")
				return nil
			}
			if secret == "" {
				// On the host first: should we die now, the next try hashes what is there.
				secret = clipboard.Secret(rand.Text())
				if err := w.cfg.Secrets.PutSecret(ctx, c, secretFile, secret); err != nil {
					return err
				}
			}
			mod := goldap.NewModifyRequest(e.DN, nil)
			if !slices.ContainsFunc(e.GetAttributeValues("objectClass"), func(s string) bool { return strings.EqualFold(s, "simpleSecurityObject") }) {
				mod.Add("objectClass", []string{"simpleSecurityObject"})
			}
			mod.Replace("userPassword", []string{ssha(string(secret))})
			if err := conn.Modify(mod); err != nil {
				return w.say("write the password of "+e.DN, err)
			}
			pipeline.Progress(ctx, "the host has a new password")
			return nil
		},
	}
}

// ssha is the scheme {SSHA} of OpenLDAP (slapd.conf(5), password-hash): SHA-1 over password and salt, with the salt.
func ssha(password string) string {
	salt := make([]byte, 8)
	_, _ = rand.Read(salt) // never fails
	sum := sha1.Sum(append([]byte(password), salt...))
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

// verifySSHA reads the salt from after the sum.
func verifySSHA(hash, password string) bool {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hash, "{SSHA}"))
	if err != nil || !strings.HasPrefix(hash, "{SSHA}") || len(b) <= sha1.Size {
		return false
	}
	sum := sha1.Sum(append([]byte(password), b[sha1.Size:]...))
	return subtle.ConstantTimeCompare(sum[:], b[:sha1.Size]) == 1
}
