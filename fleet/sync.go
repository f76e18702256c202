package fleet

import (
	"context"
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
// Every other line of its stdout is output as any. A tool that ends does not end the others.
func (f *Fleet) Sync(ctx context.Context, tool remote.Command, o ExecOptions, out func(Line)) []Result {
	prefix := fmt.Sprintf("ORGALORG:%d", time.Now().UnixNano())
	boxes := make([]*mailbox, len(f.Hosts))
	for i := range f.Hosts {
		boxes[i] = newMailbox()
		var b strings.Builder
		fmt.Fprintf(&b, "%s HELLO\n", prefix)
		for j := range f.Hosts {
			current := ""
			if i == j {
				current = " CURRENT"
			}
			fmt.Fprintf(&b, "%s NODE %s%s\n", prefix, f.node(j), current)
		}
		fmt.Fprintf(&b, "%s START\n", prefix)
		_, _ = io.WriteString(boxes[i], b.String())
	}
	var mu sync.Mutex
	results := make([]Result, len(f.Hosts))
	_ = f.each(func(i int, h Host, c *remote.Client) error {
		defer boxes[i].Close()
		cmd := tool
		cmd.Stdin = boxes[i]
		cmd.Stdout = func(l string) {
			mu.Lock()
			defer mu.Unlock()
			if text, ok := strings.CutPrefix(l, prefix+" SYNC"); ok && (text == "" || text[0] == ' ') {
				for _, b := range boxes {
					_, _ = io.WriteString(b, prefix+" SYNC "+f.node(i)+text+"\n")
				}
				return
			}
			out(Line{i, false, l})
		}
		cmd.Stderr = func(l string) {
			mu.Lock()
			defer mu.Unlock()
			out(Line{i, true, l})
		}
		ctx := ctx
		if o.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, o.Timeout)
			defer cancel()
		}
		began := time.Now()
		// The tool may end without reading all it was told.
		stop := context.AfterFunc(ctx, guard.Func(guard.Count, boxes[i].Close))
		defer stop()
		res, err := c.Run(ctx, cmd)
		results[i] = Result{Host: h, Exit: res.Exit, Signal: res.Signal, Took: time.Since(began), Err: err}
		if o.Done != nil {
			mu.Lock()
			defer mu.Unlock()
			o.Done(results[i])
		}
		return nil
	})
	return results
}

// node is how the protocol calls a host.
func (f *Fleet) node(i int) string {
	t := f.Hosts[i].Target
	return "[" + t.User + "@" + t.Addr + "]"
}
