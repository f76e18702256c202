package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
)

// note is a file about one call: that it has begun, and, sealed to the server, what came of it.
type note struct {
	ID string `json:"id"`
	callKey
	Outcome string `json:"outcome,omitempty"`
}

// keepFor is how long outcomes are kept that nobody asked for again.
const keepFor = 7 * 24 * time.Hour

// note writes down that a call begins.
func (a *Agent) note(w *work) error {
	if w.call.reads() {
		return nil
	}
	return a.write(note{ID: w.call.ID, callKey: w.call.callKey})
}

func (a *Agent) file(id string) string { return filepath.Join(a.Dir, "call-"+id+".json") }

// write makes a file that is whole and on disk, or none.
func (a *Agent) write(n note) (err error) {
	if a.Dir == "" {
		return nil
	}
	if !goodID(n.ID) {
		return fmt.Errorf("the number of the call is %q", n.ID)
	}
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return err
	}
	name := a.file(n.ID)
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	d, err := os.Open(a.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// goodID reports whether a number may be part of a file's name.
func goodID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// recall reads what an earlier process left. A call of which only the beginning is there was under way when that died.
func (a *Agent) recall() error {
	if a.Dir == "" {
		return nil
	}
	files, err := os.ReadDir(a.Dir) // and no pattern: the folder may be named like one
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read what an earlier agent kept: %w", err)
	}
	for _, entry := range files {
		if !strings.HasPrefix(entry.Name(), "call-") || !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		name := filepath.Join(a.Dir, entry.Name())
		st, err := os.Stat(name)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read what an earlier agent kept: %w", err)
		}
		var n note
		if err := json.Unmarshal(b, &n); err != nil || name != a.file(n.ID) || !goodID(n.ID) {
			a.Log.Error("the file of a call cannot be read, and is left alone", "file", name, "err", err)
			continue
		}
		if n.Outcome != "" && time.Since(st.ModTime()) > keepFor {
			_ = os.Remove(name)
			continue
		}
		w := &work{a: a, call: call{ID: n.ID, callKey: n.callKey}, step: a.steps[n.Step], ended: make(chan struct{}), told: make(chan struct{}), news: make(chan struct{})}
		close(w.ended)
		if n.Outcome != "" {
			w.outcome = &frame{Sealed: n.Outcome}
		}
		a.works[n.ID] = w
	}
	return nil
}

// remove forgets a call that is over.
func (a *Agent) remove(w *work) {
	a.mu.Lock()
	if a.works[w.call.ID] == w {
		delete(a.works, w.call.ID)
	}
	a.mu.Unlock()
	if a.Dir == "" || w.call.reads() {
		return
	}
	if err := os.Remove(a.file(w.call.ID)); err != nil && !errors.Is(err, os.ErrNotExist) {
		a.Log.Error("remove the file of a call", "err", err)
	}
}

// bound forgets the oldest outcomes that a server was told, when there are too many: it has long written them down. One
// that asks for such a call again all the same is answered as if the agent had been stopped in its middle.
func (a *Agent) bound() {
	a.mu.Lock()
	var told []*work
	if len(a.works) > maxHolds {
		for _, w := range a.works {
			select {
			case <-w.told:
				told = append(told, w)
			default:
			}
		}
	}
	many := len(a.works) - maxHolds*9/10
	a.mu.Unlock()
	if len(told) == 0 {
		return
	}
	slices.SortFunc(told, func(x, y *work) int { return x.since.Compare(y.since) })
	for _, w := range told[:min(many, len(told))] {
		a.remove(w)
	}
}

// forget ends a call that the server wants no more. One that does not end before the agent does is not forgotten: the
// server says it again to the next process.
func (a *Agent) forget(id string) {
	a.mu.Lock()
	w := a.works[id]
	a.mu.Unlock()
	if w == nil {
		return
	}
	a.Log.Warn("the server does not want this work any more", "run", w.call.Run, "step", w.call.Step)
	if w.stop == nil {
		a.remove(w)
		return
	}
	w.stop(errOther)
	select {
	case <-w.ended:
		a.remove(w)
		return
	default:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped { // Close waits for all that was begun, and nothing may begin beside that
		return
	}
	a.wg.Go(guard.Log(a.Log, "end what is not wanted"), func() {
		<-w.ended
		a.remove(w)
	})
}

// stop ends a call that nobody wants any more, and returns when it has ended.
func (a *Agent) stop(ctx context.Context, s *stop) {
	a.mu.Lock()
	var list []*work
	for _, w := range a.works {
		if w.call.Run == s.Run && w.stop != nil && !w.call.reads() && w.call.word() == s.Call {
			list = append(list, w)
		}
	}
	a.mu.Unlock()
	for _, w := range list {
		if !w.over() {
			a.Log.Warn("the server does not want this work any more", "run", w.call.Run, "step", w.call.Step)
		}
		w.stop(errOther)
		select {
		case <-w.ended:
			a.remove(w)
		case <-ctx.Done(): // the line is cut: over the next one the server says it again
			return
		}
	}
}

// Close stops the steps: at once those that can be taken up again, and the others after Drain. Call it while the line
// is there: what came of them is told over it.
func (a *Agent) Close() {
	a.mu.Lock()
	a.stopped = true
	list := make([]*work, 0, len(a.works))
	for _, w := range a.works {
		if w.stop != nil {
			list = append(list, w)
		}
	}
	controls := slices.Collect(maps.Keys(a.controls))
	a.mu.Unlock()
	for _, c := range controls { // beside the rest: a line that is dead takes a while to take it
		a.wg.Go(guard.Log(a.Log, "say that it stops"), func() { _ = c.send(frame{Stopping: true}) })
	}
	slices.SortFunc(list, func(x, y *work) int { return strings.Compare(x.call.ID, y.call.ID) })
	for _, w := range list {
		if w.step.Resume != pipeline.Ask || w.call.Func != fnDo {
			w.stop(pipeline.ErrStopping)
		}
	}
	end := time.After(a.Drain)
	for _, w := range list {
		select {
		case <-w.ended:
			continue
		case <-end:
			end = time.After(0)
		}
		w.stop(pipeline.ErrStopping)
	}
	a.wg.Wait()
	for _, w := range list {
		w.mu.Lock()
		heard := w.on != nil
		w.mu.Unlock()
		if !heard {
			continue
		}
		select {
		case <-w.told:
		case <-time.After(tellTime): // the line is cut: it is asked for later
		}
	}
}

// tellTime is how long an agent that stops waits for what came of its steps to be on the line.
const tellTime = time.Second
