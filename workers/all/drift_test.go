package all

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/pipeline"
)

// hand is who does something to a machine behind the back of its run, with its marks.
type hand struct{ facts pipeline.Facts }

func (hand) Progress(string)                                  {}
func (hand) Log(string)                                       {}
func (hand) Keep(context.Context, *clipboard.Clipboard) error { return nil }
func (h hand) Facts() pipeline.Facts                          { return h.facts }

// byHand calls a step on a run's clipboard, beside the record.
func (w *world) byHand(r pipeline.Run, task string) {
	w.Helper()
	s := must(w.engine.Registry().Lookup(w.site.module+":"+task, ""))(w.T)
	c := must(w.engine.Stored(w.Context(), r.ID))(w.T)
	ctx := pipeline.WithHost(w.Context(), hand{pipeline.Facts{Run: r.ID, Token: w.engine.Token(r.ID), Owner: pipeline.OwnerOf(w.engine.Installation(), r.FQDN)}})
	for began := time.Now(); ; {
		err := s.Do(ctx, c)
		d, _, waits := pipeline.AsWait(err)
		if err == nil {
			return
		}
		if !waits || time.Since(began) > 30*time.Second {
			w.Fatalf("%s: %v", s.Name, err)
		}
		time.Sleep(min(d, 200*time.Millisecond))
	}
}

// looks makes sure that a look finds these differences in a machine, and no others. Each is "step: what has become;
// fix".
func (w *world) looks(r pipeline.Run, want ...string) pipeline.Look {
	w.Helper()
	h := must(w.engine.FindHost(w.Context(), r.FQDN))(w.T)
	l := must(w.engine.Look(w.Context(), h))(w.T)
	ok := len(l.Differs) == len(want)
	for i := range min(len(l.Differs), len(want)) {
		d := l.Differs[i]
		for _, words := range strings.Split(want[i], "|") {
			ok = ok && strings.Contains(d.Step+": "+d.Said(), words)
		}
	}
	if !ok {
		w.Errorf("found %+v, want %q", l.Differs, want)
	}
	return l
}

// TestDriftOfMachines: every provider's machines are found where they are not as they were left, and nothing is found
// otherwise.
func TestDriftOfMachines(t *testing.T) {
	for _, s := range sites() {
		t.Run(s.module, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s)
			r := w.ready(w.start(w.clipboard("loki"), whole...))
			other := w.ready(w.start(w.clipboard("other"), whole...))
			if l := w.looks(r); len(l.Unknown) > 0 || l.Asked != 3 {
				t.Errorf("an untouched host: asked %d, not known %+v", l.Asked, l.Unknown)
			}

			w.byHand(r, "shutdown")
			l := w.looks(r, s.module+":get_pub_ip: the machine |instead of running|see who powered it off, then `jarvis show loki.websages.com | grep -v !secret | jarvis step "+s.module+":startup`")
			if len(l.Unknown) != 1 || l.Unknown[0].Step != "ssh:wait" {
				t.Errorf("of a host that is off, not known is %+v", l.Unknown)
			}
			w.byHand(r, "startup")
			for limit := time.Now().Add(20 * time.Second); len(l.Unknown) > 0 && time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
				l = must(w.engine.Look(t.Context(), must(w.engine.FindHost(t.Context(), r.FQDN))(t)))(t)
			}
			w.looks(r)

			// An API that says no is neither a difference nor none.
			if !slices.Contains(s.lacks, lab.Denied) {
				w.cloud.Chaos().Next(lab.Denied, "", 1)
				if l := w.looks(r); len(l.Unknown) != 2 || l.Unknown[0].Step != s.module+":deploy" || l.Unknown[0].Why == "" {
					t.Errorf("denied: %+v", l.Unknown)
				}
			}

			w.byHand(r, "destroy")
			w.looks(r, s.module+":deploy: the machine |gone instead of there|`redeploy loki.websages.com`")
			w.looks(other)
			if got := w.cloud.Machines(); len(got) != 1 {
				t.Errorf("machines are %v", got)
			}
		})
	}
}
