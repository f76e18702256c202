package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
)

// DriftConfig says how often hosts are looked at by the clock.
type DriftConfig struct {
	Every       time.Duration `yaml:"every" doc:"how often each host is compared with what its deployment left, as in 24h; empty: only when somebody asks"`
	AtOnce      int           `yaml:"at_once" doc:"hosts that are looked at at the same moment" default:"16"`
	PerProvider int           `yaml:"per_provider" doc:"questions at the same moment to one provider of machines" default:"4"`
}

// Check says what is wrong with the configuration.
func (c DriftConfig) Check() error {
	var wrong mistake.List
	if c.Every != 0 && c.Every < time.Second {
		wrong.At("drift.every", "is %s; give a time between two looks, as in 24h, or leave it out", c.Every)
	}
	if c.AtOnce < 0 {
		wrong.At("drift.at_once", "is %d; it is a number from 1 on", c.AtOnce)
	}
	if c.PerProvider < 0 {
		wrong.At("drift.per_provider", "is %d; it is a number from 1 on", c.PerProvider)
	}
	return wrong.Err()
}

// watch is what bounds the looks. It is safe for concurrent use.
type watch struct {
	cfg   DriftConfig
	after string // the host after which the clock goes on to enrol; the clock's alone

	mu     sync.Mutex
	paused map[string]time.Time     // modules that asked us to slow down, until when
	slots  map[string]chan struct{} // by provider
	slowed map[string]int           // by host: how often a look was put off in a row
}

func newWatch(c DriftConfig) *watch {
	c.AtOnce, c.PerProvider = cmp.Or(c.AtOnce, 16), cmp.Or(c.PerProvider, 4)
	return &watch{cfg: c, paused: map[string]time.Time{}, slots: map[string]chan struct{}{}, slowed: map[string]int{}}
}

// enter waits for a place among the questions to the host's provider; other modules are bounded by the hosts alone. It
// gives a Wait while that module wants us to be slow.
func (w *watch) enter(ctx context.Context, provider, module string) (free func(), err error) {
	free = func() {}
	if module == provider {
		w.mu.Lock()
		if w.slots[module] == nil {
			w.slots[module] = make(chan struct{}, w.cfg.PerProvider)
		}
		slot := w.slots[module]
		w.mu.Unlock()
		select {
		case slot <- struct{}{}:
		case <-ctx.Done():
			return free, context.Cause(ctx)
		}
		free = func() { <-slot }
	}
	if d := w.pauseOf(module); d > 0 {
		free()
		return func() {}, Wait(d, fmt.Sprintf("%s asked us to slow down, for %s more", module, d.Round(time.Second)))
	}
	return free, nil
}

// pause has nobody ask a module for a while.
func (w *watch) pause(module string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until := time.Now().Add(d); until.After(w.paused[module]) {
		w.paused[module] = until
	}
}

// pauseOf is how long a module asked to be left alone; 0 or less: no longer.
func (w *watch) pauseOf(module string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Until(w.paused[module])
}

// patienceWith is how often in a row a look is put off because somebody is to be asked more slowly.
const patienceWith = 3

// putOff reports whether a look that met a Wait is to be made again later, rather than stored.
func (w *watch) putOff(l Look) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.slow == 0 || w.slowed[l.FQDN] >= patienceWith {
		delete(w.slowed, l.FQDN)
		return false
	}
	w.slowed[l.FQDN]++
	return true
}

// slot spreads hosts over a time, each at the same place of it always.
func slot(fqdn string, over time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(fqdn))
	return time.Duration(h.Sum64() % uint64(max(over, 1)))
}

// lookByClock looks at each host once in a period until ctx ends.
func (e *Engine) lookByClock(ctx context.Context) {
	every := e.drift.cfg.Every
	if every <= 0 {
		<-ctx.Done()
		return
	}
	if err := e.reschedule(ctx, time.Now(), every); err != nil && ctx.Err() == nil {
		e.log.Error("see which hosts are due to be looked at", "err", err)
	}
	pause := min(10*time.Second, every/20)
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		more, err := e.lookAtDue(ctx)
		if err != nil && ctx.Err() == nil {
			e.log.Error("look for drift", "err", err)
		}
		if more && err == nil {
			t.Reset(0)
		} else {
			t.Reset(pause)
		}
	}
}

// lookBatch is how many hosts are read from the record at once.
const lookBatch = 200

// lookAtDue looks at the hosts that are due. more reports whether there may be others.
func (e *Engine) lookAtDue(ctx context.Context) (more bool, err error) {
	every := e.drift.cfg.Every
	began := time.Now()
	if e.drift.after, err = e.enrol(ctx, e.drift.after, func(fqdn string) time.Time { return began.Add(slot(fqdn, every/4)) }); err != nil {
		return false, err
	}
	due, err := e.dueLooks(ctx, began, lookBatch)
	if err != nil {
		return false, err
	}
	var wg guard.Group
	defer wg.Wait()
	places := make(chan struct{}, e.drift.cfg.AtOnce)
	for _, h := range due {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		places <- struct{}{}
		wg.Go(guard.Log(e.log, "look for drift", "host", h.FQDN), func() {
			defer func() { <-places }()
			if err := e.lookAt(ctx, h); err != nil && ctx.Err() == nil {
				e.log.Error("look for drift", "host", h.FQDN, "err", err)
			}
		})
	}
	return len(due) == lookBatch || e.drift.after != "", nil
}

// lookAt looks at a host that is due, and puts on record what it found.
func (e *Engine) lookAt(ctx context.Context, h Standing) error {
	if d := e.drift.pauseOf(h.Provider); d > 0 && h.Provider != "" {
		return e.postpone(ctx, h.FQDN, time.Now().Add(d+slot(h.FQDN, d)))
	}
	l, err := e.Look(ctx, h)
	if err == nil && e.drift.putOff(l) {
		return e.postpone(ctx, h.FQDN, time.Now().Add(l.slow+slot(h.FQDN, l.slow)))
	}
	if err == nil {
		err = e.storeLook(ctx, h, l, l.At.Add(e.drift.cfg.Every))
	}
	var other *NotReadyError
	if errors.Is(err, ErrMoved) || errors.As(err, &other) {
		return nil // a run is under way, or has been: the host is due again, when it stands
	}
	return err
}
