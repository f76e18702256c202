package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
)

// serving is what agents do through this node.
type serving struct {
	mu     sync.Mutex
	by     map[string][]*server     // by silo
	queues map[string]*taken        // by silo: those that we take jobs of, beside our own
	calls  map[string]*atomic.Int64 // by silo: in hand, also of agents that offer nothing any more
}

// taken is a queue. mu is held while it is begun or ended: other silos do not wait for that.
type taken struct {
	mu  sync.Mutex
	now bool
}

// server is one agent's offer.
type server struct {
	inSilo *atomic.Int64 // calls in hand for the silo
	silo   string
	who    string
	steps  map[string]Step

	mu     sync.Mutex
	calls  int
	closed bool
	idle   chan struct{} // closed when no call is in hand, and none will be
}

// Serve has this node take runs that need a silo, with steps that are done elsewhere: by an agent, who. Each step's
// functions do their work over there, and its description is what the agent offers. Steps of modules that the
// configuration does not give to the silo are left out; it refuses what Takes refuses. Several may serve one silo.
//
// A function that returns ErrStopping leaves its step as under way: whoever takes the run up next treats it as its
// Resume says, with Facts.Resumed. That is for an agent of which nobody knows what it did.
//
// stop takes no more runs of the silo and returns when none is in hand; it may be called again.
func (e *Engine) Serve(silo, who string, steps []Step) (stop func(), err error) {
	offer, _, err := e.takes(silo, steps)
	if err != nil {
		return nil, err
	}
	s := &server{inSilo: e.serving.inHand(silo), silo: silo, who: who, steps: map[string]Step{}, idle: make(chan struct{})}
	for _, step := range offer {
		step = s.wrap(step)
		for _, name := range append([]string{step.Name}, step.Aliases...) {
			s.steps[name] = step
		}
	}
	e.serving.add(s)
	err = e.tendQueue(silo)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err == nil {
		err = e.noteOffers(ctx, silo, offer)
	}
	if err == nil {
		err = e.noteServed(ctx)
	}
	if err != nil {
		e.unserve(s)
		return nil, fmt.Errorf("serve the silo %s: %w", silo, err)
	}
	e.lookAgain()
	return sync.OnceFunc(func() { e.unserve(s) }), nil
}

// Takes says whether Serve would take steps for a silo, and which it would leave out: an error when the configuration
// has no such silo, or none of these steps for it, or when this node stops or drains.
func (e *Engine) Takes(silo string, steps []Step) (left []string, err error) {
	_, left, err = e.takes(silo, steps)
	return left, err
}

// takes tells what an agent offers and may from what it may not. Its error refuses all of it.
func (e *Engine) takes(silo string, steps []Step) (offer []Step, not []string, err error) {
	if silo == "" || !slices.Contains(e.SiloNames(), silo) {
		return nil, nil, fmt.Errorf("the configuration has no silo %q; name it under silos, with the modules whose steps run there", silo)
	}
	for _, step := range steps {
		if e.reg.SiloOf(step.Name) != silo || !stepName.MatchString(step.Name) {
			not = append(not, step.Name)
			continue
		}
		step.Silo = silo
		offer = append(offer, step)
	}
	switch {
	case len(offer) == 0:
		err = fmt.Errorf("no step that is offered belongs to the silo %s; silos in the configuration says which modules do", silo)
	case e.halting():
		err = errors.New("this server stops or drains, and begins nothing any more; ask another one")
	}
	return offer, not, err
}

// unserve ends what Serve began, and returns when nothing of it is in hand.
func (e *Engine) unserve(s *server) {
	e.serving.drop(s)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	if e.db.Why() != nil { // nothing of ours counts any more, and this process ends
		cancel()
	}
	if err := e.noteServed(ctx); err != nil && e.db.Why() == nil {
		e.log.Warn("note that a silo is not served any more; it is tried again", "silo", s.silo, "err", err)
	}
	cancel()
	s.close()
	<-s.idle
	if e.db.Why() != nil {
		return
	}
	if err := e.tendQueue(s.silo); err != nil {
		e.log.Error("take no more runs of a silo", "silo", s.silo, "err", err)
	}
	e.lookAgain()
}

// tendQueue has us take the jobs of a silo's queue while somebody here serves it, and as long as a call is in hand: to
// leave a queue is to wait for its jobs, and River lets nobody else come or go meanwhile. A job that we take and cannot
// do is put back.
func (e *Engine) tendQueue(silo string) error {
	if silo == e.here {
		return nil // it is the node's own
	}
	q := e.serving.queue(silo)
	q.mu.Lock()
	defer q.mu.Unlock()
	want := e.serving.anybody(silo) || e.serving.inHand(silo).Load() > 0
	var err error
	switch {
	case want && !q.now:
		err = e.queue.serve(silo)
	case q.now && !want:
		err = e.queue.leave(context.Background(), silo) // no call is in hand, so this is soon over
	}
	if err == nil {
		q.now = want
	}
	return err
}

func newServing() *serving {
	return &serving{by: map[string][]*server{}, queues: map[string]*taken{}, calls: map[string]*atomic.Int64{}}
}

func (v *serving) queue(silo string) *taken {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := v.queues[silo]
	if q == nil {
		q = &taken{}
		v.queues[silo] = q
	}
	return q
}

func (v *serving) add(s *server) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.by[s.silo] = append(v.by[s.silo], s)
}

func (v *serving) drop(s *server) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.by[s.silo] = slices.DeleteFunc(v.by[s.silo], func(o *server) bool { return o == s })
}

// inHand counts the calls in hand for a silo.
func (v *serving) inHand(silo string) *atomic.Int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.calls[silo] == nil {
		v.calls[silo] = &atomic.Int64{}
	}
	return v.calls[silo]
}

// agents names those that serve each silo here.
func (v *serving) agents() map[string][]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[string][]string{}
	for silo, list := range v.by {
		for _, s := range list {
			out[silo] = append(out[silo], s.who)
		}
		slices.Sort(out[silo])
	}
	return out
}

// step gives a step of a silo from whoever has least to do. The error is an *UnknownStepError, also when nobody serves
// it.
func (v *serving) step(silo, name string) (Step, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var best *server
	least := 0
	for _, s := range v.by[silo] {
		if _, ok := s.steps[name]; !ok {
			continue
		}
		if n := s.busy(); best == nil || n < least {
			best, least = s, n
		}
	}
	if best == nil {
		return Step{}, &UnknownStepError{Name: name, Why: "no agent of " + siloWords(silo) + " that is connected to this server offers it"}
	}
	return best.steps[name], nil
}

// anybody reports whether an agent of a silo is connected here.
func (v *serving) anybody(silo string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.by[silo]) > 0
}

func (s *server) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// enter reports false once the agent is gone: the call must not begin.
func (s *server) enter() bool {
	s.inSilo.Add(1) // before anybody who waits for s can find it idle
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.inSilo.Add(-1)
		return false
	}
	s.calls++
	return true
}

// leave closes idle when it ends the last call of an agent that is gone.
func (s *server) leave() {
	s.inSilo.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls--; s.closed && s.calls == 0 {
		close(s.idle)
	}
}

// close lets no call begin any more. It is called once: idle is closed here or by the last leave.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed = true; s.calls == 0 {
		close(s.idle)
	}
}

// wrap counts the calls of a step, and lets none begin once the server is closed.
func (s *server) wrap(step Step) Step {
	type does = func(context.Context, *clipboard.Clipboard) error
	count := func(f does) does {
		if f == nil {
			return nil
		}
		return func(ctx context.Context, c *clipboard.Clipboard) error {
			if !s.enter() {
				return ErrNotBegun
			}
			defer s.leave()
			return f(ctx, c)
		}
	}
	step.Do, step.Check, step.Release, step.Undo = count(step.Do), count(step.Check), count(step.Release), count(step.Undo)
	if plan := step.Plan; plan != nil {
		step.Plan = func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
			if !s.enter() {
				return "", ErrNotBegun
			}
			defer s.leave()
			return plan(ctx, c)
		}
	}
	if drift := step.Drift; drift != nil {
		step.Drift = func(ctx context.Context, c *clipboard.Clipboard) ([]Difference, error) {
			if !s.enter() {
				return nil, ErrNotBegun
			}
			defer s.leave()
			return drift(ctx, c)
		}
	}
	return step
}
