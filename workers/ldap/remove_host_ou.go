package ldap

import (
	"context"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// removeHostOU is for hosts that are destroyed. An entry that holds a clipboard or an owner says what the host is to be,
// not only what it was: it loses its address and keys, and stays.
func (w *Worker) removeHostOU() pipeline.Step {
	return pipeline.Step{
		Name:    "ldap:remove_host_ou",
		Doc:     "deletes the host's entry; one that holds a clipboard or an owner only loses address and host keys",
		Needs:   []string{"hostname", "fqdn?"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			in, err := c.Instance()
			if err != nil {
				return pipeline.Permanent(err)
			}
			conn, err := w.connect(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			e, err := w.entry(conn, in)
			if err != nil {
				return err
			}
			if e == nil {
				pipeline.Progress(ctx, "nothing to do: the directory does not know the host")
				return nil
			}
			if e.GetAttributeValue("jarvisClipboard") == "" && e.GetAttributeValue("description") == "" && e.GetAttributeValue("owner") == "" {
				if err := conn.Del(goldap.NewDelRequest(e.DN, nil)); err != nil && !goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
					return w.say("delete "+e.DN, err)
				}
				pipeline.Progress(ctx, "deleted "+e.DN)
				return nil
			}
			mod := withoutAddress(e)
			if len(mod.Changes) == 0 {
				pipeline.Progress(ctx, "nothing to do: "+e.DN+" has no address")
				return nil
			}
			if err := conn.Modify(mod); err != nil {
				return w.say("change "+e.DN, err)
			}
			pipeline.Progress(ctx, e.DN+" has no address and keys any more")
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
