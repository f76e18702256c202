package pages

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

// faulty is a view of a page with a bug, which shows itself while a flag is set.
type faulty struct {
	view
	bug *atomic.Bool
}

func (f faulty) own(p access.Person) []part {
	if f.bug.Swap(false) {
		panic("boom")
	}
	return f.view.own(p)
}

// TestABugInAPageIsOverWhenItIsOver: whoever has a page open sees all of it once it can be drawn again, wherever the
// bug had been.
func TestABugInAPageIsOverWhenItIsOver(t *testing.T) {
	w := newWorld(t)
	var inRead, inOwn, inAbout atomic.Bool
	p := execPage()
	read := p.read
	p.path, p.every = "/faulty", 100*time.Millisecond
	p.read = func(s *Site, ctx context.Context, q query, was view, news []pipeline.Event) (view, error) {
		if inRead.Swap(false) {
			panic("boom")
		}
		v, err := read(s, ctx, q, nil, nil)
		return faulty{v, &inOwn}, err
	}
	p.about = func(query, pipeline.Event) bool {
		if inAbout.Swap(false) {
			panic("boom")
		}
		return false
	}
	inRead.Store(true)
	r, leave := w.site.hub.join(p, query{}, w.access.Person("alice"), 0)
	defer leave()
	whole := func(where string) {
		t.Helper()
		limit := time.After(10 * time.Second)
		for {
			select {
			case b := <-r.out:
				if strings.Contains(string(b), `id="ended"`) && strings.Contains(string(b), `id="live" class="on"`) {
					return
				}
			case <-r.gone:
				t.Fatalf("%s: the page was let go", where)
			case <-limit:
				t.Fatalf("%s: the page was not sent again", where)
			}
		}
	}
	whole("a bug before the first drawing")
	inOwn.Store(true)
	whole("a bug in its middle")
	inAbout.Store(true)
	w.reach(w.deploy("loki"), pipeline.Ready)
	whole("a bug while events are looked at")
	if n := strings.Count(w.log.String(), "something panicked"); n != 3 {
		t.Errorf("%d bugs are in the log:\n%s", n, w.log)
	}
}
