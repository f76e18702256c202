package ldap

import (
	"context"
	"fmt"

	goldap "github.com/go-ldap/ldap/v3"
)

// Probe logs in and reads the base, and changes nothing. It says what it saw.
func (w *Worker) Probe(ctx context.Context) (string, error) {
	c, err := w.connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Search(goldap.NewSearchRequest(w.cfg.Base, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 1, int(callTimeout.Seconds()), false, "(objectClass=*)", []string{"objectClass"}, nil)); err != nil {
		return "", fmt.Errorf("read %s: %w", w.cfg.Base, err)
	}
	who := w.cfg.BindDN
	if who == "" {
		who = "nobody"
	}
	return fmt.Sprintf("logged in as %s, and %s is there", who, w.cfg.Base), nil
}
