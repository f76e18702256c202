package all

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// entry gives a cloud's lines for jarvis.yaml as one mapping, with more keys.
func (w *world) entry(cloud lab.Cloud, more map[string]any) map[string]any {
	w.Helper()
	var c map[string]map[string]any
	if err := yaml.Unmarshal([]byte(cloud.Config()), &c); err != nil {
		w.Fatal(err)
	}
	out := c[w.site.module]
	maps.Copy(out, more)
	return out
}

// conf writes entries as the lines for jarvis.yaml under workers.
func (w *world) conf(entries ...map[string]any) string {
	w.Helper()
	b := must(yaml.Marshal(map[string]any{w.site.module: entries}))(w.T)
	return "  " + strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "\n  ") + "\n"
}

func (w *world) account(name string) map[string]any {
	return w.entry(w.cloud, map[string]any{"account": name})
}

// other starts a second account of the provider.
func (w *world) other() lab.Cloud {
	w.Helper()
	rack := lab.NewRack(100+int(blocks.Add(1))%150, w.rack.Port, nil)
	w.Cleanup(rack.Stop)
	cloud := w.site.start(w.T, rack)
	w.Cleanup(cloud.Stop)
	return cloud
}

func (w *world) set(c *clipboard.Clipboard, key, value string) *clipboard.Clipboard {
	w.Helper()
	if err := c.Set(key, value); err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) owner(host string) string {
	o := pipeline.OwnerOf(w.engine.Installation(), host+".websages.com")
	return provider.Fit(o, w.calls.MaxTag)
}

var rebuilt = append([]string{"sp:shutdown", "sp:destroy"}, whole...)

// TestOnRecord is what every provider promises about what the record knows and no tag tells. Each case is an attack or
// an accident, and is told first.
func TestOnRecord(t *testing.T) {
	cases := []struct {
		name, story string
		test        func(w *world)
	}{
		{"an account that is not there",
			"alice writes `account: asia`. It is found before anything is made, and the run can be taken back.", func(w *world) {
				c := func() *clipboard.Clipboard { return w.set(w.clipboard("loki"), "account", "asia") }
				for _, conf := range []string{w.cloud.Config(), w.conf(w.account("eu")), w.conf(w.account("eu"), w.account("us"))} {
					w.reconfigure(conf)
					r := w.failed(w.start(c(), "keys:create", "sp:deploy"), "asia")
					w.Log(r.Error)
					if r.Stage != 0 {
						w.Errorf("it failed at %s", r.Where())
					}
					if said := w.undone(r); strings.Contains(said, "could not") {
						w.Error(said)
					}
				}
				// Also when the entry goes while the run is under way: what made nothing has nothing to take back.
				c1, words := w.set(w.clipboard("loki"), "account", "us"), "has no right to"
				if slices.Contains(w.site.lacks, lab.Denied) {
					words = "did you mean"
					w.set(c1, "guestid", "Debain 12")
				} else {
					w.cloud.Chaos().Next(lab.Denied, w.site.create, 1)
				}
				r := w.failed(w.start(c1, "keys:create", "sp:deploy"), words)
				w.reconfigure(w.conf(w.account("eu")))
				if said := w.undone(r); strings.Contains(said, "could not") {
					w.Error(said)
				}
				w.machines()
			}},
		{"a machine that has lost its tags is not another's",
			"Somebody tidied thor's tags away. loki adopts that machine by its id, names it in a clipboard, finds it tagged as loki's own.", func(w *world) {
				thor := w.ready(w.start(w.clipboard("thor"), whole...))
				id := w.engine.Value(thor, "provider_id")
				w.cloud.Retag(id)
				r := w.failed(w.start(w.set(w.clipboard("loki"), "adopt_id", id), "sp:adopt"), "thor.websages.com's")
				w.Log(r.Error)
				w.undone(r)
				w.refused(w.set(w.clipboard("loki"), "provider_id", id), id, "sp:shutdown", "sp:destroy")
				if err := w.calls.Tag(w.Context(), id, provider.Mark{Owner: w.owner("loki")}); err != nil {
					w.Fatal(err)
				}
				w.refused(w.clipboard("loki"), id, "sp:shutdown", "sp:destroy", "sp:startup")
				next := w.start(w.clipboard("other"), "keys:create")
				w.ready(next)
				if err := w.calls.Tag(w.Context(), id, provider.Mark{Token: w.engine.Token(next.ID + 1), Owner: w.owner("loki")}); err != nil {
					w.Fatal(err)
				}
				r = w.failed(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"), "thor.websages.com's")
				w.Log(r.Error)
				must(w.engine.Undo(w.Context(), r.ID, "alice"))(w.T)
				w.until(r, nil)
				w.stays(id)
				// thor itself may still be taken down.
				w.cloud.Retag(id)
				w.ready(w.start(w.clipboard("thor"), "sp:shutdown", "sp:destroy"))
				w.machines()
			}},
		{"a host whose machine has lost its tags has one all the same",
			"loki's tags are gone. loki adopts a second machine, and the first one would be nobody's.", func(w *world) {
				r := w.ready(w.start(w.clipboard("loki"), whole...))
				id := w.engine.Value(r, "provider_id")
				w.cloud.Retag(id)
				second := w.stranger("www")
				r = w.failed(w.start(w.set(w.clipboard("loki"), "adopt_id", second), "sp:adopt"), id)
				w.Log(r.Error)
				if !strings.Contains(r.Error, "already; destroy it first") {
					w.Error(r.Error)
				}
			}},
		{"a host stays where it was made",
			"loki stands at eu. Its clipboard names us from now on, the list of accounts is written in another order, an entry gets a name.", func(w *world) {
				us := w.other()
				at := func(cloud lab.Cloud, name string) map[string]any {
					return w.entry(cloud, map[string]any{"account": name})
				}
				bare := w.clipboard("loki")
				w.ready(w.start(bare.Clone(), whole...)) // at the entry that has no name yet
				for _, c := range []struct {
					name, account, refused string
					conf                   string
				}{
					{"another account", "us", "stays where it was made", w.conf(at(w.cloud, "eu"), at(us, "us"))},
					{"another order", "", "", w.conf(at(us, "us"), at(w.cloud, "eu"))},
					{"another account again", "us", "stays where it was made", w.conf(at(us, "us"), at(w.cloud, "eu"))},
					{"the entry is gone", "", "does not have any more", w.conf(at(us, "us"))},
				} {
					w.reconfigure(c.conf)
					doc := w.clipboard("loki")
					if c.account != "" {
						w.set(doc, "account", c.account)
					}
					if c.refused == "" {
						w.ready(w.start(doc, rebuilt...))
					} else {
						for _, steps := range [][]string{rebuilt, {"sp:shutdown", "sp:destroy"}} {
							r := w.failed(w.start(doc.Clone(), steps...), c.refused)
							w.Logf("%s: %s", c.name, r.Error)
							if r.Stage != 0 {
								w.Errorf("%s: it failed at %s", c.name, r.Where())
							}
							must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(w.T)
						}
					}
					w.machines("loki")
					if n := us.Machines(); len(n) > 0 && w.site.module != "esx" {
						w.Fatalf("%s: us has %v", c.name, n)
					}
				}
				// Taken down where it is, it may be made elsewhere.
				w.reconfigure(w.conf(at(us, "us"), at(w.cloud, "eu")))
				w.ready(w.start(w.set(w.clipboard("loki"), "account", "eu"), "sp:shutdown", "sp:destroy"))
				w.machines()
				r := w.ready(w.start(w.set(w.clipboard("loki"), "account", "us"), "keys:create", "sp:deploy"))
				if got := w.engine.Value(r, "provider_account"); got != "us" {
					w.Errorf("it was made at %q", got)
				}
				w.machines()
			}},
		{"another configuration is no drift",
			"The defaults of the configuration change. No host that stands differs by that from what was left.", func(w *world) {
				w.reconfigure(w.conf(w.entry(w.cloud, map[string]any{"defaults": w.wishes("web")})))
				r := w.ready(w.start(w.clipboard("loki"), whole...))
				w.looks(r)
				w.reconfigure(w.conf(w.entry(w.cloud, map[string]any{"defaults": w.wishes("db")})))
				if l := w.looks(r); len(l.Unknown) > 0 {
					w.Errorf("not known is %+v", l.Unknown)
				}
				w.reconfigure(w.cloud.Config())
				if l := w.looks(r); len(l.Unknown) > 0 {
					w.Errorf("not known is %+v", l.Unknown)
				}
			}},
		{"tags that are gone are drift, and what is named puts it right",
			"Somebody takes all tags off loki's machine; then another installation puts its own on it; then somebody thor's.", func(w *world) {
				w.ready(w.start(w.clipboard("thor"), whole...))
				r := w.ready(w.start(w.clipboard("loki"), whole...))
				id := w.engine.Value(r, "provider_id")
				for _, tamper := range []func() error{
					func() error { w.cloud.Retag(id); return nil },
					func() error {
						return w.calls.Tag(w.Context(), id, provider.Mark{Owner: "jarvis-00000000:loki.websages.com"})
					},
					func() error { return w.calls.Tag(w.Context(), id, provider.Mark{Owner: w.owner("thor")}) },
				} {
					if err := tamper(); err != nil {
						w.Fatal(err)
					}
					l := w.looks(r, ": the machine "+id+"|instead of loki.websages.com's by its tags|then `adopt loki.websages.com "+id+"`")
					for _, d := range l.Differs {
						w.Log(d.Said())
					}
					c := must(w.engine.Stored(w.Context(), r.ID))(w.T)
					if err := c.Delete("provider_id"); err != nil {
						w.Fatal(err)
					}
					r = w.ready(w.start(w.set(c, "adopt_id", id), "sp:adopt"))
					w.looks(r)
				}
				w.ready(w.start(w.clipboard("loki"), "sp:shutdown", "sp:destroy"))
				w.machines("thor")
			}},
	}
	for _, s := range sites() {
		t.Run(s.module, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					t.Log(c.story)
					c.test(newWorld(t, s))
				})
			}
		})
	}
}

// wishes are defaults of the configuration that differ from word to word, in what the provider can do.
func (w *world) wishes(word string) map[string]any {
	w.Helper()
	out := map[string]any{"size": map[string]string{"web": "1GB", "db": "2GB"}[word]}
	if slices.Contains(w.calls.Honours, "tags") {
		out["tags"] = map[string]string{"team": word, word: "yes"}
	}
	if slices.Contains(w.calls.Honours, "network.public") {
		out["network"] = map[string]any{"public": word != "db"}
	}
	return out
}
