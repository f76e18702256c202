package agent

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/jarvisops/jarvis/internal/guard"
)

// peer is an agent, with a line or, for a while, without. Its steps are begun while it has one; those under way wait
// for it.
type peer struct {
	id, silo string

	mu         sync.Mutex
	name       string         // as it said with its newest line
	session    *yamux.Session // nil: the line is cut
	boot, addr string         // of who opened it
	news       chan struct{}  // closed when session changes
	gone       bool           // it does not come back in time, or said goodbye: nothing waits for it
	stop       func()         // of the engine; nil: it is not served
	offers     []offered
	halts      map[string]bool // calls that it is being told to stop
	warned     Loose           // the last that it did not stop
}

// arrive gives an agent its line, in the place of an older one, and has the engine use its steps.
func (h *Hub) arrive(session *yamux.Session, hi *hello, g Guest) (*peer, error) {
	h.mu.Lock()
	p := h.peers[peerKey(hi.Silo, hi.ID)]
	if p == nil {
		p = &peer{id: hi.ID, silo: hi.Silo, news: make(chan struct{})}
		h.peers[peerKey(hi.Silo, hi.ID)] = p
	}
	delete(h.cut, peerKey(hi.Silo, hi.ID))
	p.mu.Lock() // before h.mu goes: nobody takes it out of the list meanwhile
	h.mu.Unlock()
	old := p.session
	p.name, p.session, p.boot, p.addr, p.gone = hi.Name, session, hi.Boot, g.Addr, false
	stop, same := p.stop, slices.EqualFunc(p.offers, hi.Steps, offered.equal)
	close(p.news)
	p.news = make(chan struct{})
	p.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	if stop != nil && same {
		return p, nil
	}
	fresh, err := h.Engine.Serve(p.silo, hi.Name, h.steps(p, hi.Steps))
	if err != nil {
		h.leave(p, session, true)
		return nil, err
	}
	p.mu.Lock()
	if p.session == session {
		p.stop, p.offers = fresh, hi.Steps
	} else { // it was cut, or has a newer one, while the engine was told
		stop = fresh
	}
	p.mu.Unlock()
	h.end(stop)
	return p, nil
}

// end has the engine begin nothing more of what an agent offered. It waits for the calls in hand, and nobody for it.
func (h *Hub) end(stop func()) {
	if stop != nil {
		h.ends.Go(guard.Log(h.Log, "end what an agent offered"), stop)
	}
}

func peerKey(silo, id string) string { return silo + "/" + id }

// equal compares all that the engine is told of a step: an agent that comes back with the same changes nothing there.
func (o offered) equal(b offered) bool {
	return o.Name == b.Name && o.Doc == b.Doc && o.Resume == b.Resume && o.Timeout == b.Timeout && o.Silence == b.Silence &&
		slices.Equal(o.Aliases, b.Aliases) && slices.Equal(o.Needs, b.Needs) && slices.Equal(o.Gives, b.Gives) && slices.Equal(o.Has, b.Has)
}

// rest begins nothing more at an agent that stops. What it has in hand goes on.
func (h *Hub) rest(p *peer, session *yamux.Session) {
	p.mu.Lock()
	var stop func()
	if p.session == session {
		stop = p.stop
		p.stop, p.offers = nil, nil
	}
	p.mu.Unlock()
	h.end(stop)
}

// leave notes that a line is over: nothing more begins over there. What is under way waits for the next line, for a
// while; not for that of an agent that said goodbye.
func (h *Hub) leave(p *peer, session *yamux.Session, forGood bool) {
	p.mu.Lock()
	if p.session != session {
		p.mu.Unlock()
		return // a newer line has its place
	}
	p.session = nil
	news, stop := p.news, p.stop
	p.stop, p.offers = nil, nil
	p.mu.Unlock()
	h.end(stop)
	h.mu.Lock()
	h.cut[peerKey(p.silo, p.id)] = time.Now()
	h.mu.Unlock()
	if forGood {
		h.drop(p)
		return
	}
	time.AfterFunc(h.Grace, guard.Func(guard.Log(h.Log, "give up an agent"), func() {
		select {
		case <-news: // it came back
		default:
			h.drop(p)
		}
	}))
}

// away tells how long an agent has been without a line to this server; 0 when it never had one.
func (h *Hub) away(silo, id string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	since := h.cut[peerKey(silo, id)]
	if since.IsZero() {
		return 0
	}
	return time.Since(since)
}

// pass reports whether a run may be left to another server that has a line to its agent: for a time of grace.
func (h *Hub) pass(run int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.passed, func(_ int64, since time.Time) bool { return time.Since(since) > 10*h.Grace })
	if h.passed[run].IsZero() {
		h.passed[run] = time.Now()
	}
	return time.Since(h.passed[run]) < h.Grace
}

// drop ends the waiting for an agent.
func (h *Hub) drop(p *peer) {
	h.mu.Lock()
	p.mu.Lock()
	back := p.session != nil || p.gone
	if !back {
		p.gone = true
		close(p.news)
		p.news = make(chan struct{})
		delete(h.peers, peerKey(p.silo, p.id))
	}
	name := p.name
	p.mu.Unlock()
	h.mu.Unlock()
	if !back {
		h.Log.Warn("an agent is gone", "silo", p.silo, "agent", name)
	}
}

// twin tells where another process is that lives and says it is the same agent; "" when there is none. Both would be
// told to go on with what the other has in hand.
func (h *Hub) twin(hi *hello) (addr string) {
	h.mu.Lock()
	p := h.peers[peerKey(hi.Silo, hi.ID)]
	h.mu.Unlock()
	if p == nil {
		return ""
	}
	p.mu.Lock()
	session, boot, addr := p.session, p.boot, p.addr
	p.mu.Unlock()
	if session == nil || hi.Passing || hi.Boot == "" || hi.Boot == boot {
		return ""
	}
	answers := make(chan bool, 1)
	guard.Go(guard.Log(h.Log, "look whether an agent answers"), func() {
		_, err := session.Ping()
		answers <- err == nil
	})
	select {
	case yes := <-answers:
		if yes {
			return addr
		}
	case <-time.After(pingTime): // it is dead, and the network has not said so yet
	}
	return ""
}

// pingTime is how long an agent may take to show that it lives when another says it is the same one.
const pingTime = 3 * time.Second
