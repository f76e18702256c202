package pages

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// number gives a number of the environment, for longer looks.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// TestReaders is the other process of TestManyOpenPages: it has pages open, and counts what comes. Its arguments are an
// address, how many runs there are, and a cookie and a number of pages for each person.
func TestReaders(t *testing.T) {
	args := flag.Args()
	if len(args) < 4 {
		return // nobody's other process
	}
	runs, _ := strconv.Atoi(args[1])
	var wg sync.WaitGroup
	var got, lines, n atomic.Int64
	for i := 2; i+1 < len(args); i += 2 {
		pages, _ := strconv.Atoi(args[i+1])
		for range pages {
			wg.Add(1)
			go func() {
				defer wg.Done()
				c, err := net.Dial("tcp", args[0])
				if err != nil {
					return
				}
				at := n.Add(1)
				fmt.Fprintf(c, "GET /runs/%d?live=1&last=1 HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n\r\n", int(at)%runs+1, args[i])
				if at%10 == 0 {
					lines.Add(0)
				}
				sc := bufio.NewReader(c)
				for {
					l, err := sc.ReadSlice('\n')
					if err != nil && err != bufio.ErrBufferFull {
						return
					}
					got.Add(int64(len(l)))
					if strings.HasPrefix(string(l), "id: ") {
						lines.Add(1)
					}
				}
			}()
		}
	}
	for range time.Tick(time.Second) {
		fmt.Printf("readers %d bytes %d frames %d\n", n.Load(), got.Load(), lines.Load())
	}
}

// Many open pages are cheap: what they cost is what they cost more than the same runs without them.
func TestManyOpenPages(t *testing.T) {
	open, runs, seconds := number("JARVIS_PAGES_OPEN", 60), number("JARVIS_PAGES_RUNS", 10), number("JARVIS_PAGES_SECONDS", 4)
	w := newWorld(t, func(w *world) {
		for i := range open/16 + 1 {
			w.people = append(w.people, access.PersonConfig{Name: fmt.Sprintf("person%d", i), Roles: []string{"deploy"}})
		}
	})
	end := make(chan struct{})
	w.do("ssh:wait", func(ctx context.Context, _ *clipboard.Clipboard) error {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-end:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
				pipeline.Progress(ctx, fmt.Sprintf("Setting up package number %d of a long list of packages (1.2.3-4) ...", i))
			}
		}
	})
	for i := range runs {
		w.reach(w.deploy(fmt.Sprintf("host%d", i)), pipeline.Running)
	}
	args := []string{"-test.run=^TestReaders$", "-test.timeout=10m", "--", w.addr, strconv.Itoa(runs)}
	for i, left := 0, open; left > 0; i, left = i+1, left-16 {
		b := w.browser()
		res := b.post(w.link(fmt.Sprintf("person%d", i)), nil)
		args = append(args, strings.Split(res.header.Get("Set-Cookie"), ";")[0], strconv.Itoa(min(left, 16)))
	}
	cpu := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	for_ := time.Duration(seconds) * time.Second
	before, memory := cpu(), heap()
	time.Sleep(for_)
	alone := cpu() - before
	cmd := exec.Command(os.Args[0], args...)
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var last atomic.Value
	go func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if strings.HasPrefix(sc.Text(), "readers") {
				last.Store(sc.Text())
			}
		}
	}()
	for range 200 { // until all are open
		w.site.hub.mu.Lock()
		n := 0
		for _, t := range w.site.hub.topics {
			n += len(t.readers)
		}
		w.site.hub.mu.Unlock()
		if n == open {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	before = cpu()
	time.Sleep(for_)
	with := cpu() - before
	more := heap() - memory
	close(end)
	share := float64(with-alone) / float64(for_) * 100
	t.Logf("%d pages on %d runs: %.1f %% of a core (the runs alone %.1f %%), %.1f MB; %v", open, runs, share, float64(alone)/float64(for_)*100, float64(more)/1e6, last.Load())
	if most := float64(number("JARVIS_PAGES_SHARE", 25)); share > most {
		t.Errorf("%.1f %% of a core, want less than %.0f %%", share, most)
	}
	if more > 100e6 {
		t.Errorf("%d MB", more/1e6)
	}
}
