package ldap

import (
	"context"
	"errors"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// removeHostOU is for hosts that are destroyed. An entry that holds a clipboard or an owner says what the host is to
// be, not only what it was: it loses its address and keys, and stays.
func (w *Worker) removeHostOU() pipeline.Step {
	return pipeline.Step{
		Name:    "ldap:remove_host_ou",
		Doc:     "deletes the host's entry; one that holds a clipboard or an owner only loses address and host keys",
		Needs:   []string{"hostname", "fqdn?", "ldap_deleted?", "ldap_emptied?"},
		Gives:   []string{"ldap_deleted", "ldap_emptied"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			_, conn, e, err := w.open(ctx, c)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			if e == nil {
				pipeline.Progress(ctx, "nothing to do: the directory does not know the host")
				return nil
			}
			if e.GetAttributeValue("jarvisClipboard") == "" && e.GetAttributeValue("description") == "" && e.GetAttributeValue("owner") == "" {
				if err := errors.Join(c.Set("ldap_deleted", e.DN), pipeline.Keep(ctx, c)); err != nil {
					return err
				}
				if err := conn.Del(goldap.NewDelRequest(e.DN, nil)); err != nil && !goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
					return errors.Join(w.say("delete "+e.DN, err), c.Delete("ldap_deleted"), pipeline.Keep(ctx, c))
				}
				pipeline.Progress(ctx, "deleted "+e.DN)
				return nil
			}
			mod := withoutAddress(e)
			if len(mod.Changes) == 0 {
				pipeline.Progress(ctx, "nothing to do: "+e.DN+" has no address")
				return nil
			}
			if err := errors.Join(c.Set("ldap_emptied", e.DN), pipeline.Keep(ctx, c)); err != nil {
				return err
			}
			if err := conn.Modify(mod); err != nil {
				return errors.Join(w.say("change "+e.DN, err), c.Delete("ldap_emptied"), pipeline.Keep(ctx, c))
			}
			pipeline.Progress(ctx, e.DN+" has no address and keys any more")
			return nil
		},
		Undo: func(_ context.Context, c *clipboard.Clipboard) error {
			if dn := c.Get("ldap_deleted"); dn != "" {
				return pipeline.Stays("the entry " + dn + " stays deleted")
			}
			if dn := c.Get("ldap_emptied"); dn != "" {
				return pipeline.Stays("the entry " + dn + " stays without address and host keys")
			}
			return nil
		},
	}
}

// withoutAddress takes address and host keys out of an entry, with the class that demands an address (RFC 2307).
func withoutAddress(e *goldap.Entry) *goldap.ModifyRequest {
	mod := goldap.NewModifyRequest(e.DN, nil)
	for _, class := range e.GetAttributeValues("objectClass") {
		if strings.EqualFold(class, "ipHost") {
			mod.Delete("objectClass", []string{class})
			mod.Delete("ipHostNumber", nil)
		}
	}
	if len(e.GetAttributeValues("sshPublicHostKey")) > 0 {
		mod.Delete("sshPublicHostKey", nil)
	}
	return mod
}
