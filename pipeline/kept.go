package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/store"
)

// What a finished step gave is in this process alone until the database takes it. When the database is slow to, or
// refuses, it is put into a file as well, so that not even a kill in that moment makes the step run again: the next
// start finds the file, and writes what it says before it takes up the run.

// kept is one such file. The clipboard is sealed and the texts are masked, as in the record.
type kept struct {
	Install   string    `json:"installation"`
	Run       int64     `json:"run"`
	Epoch     int64     `json:"epoch"`
	Stage     int       `json:"stage"`
	Step      string    `json:"step"`
	At        time.Time `json:"at"`
	TookMS    int64     `json:"took_ms"`
	Text      string    `json:"text,omitempty"`
	Diff      string    `json:"diff,omitempty"`
	Clipboard string    `json:"clipboard"`
}

// slowCommit is how long a commit may take before its outcome is put into a file.
const slowCommit = time.Second

// keeper writes an outcome into a file once it has to be, and takes the file away once it is on record. A nil keeper
// does nothing.
type keeper struct {
	e     *Engine
	what  kept
	timer *time.Timer

	mu     sync.Mutex
	file   string // "" until it is written
	closed bool
}

// keeper begins to watch over the outcome of a run's step. The caller calls close.
func (e *Engine) keeper(k kept) *keeper {
	if e.dir == "" {
		return nil
	}
	k.Install = e.install
	out := &keeper{e: e, what: k}
	out.timer = time.AfterFunc(slowCommit, guard.Func(guard.Log(e.log, "keep the outcome of a step"), out.keep))
	return out
}

// keep writes the file, once.
func (k *keeper) keep() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.file != "" {
		return
	}
	file := filepath.Join(k.e.dir, fmt.Sprintf("run-%d-%d.json", k.what.Run, k.what.Epoch))
	b, err := json.Marshal(k.what)
	if err == nil {
		err = writeSynced(file, b)
	}
	if err != nil {
		k.e.log.Error("the outcome of a step is kept in memory alone until the database takes it", "run", k.what.Run, "err", err)
		return
	}
	k.file = file
}

// close ends the watch. The file stays when nobody has the outcome yet.
func (k *keeper) close(needless bool) {
	if k == nil {
		return
	}
	k.timer.Stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if k.file != "" && needless {
		k.e.drop(k.file)
	}
}

func (e *Engine) drop(file string) {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		e.log.Error("remove the file of an outcome that is on record", "err", err)
	}
}

// writeSynced makes a file that is whole and on disk, or none.
func writeSynced(name string, b []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(name + ".new")
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// recall writes the outcomes that an earlier process could not, and gives the files that are of no more use. It goes
// before the runs are taken up, which ends the epochs that the files name.
func (e *Engine) recall(ctx context.Context, tx store.Tx) (files []string, err error) {
	if e.dir == "" {
		return nil, nil
	}
	all, err := filepath.Glob(filepath.Join(e.dir, "run-*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range all {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var k kept
		if err := json.Unmarshal(b, &k); err != nil {
			e.log.Error("the file of an outcome cannot be read, and is left alone", "file", file, "err", err)
			continue
		}
		if k.Install != e.install {
			e.log.Warn("the file of an outcome belongs to another database, and is left alone", "file", file)
			continue
		}
		used, err := e.recallOne(ctx, tx, k)
		if err != nil {
			return nil, fmt.Errorf("write what run %d had done: %w", k.Run, err)
		}
		e.log.Info("a step had ended while the database was away", "run", k.Run, "step", k.Step, "on_record_now", used)
		files = append(files, file)
	}
	return files, nil
}

// recallOne takes a run past the stage whose outcome was kept, unless it has moved on since.
func (e *Engine) recallOne(ctx context.Context, tx store.Tx, k kept) (bool, error) {
	r, err := lock(ctx, tx, k.Run)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if r.epoch != k.Epoch || r.Stage != k.Stage || r.Step() != k.Step || r.undoing || !r.State.Moving() {
		return false, nil
	}
	before, err := r.doc()
	if err != nil {
		return false, err
	}
	after, err := clipboard.Parse([]byte(k.Clipboard))
	if err != nil {
		return false, err
	}
	next := r
	next.clipboard, next.parsed = k.Clipboard, nil
	next.pass(k.At)
	if err := noteStep(ctx, tx, &r, k.Step, before, after); err != nil {
		return false, err
	}
	return true, save(ctx, tx, &r, &next, Event{At: k.At, Kind: EvDone, Stage: k.Stage, Step: k.Step, Text: k.Text, Diff: k.Diff, Took: time.Duration(k.TookMS) * time.Millisecond})
}

// pass takes a run past its stage.
func (r *Run) pass(now time.Time) {
	r.Stage++
	r.State, r.Waits, r.Why, r.attempts, r.StageAt, r.mark = Running, "", "", 0, now, notBegun
	r.checked, r.released = "", 0
}

// noteStep puts on record what a step that is done changed about its host: how it is reached, and which machine is its.
func noteStep(ctx context.Context, tx store.Tx, r *Run, step string, before, after *clipboard.Clipboard) error {
	if err := noteMachine(ctx, tx, r, step, before, after); err != nil {
		return err
	}
	if isDestroy(step) {
		if err := forgetMachines(ctx, tx, r.FQDN, Module(step)); err != nil {
			return err
		}
	}
	was, is := reachOf(before), reachOf(after)
	if !isDestroy(step) && was.equal(is) {
		return nil
	}
	return noteReach(ctx, tx, r.FQDN, is)
}
