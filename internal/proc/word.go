package proc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"
)

// wordEnv carries Command.Word in the environment of the supervisor, the program and all it starts.
const wordEnv = "JARVIS_PROC"

// carrying finds who belongs to a word: who carries it in the environment, who is of a session in which somebody does
// or that is named, and all below them. We and our own ancestors never do. supervisors stand apart: they end by
// themselves what is below them, and that is not told twice.
func carrying(word string, session int) (ours, supervisors []process, err error) {
	pids, err := numbers()
	if err != nil {
		return nil, nil, err
	}
	entry, mark := []byte("\x00"+wordEnv+"="+word+"\x00"), []byte("\x00"+superviseEnv+"=")
	carry, watch := map[int]bool{}, map[int]bool{}
	for _, pid := range pids {
		b := append([]byte{0}, slurp(pid, "environ")...) // empty: gone, a zombie, the kernel's own, or not ours to look at
		if bytes.Contains(b, entry) {
			carry[pid] = true
			watch[pid] = bytes.Contains(b, mark)
		}
	}
	if delete(carry, os.Getpid()); len(carry) == 0 && session == 0 {
		return nil, nil, nil // as nearly always
	}
	all, err := table()
	if err != nil {
		return nil, nil, err
	}
	us := map[int]bool{}
	for pid := os.Getpid(); pid > 1 && !us[pid]; pid = all[pid].ppid {
		us[pid] = true
	}
	own := all[os.Getpid()].session
	roots := map[int]process{}
	sessions := map[int]bool{}
	if session > 0 {
		sessions[session] = true
	}
	for pid := range carry {
		p, ok := all[pid]
		switch {
		case !ok || us[pid]:
		case watch[pid]:
			supervisors = append(supervisors, p)
		default:
			roots[pid] = p
			// Only a session that is this work's own: its leader is of it, or is gone.
			if _, lives := all[p.session]; p.session > 0 && p.session != own && (carry[p.session] || !lives) {
				sessions[p.session] = true
			}
		}
	}
	for pid, p := range all {
		if sessions[p.session] && !us[pid] && !watch[pid] {
			roots[pid] = p
		}
	}
	var from []int
	for pid, p := range roots {
		from = append(from, pid)
		ours = append(ours, p)
	}
	for _, p := range below(all, from...) {
		if !us[p.pid] && !watch[p.pid] {
			ours = append(ours, p)
		}
	}
	return living(ours), living(supervisors), nil
}

// endWord ends whoever belongs to a word, and returns when nobody does, or with an error that names who is left.
func endWord(ctx context.Context, word string, session int, grace time.Duration) (ended int, err error) {
	// A supervisor whose parent is dead is at it already; to tell it so does no harm.
	patience := time.Now().Add(grace + stuckAfter + 3*time.Second)
	told := newEnder(grace+stuckAfter+3*time.Second, func() ([]process, error) {
		_, s, err := carrying(word, session)
		return s, err
	})
	for time.Now().Before(patience) {
		left, _, err := told.round()
		if err != nil {
			return 0, err
		}
		if len(left) == 0 {
			break
		}
		if err := rest(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
	e := newEnder(grace, func() ([]process, error) {
		ours, s, err := carrying(word, session)
		return append(ours, s...), err
	})
	for {
		left, hopeless, err := e.round()
		switch {
		case err != nil:
			return e.count, err
		case len(left) == 0:
			return e.count, nil
		case hopeless:
			return e.count, fmt.Errorf("what an earlier try started still runs and is not ours to end: process %s", names(left))
		}
		if err := rest(ctx, 20*time.Millisecond); err != nil {
			return e.count, fmt.Errorf("what an earlier try started still runs: process %s", names(left))
		}
	}
}

// rest waits for d, or gives the cause when ctx ends first.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
