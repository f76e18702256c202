package all

import (
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/pipeline"
)

// domain gives a host's clipboard with another domain.
func (w *world) domain(host, domain string) *clipboard.Clipboard {
	w.Helper()
	return w.clipboard(host, ".websages.com", "."+domain)
}

// stranger makes a running machine that is none of ours.
func (w *world) stranger(name string) string {
	w.Helper()
	return must(w.cloud.Stranger(name))(w.T)
}

// stays makes sure that a machine still runs.
func (w *world) stays(id string) {
	w.Helper()
	if !w.cloud.Runs(id) {
		w.Errorf("the machine %s does not run any more", id)
	}
}

// refused makes sure that each step refuses, names the machine by its id, and leaves it running.
func (w *world) refused(c *clipboard.Clipboard, id string, tasks ...string) {
	w.Helper()
	for _, task := range tasks {
		r := w.failed(w.start(c.Clone(), task), id)
		w.Logf("%s: %s", task, r.Error)
		if !strings.Contains(r.Error, "made 20") && !w.site.noAges {
			w.Errorf("%s does not say when %s was made: %s", task, id, r.Error)
		}
		w.stays(id)
		must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(w.T)
	}
}

// copier is a provider at which a machine can be cloned.
type copier interface {
	Copy(from, name string) (id string, err error)
}

// TestOnlyWhatIsOurs is what every provider promises about machines that are not the host's. Each case is an attack, or
// an accident that looks like one, and is told first.
func TestOnlyWhatIsOurs(t *testing.T) {
	cases := []struct {
		name, story string
		test        func(w *world)
		only        string // providers it is for; "": all
	}{
		{"a stranger's machine of the full name",
			"Somebody runs loki.websages.com by hand. We are told to redeploy and to destroy our loki, which has no machine on record.", func(w *world) {
				id := w.stranger("loki.websages.com")
				w.refused(w.clipboard("loki"), id, "sp:shutdown", "sp:destroy", "sp:startup")
				r := w.failed(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"), id)
				w.Log(r.Error)
				w.undone(r)
				w.stays(id)
			}, ""},
		{"a stranger's machine of the short name",
			"Somebody's machine is called loki, with no domain. It is not shut down or deleted; a deploy makes our own beside it.", func(w *world) {
				id := w.stranger("loki")
				w.refused(w.clipboard("loki"), id, "sp:shutdown", "sp:destroy", "sp:startup")
				r := w.ready(w.start(w.clipboard("loki"), whole...))
				w.stays(id)
				w.machines("loki", "loki")
				w.undone(r)
				w.stays(id)
				w.machines("loki")
			}, ""},
		{"the id of a stranger's machine in the clipboard",
			"Mallory, who may write step-given keys, names a stranger's machine as provider_id.", func(w *world) {
				id := w.stranger("www")
				c := w.clipboard("loki")
				if err := c.Set("provider_id", id); err != nil {
					w.Fatal(err)
				}
				w.refused(c, id, "sp:shutdown", "sp:destroy", "sp:startup", "sp:get_pub_ip")
				for _, key := range []string{"powered_off", "powering_off"} {
					c := w.clipboard(strings.ReplaceAll(key, "_", "-"))
					if err := c.Set(key, id); err != nil {
						w.Fatal(err)
					}
					r := w.ready(w.start(c, "sp:shutdown")) // there is no machine, and so nothing to do
					must(w.engine.Undo(w.Context(), r.ID, "alice"))(w.T)
					w.failed(r, id)
				}
			}, ""},
		{"the id of another host's machine in the clipboard",
			"Mallory names thor's machine, which is ours, as the provider_id of loki.", func(w *world) {
				thor := w.ready(w.start(w.clipboard("thor"), whole...))
				c := w.clipboard("loki")
				id := w.engine.Value(thor, "provider_id")
				if err := c.Set("provider_id", id); err != nil {
					w.Fatal(err)
				}
				w.refused(c, id, "sp:shutdown", "sp:destroy")
			}, ""},
		{"the same short name in another domain",
			"web1.prod.example and web1.test.example are two hosts. What is done to one is not done to the other.", func(w *world) {
				prod := w.ready(w.start(w.domain("web1", "prod.example"), whole...))
				id := w.engine.Value(prod, "provider_id")
				none := w.ready(w.start(w.domain("web1", "test.example"), "sp:shutdown", "sp:destroy"))
				for _, said := range w.said(none, pipeline.EvDone) {
					if !strings.Contains(said, "nothing to do") {
						w.Errorf("said %q", said)
					}
				}
				w.stays(id)
				test := w.ready(w.start(w.domain("web1", "test.example"), whole...))
				w.machines("web1", "web1")
				w.undone(test)
				w.stays(id)
				w.machines("web1")
				w.ready(w.start(w.domain("web1", "test.example"), whole...))
				w.ready(w.start(w.domain("web1", "test.example"), "sp:shutdown", "sp:destroy"))
				w.stays(id)
				w.machines("web1")
			}, ""},
		{"a machine that is adopted",
			"Somebody's loki becomes ours: a plan says what it is, the step marks it, and from then on it can be shut down. An undo gives it back.", func(w *world) {
				id := w.stranger("loki.websages.com")
				c := w.clipboard("loki")
				if err := c.Set("adopt_id", id); err != nil {
					w.Fatal(err)
				}
				step := w.site.module + ":adopt"
				lines := must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: c, Steps: []string{step}}))(w.T)
				w.Log(lines[0].Text)
				if !strings.HasPrefix(lines[0].Text, "would adopt "+id+" (loki") || !strings.Contains(lines[0].Text, "made 20") && !w.site.noAges {
					w.Errorf("plan = %q", lines[0].Text)
				}
				r := w.ready(w.start(c.Clone(), step, step))
				if said := w.said(r, pipeline.EvDone); !strings.Contains(said[0], "adopted "+id) || !strings.Contains(said[1], "nothing to do") {
					w.Errorf("said %q", said)
				}
				other := w.domain("loki", "example.org") // another host does not get it
				if err := other.Set("adopt_id", id); err != nil {
					w.Fatal(err)
				}
				w.failed(w.start(other, step), "is another host's on this record")
				if given := w.engine.Registry().Given(); !slices.Contains(given, "adopt_id") {
					w.Error("adopt_id would stay in the host's clipboard, and be read at every redeploy")
				}
				w.undone(r)
				w.refused(w.clipboard("loki"), id, "sp:shutdown")
				c = w.clipboard("loki")
				if err := c.Set("adopt_id", id); err != nil {
					w.Fatal(err)
				}
				w.ready(w.start(c, step))
				w.ready(w.start(w.clipboard("loki"), "sp:shutdown", "sp:destroy"))
				w.machines()
			}, ""},
		{"a machine that lost its marks",
			"Somebody tidied up the tags, and left one that begins like ours. An undo does not delete what it cannot know, and does not say that it did.", func(w *world) {
				r := w.ready(w.start(w.clipboard("loki"), whole...))
				id := w.engine.Value(r, "provider_id")
				w.cloud.Retag(id, "jarvis-managed", "jarvis-team:web")
				must(w.engine.Undo(w.Context(), r.ID, "alice"))(w.T)
				if r = w.until(r, nil); !strings.Contains(r.Error, id) || !strings.Contains(r.Error, "stays") {
					w.Errorf("the undo said %q", r.Error)
				}
				w.Log(r.Error)
				w.stays(id)
			}, ""},
		{"a tag of somebody else's that begins like ours",
			"The cost report tags every machine jarvis-managed. What is ours stays ours.", func(w *world) {
				r := w.ready(w.start(w.clipboard("loki"), whole...))
				id := w.engine.Value(r, "provider_id")
				m := strings.Fields(w.engine.Token(r.ID) + " " + pipeline.OwnerOf(w.engine.Installation(), "loki.websages.com"))
				w.cloud.Retag(id, append(m, "jarvis-managed", "jarvis-team:web")...)
				w.undone(r)
				w.machines()
			}, "linode"},
		{"another installation's machine of the same name",
			"The lab's Jarvis and production's share an account. Both know a loki.websages.com.", func(w *world) {
				r := w.ready(w.start(w.clipboard("loki"), whole...))
				id := w.engine.Value(r, "provider_id")
				w.engine = w.newEngine(w.cloud.Config())
				w.refused(w.clipboard("loki"), id, "sp:shutdown", "sp:destroy")
				w.failed(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"), id)
				w.stays(id)
			}, ""},
		{"a plan says which machine would be deleted",
			"alice looks before she leaps.", func(w *world) {
				r := w.ready(w.start(w.clipboard("loki"), whole...))
				id := w.engine.Value(r, "provider_id")
				lines := must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: w.clipboard("loki"), Steps: []string{w.site.module + ":destroy", "keys:create", w.site.module + ":deploy"}}))(w.T)
				for _, i := range []int{0, 2} {
					w.Log(lines[i].Text)
					if !strings.Contains(lines[i].Text, id) || strings.Contains(lines[i].Text, "would fail") {
						w.Errorf("plan = %q; want %s in it", lines[i].Text, id)
					}
				}
				other := w.stranger("thor.websages.com")
				lines = must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: w.clipboard("thor"), Steps: []string{w.site.module + ":destroy", "keys:create", w.site.module + ":deploy"}}))(w.T)
				for _, i := range []int{0, 2} {
					w.Log(lines[i].Text)
					if !strings.Contains(lines[i].Text, other) || !strings.Contains(lines[i].Text, "nothing is touched") && !strings.Contains(lines[i].Text, "is not touched") {
						w.Errorf("plan = %q; want %s refused", lines[i].Text, other)
					}
				}
			}, ""},
		{"the configured template",
			"A host is called as the template that all machines are cloned from.", func(w *world) {
				c := w.clipboard(lab.Template, "."+"websages.com", "")
				for _, task := range []string{"sp:shutdown", "sp:destroy", "sp:startup"} {
					r := w.failed(w.start(c.Clone(), task), "a template")
					w.Logf("%s: %s", task, r.Error)
					must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(w.T)
				}
				r := w.failed(w.start(c.Clone(), "keys:create", "sp:deploy"), "already")
				w.undone(r)
				w.ready(w.start(w.clipboard("loki"), whole...)) // there is still something to clone
			}, "esx"},
		{"a clone of our machine",
			"An administrator clones loki to keep a copy; the clone has all of loki's settings and notes.", func(w *world) {
				w.ready(w.start(w.clipboard("loki"), whole...))
				id := must(w.cloud.(copier).Copy("loki", "copy"))(w.T)
				w.ready(w.start(w.clipboard("loki"), "sp:shutdown", "sp:destroy"))
				w.stays(id)
				w.machines("copy")
			}, "esx libvirt"},
	}
	for _, s := range sites() {
		t.Run(s.module, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				if c.only != "" && !slices.Contains(strings.Fields(c.only), s.module) {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					t.Log(c.story)
					c.test(newWorld(t, s))
				})
			}
		})
	}
}

// TestLongOwnersStayApart: Linode takes 50 characters for a tag. Mallory names a host as another's shortened owner.
func TestLongOwnersStayApart(t *testing.T) {
	for _, s := range sites() {
		if s.module != "linode" {
			continue
		}
		w := newWorld(t, s)
		a, b := w.domain("web1", "a-rather-long-name.prod-one.example"), w.domain("web1", "a-rather-long-name.prod-two.example")
		first := w.ready(w.start(a, whole...))
		w.ready(w.start(b, whole...))
		w.ready(w.start(w.domain("web1", "a-rather-long-name.prod-two.example"), "sp:shutdown", "sp:destroy"))
		w.stays(w.engine.Value(first, "provider_id"))
		if got := w.cloud.Machines(); !slices.Equal(got, []string{"web1.a-rather-long-name.prod-one.example"}) {
			t.Errorf("machines = %v", got)
		}
	}
}
