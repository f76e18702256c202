package command

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// The attack: whoever the company's login lets in by a group alone is nobody's second person. So she makes tokens for
// two of the people, asks with one and approves with the other.
func TestOneWhoMadeBothTokensIsNoSecondPerson(t *testing.T) {
	table, e := stage(t, func(context.Context, *clipboard.Clipboard) error { return nil })
	db, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	acc, err := access.New(t.Context(), []access.PersonConfig{{Name: "alice", Roles: []string{access.Deploy}}, {Name: "bob", Roles: []string{access.Deploy}}, {Name: "carol", OIDC: "c", Roles: []string{access.Deploy}}}, db)
	if err != nil {
		t.Fatal(err)
	}
	table.Change(func(e *Env) { e.Access = acc })
	do := func(p access.Person, words ...string) (Answer, error) {
		return table.Do(t.Context(), Call{Words: words, Person: p, Asker: p.Name, Via: "test", Secret: true, Free: true})
	}
	as := func(maker access.Person, person string) access.Person {
		t.Helper()
		a, err := do(maker, "token", "new", "x", "for", person)
		if err != nil {
			t.Fatal(err)
		}
		p, err := acc.Bearer(t.Context(), a.Lines[0])
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	mallory := access.Person{Name: "oidc:mallory", Roles: []string{access.Admin}, Unnamed: true}
	root := access.Person{Name: "root", Roles: []string{access.Admin}, Unnamed: true, Operator: true}
	for i, try := range []struct {
		name          string
		asks, decides access.Person
		refused       string
	}{
		{"both tokens are hers", as(mallory, "alice"), as(mallory, "bob"), "asked for by alice"},
		{"she may be who decides in chat", as(mallory, "alice"), acc.Person("bob"), "nothing proves that oidc:mallory and bob are two people"},
		{"she may be who asked in chat", acc.Person("alice"), as(mallory, "bob"), "nothing proves that alice and oidc:mallory are two people"},
		{"one whose entry says that he is somebody else there", as(mallory, "alice"), acc.Person("carol"), ""},
		{"tokens of who keeps the machine are their owners'", as(root, "alice"), as(root, "bob"), ""},
	} {
		c, err := clipboard.Parse(fmt.Appendf(nil, "instance:\n  hostname: h%d\n  provider: ESX\n", i))
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Start(t.Context(), pipeline.Request{Clipboard: c, Kind: pipeline.Kind{Verb: "deploy", Provider: "ESX"}, Steps: []string{"keys:create"}, By: try.asks.Name, Behind: try.asks.Behind, Approval: &pipeline.NeedApproval{Why: "a test", For: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = do(try.decides, "approve", fmt.Sprint(r.ID))
		if (err == nil) != (try.refused == "") || err != nil && !strings.Contains(err.Error(), try.refused) {
			t.Errorf("%s: %v", try.name, err)
		}
	}
}
