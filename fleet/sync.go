package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// Sync runs a tool on all hosts that steps together with the others: orgalorg's protocol, line by line on the tool's
// stdin and stdout, each with a prefix that HELLO tells.
//
//	to the tool    P HELLO · P NODE [user@host:port] [CURRENT] for each host · P START
//	from the tool  P SYNC text          ──► to all tools, its own too: P SYNC [user@host:port] text
//
// Every other line of its stdout is output as any. A tool that ends well ends no other. One that dies (it fails, or its
// host is lost) never tells a further step: a tool that has told more steps than it, or does so later, waits for what
// will not come, and is ended with a *WaitedError. One that has not is let be: it may be at work, and may speak no
// protocol at all. Of o, Timeout and Done count; with Stdin, Serial or Raw no tool runs, for the protocol needs all
// tools at once, and their stdin.
func (f *Fleet) Sync(ctx context.Context, tool remote.Command, o ExecOptions, out func(Line)) []Result {
	results := Untold(f.Hosts)
	if o.Stdin != nil || o.Serial || o.Raw {
		for i, h := range f.Hosts {
			results[i] = Result{Host: h, Err: errProtocol}
		}
		return results
	}
	t := f.newTalk()
	_ = f.each(func(i int, h Host, c *remote.Client) error {
		defer t.boxes[i].Close()
		ctx, end := context.WithCancelCause(ctx)
		defer end(nil)
		t.join(i, end)
		cmd := tool
		cmd.Stdin = t.boxes[i]
		cmd.Stdout = func(l string) { t.hear(i, l, out) }
		cmd.Stderr = func(l string) {
			t.mu.Lock()
			defer t.mu.Unlock()
			out(Line{i, true, l})
		}
		if o.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, tookLonger(o.Timeout))
			defer cancel()
		}
		began := time.Now()
		// The tool may end without reading all it was told.
		stop := context.AfterFunc(ctx, guard.Func(guard.Count, t.boxes[i].Close))
		defer stop()
		res, err := c.Run(ctx, cmd)
		results[i] = Result{Host: h, Exit: res.Exit, Signal: res.Signal, Took: time.Since(began), Err: err}
		t.left(results[i], i, o.Done)
		return nil
	})
	return results
}

var errProtocol = errors.New("the sync protocol needs the tool's stdin, and all tools at once")

// WaitedError: a tool was ended, because it waited for one that had died.
type WaitedError struct{ For string } // the host of that tool

// Error implements error.
func (e *WaitedError) Error() string {
	return "it was ended, because it waited for the tool on " + e.For + ", which had died"
}

// talk is what the tools of one Sync tell each other.
type talk struct {
	f      *Fleet
	prefix string
	boxes  []*mailbox

	mu   sync.Mutex // of all that follows, and of what is told to the caller
	told []int      // steps that each tool has told
	ends []context.CancelCauseFunc
	dead int // the tool that died having told the fewest steps; -1: none
}

// newTalk gives each tool its greeting: all hosts in one order, the tool's own marked CURRENT. The prefix is another
// one each time, so that no line of a tool's own looks like one of the protocol.
func (f *Fleet) newTalk() *talk {
	n := len(f.Hosts)
	t := &talk{f: f, prefix: fmt.Sprintf("ORGALORG:%d", time.Now().UnixNano()), boxes: make([]*mailbox, n), told: make([]int, n), ends: make([]context.CancelCauseFunc, n), dead: -1}
	for i := range n {
		t.boxes[i] = newMailbox()
		var b strings.Builder
		fmt.Fprintf(&b, "%s HELLO\n", t.prefix)
		for j := range n {
			current := ""
			if i == j {
				current = " CURRENT"
			}
			fmt.Fprintf(&b, "%s NODE %s%s\n", t.prefix, f.node(j), current)
		}
		fmt.Fprintf(&b, "%s START\n", t.prefix)
		_, _ = io.WriteString(t.boxes[i], b.String())
	}
	return t
}

// join takes what ends the tool of a host.
func (t *talk) join(i int, end context.CancelCauseFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends[i] = end
}

// hear takes a line that a tool has said on its stdout.
func (t *talk) hear(i int, line string, out func(Line)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text, ok := strings.CutPrefix(line, t.prefix+" SYNC")
	if !ok || text != "" && text[0] != ' ' {
		out(Line{i, false, line})
		return
	}
	for _, b := range t.boxes {
		_, _ = io.WriteString(b, t.prefix+" SYNC "+t.f.node(i)+text+"\n")
	}
	t.told[i]++
	t.endWho(i)
}

// left takes how a tool ended.
func (t *talk) left(r Result, i int, done func(int, Result)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends[i] = nil
	var waited *WaitedError
	if !r.OK() && !errors.As(r.Err, &waited) && (t.dead < 0 || t.told[i] < t.told[t.dead]) {
		t.dead = i
		for j := range t.ends {
			t.endWho(j)
		}
	}
	if done != nil {
		done(i, r)
	}
}

// endWho ends a tool that waits for one that has died.
func (t *talk) endWho(i int) {
	if t.dead >= 0 && t.ends[i] != nil && t.told[i] > t.told[t.dead] {
		t.ends[i](&WaitedError{t.f.Hosts[t.dead].Name})
	}
}

// node is how the protocol calls a host.
func (f *Fleet) node(i int) string {
	t := f.Hosts[i].Target
	return "[" + t.User + "@" + t.Addr + "]"
}
