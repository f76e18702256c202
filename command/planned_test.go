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

// TestRightsOfWhatIsPlanned: those that what was asked for needs are on record, and are looked at by the configuration
// as it is when it begins. Who would not have them then cannot ask; who keeps the machine is in no configuration.
func TestRightsOfWhatIsPlanned(t *testing.T) {
	table, e := stage(t, func(context.Context, *clipboard.Clipboard) error { return nil })
	db, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	people := func(roles ...string) []access.PersonConfig {
		return []access.PersonConfig{{Name: "alice", Roles: roles}, {Name: "grouped"}}
	}
	acc, err := access.New(t.Context(), people(access.Deploy, access.Run), db)
	if err != nil {
		t.Fatal(err)
	}
	table.Change(func(e *Env) { e.Access = acc })
	n := 0
	ask := func(p access.Person, more string) (pipeline.Run, error) {
		n++
		a, err := table.Do(t.Context(), Call{Words: []string{"deploy", "clipboard", "at", time.Now().Add(time.Hour).Format(time.RFC3339)}, File: fmt.Appendf(nil, "instance:\n  hostname: h%d\n  provider: ESX\n%s", n, more), Person: p, Free: true})
		if err != nil {
			return pipeline.Run{}, err
		}
		return e.Get(t.Context(), a.Run.ID)
	}
	deploys := access.Person{Name: "alice", Roles: []string{access.Deploy}}
	both := access.Person{Name: "alice", Roles: []string{access.Deploy, access.Run}}
	objection := func(r pipeline.Run) string {
		o, err := table.MayBegin(t.Context(), r)
		if err != nil || !o.Until.IsZero() {
			t.Errorf("%s: %+v, %v", r.Host, o, err)
		}
		return o.Why
	}
	plainly, err := ask(both, "")
	if err != nil || plainly.Needs != "deploy" {
		t.Errorf("needs %q, %v", plainly.Needs, err)
	}
	own, err := ask(both, "steps: [keys:create]\n")
	if err != nil || own.Needs != "deploy run" {
		t.Errorf("needs %q, %v", own.Needs, err)
	}
	commands, err := ask(both, "  repos: [ops/secrets]\n")
	if err != nil || commands.Needs != "deploy run" {
		t.Errorf("needs %q, %v", commands.Needs, err)
	}
	if _, err := ask(deploys, "  repos: [ops/secrets]\n"); err == nil {
		t.Error("without the role run")
	}
	root, err := ask(access.Person{Name: "root", Roles: []string{access.Admin}, Unnamed: true, Operator: true}, "")
	if err != nil || root.Needs != "" {
		t.Errorf("who keeps the machine needs %q, %v", root.Needs, err)
	}
	for _, p := range []access.Person{{Name: access.StrangerPrefix + "eve", Roles: []string{access.Admin}, Unnamed: true}, {Name: "grouped", Roles: []string{access.Deploy}}} {
		if _, err := ask(p, ""); err == nil || !strings.Contains(err.Error(), "it would not begin then") {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	for _, r := range []pipeline.Run{plainly, own, commands, root} {
		if why := objection(r); why != "" {
			t.Errorf("%s: %s", r.Host, why)
		}
	}
	if err := acc.SetPeople(people(access.Deploy)); err != nil {
		t.Fatal(err)
	}
	if why := objection(plainly) + objection(root); why != "" {
		t.Errorf("with deploy alone: %s", why)
	}
	for _, r := range []pipeline.Run{own, commands} {
		if why := objection(r); why != `alice does not have the role "run"` {
			t.Errorf("%s: %s", r.Host, why)
		}
	}
	if err := acc.SetPeople(nil); err != nil {
		t.Fatal(err)
	}
	if why := objection(plainly); why != "alice is not one of `people`" {
		t.Errorf("gone: %s", why)
	}
	table.Change(func(e *Env) { e.Pipelines = nil })
	if why := objection(root); !strings.Contains(why, "the steps of deploy/esx in the configuration are others now") {
		t.Errorf("other steps: %s", why)
	}
}
