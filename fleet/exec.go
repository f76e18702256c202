package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// Line is one line that a host said.
type Line struct {
	Host   int // index in the hosts that the command runs on: Fleet.Hosts, or those that Run was given
	Stderr bool
	Text   string // without its end, but with ExecOptions.Raw
}

// Result is what became of a command on one host.
type Result struct {
	Host   Host
	Exit   int
	Signal string
	Took   time.Duration
	Err    error // the command did not run, or nobody knows how it ended
}

// OK reports whether the command ran and ended well. A Result that nobody filled in names no host, and is not OK.
func (r Result) OK() bool { return r.Host.Name != "" && r.Err == nil && r.Exit == 0 && r.Signal == "" }

// errUntold: nobody told how a command ended.
var errUntold = errors.New("nobody told how it ended")

// Untold gives a result for each host that says that nobody has told how it ended, to be filled in.
func Untold(hosts []Host) []Result {
	out := make([]Result, len(hosts))
	for i, h := range hosts {
		out[i] = Result{Host: h, Err: errUntold}
	}
	return out
}

// How says in a few words how the command ended, as in "exit 1".
func (r Result) How() string {
	switch {
	case r.Err != nil:
		return Why(r.Err)
	case r.Host.Name == "":
		return errUntold.Error()
	case r.Signal != "":
		return "killed by " + r.Signal
	}
	return fmt.Sprintf("exit %d", r.Exit)
}

// ExecOptions say how a command runs on many hosts.
type ExecOptions struct {
	Serial  bool          // one host after the other
	Timeout time.Duration // for each host; 0: none
	Stdin   io.Reader     // read once, given to all; nil: nothing
	// MaxStdin bounds the Stdin that is kept in a file with Serial, until the last host has read it; 0: no bound.
	MaxStdin int64
	// Stall is how long a host may leave its stdin unread, with more to come, before it is given up; 0: a minute.
	Stall time.Duration
	// Raw leaves lines their ends as they came, so that a host's lines put together are the bytes that it said.
	Raw bool
	// Done is told each result as it is there, with the index of its host as in Line, one at a time; may be nil.
	Done func(host int, r Result)
}

// Exec runs a command on all hosts. Lines go to out as they come, one at a time, so that they do not mix. When ctx
// ends, the commands end on the hosts too.
func (f *Fleet) Exec(ctx context.Context, cmd remote.Command, o ExecOptions, out func(Line)) []Result {
	results := Untold(f.Hosts)
	var mu sync.Mutex
	stdin := make([]io.ReadCloser, len(f.Hosts))
	switch {
	case o.Stdin != nil && o.Serial: // the last host begins to read when the others have ended
		kept, err := newSpool(o.MaxStdin)
		if err != nil {
			return f.failed(err, o)
		}
		for i := range stdin {
			stdin[i] = kept.reader()
		}
		guard.Go(func(p *guard.Panic) { kept.end(p) }, func() { kept.fill(o.Stdin) }) // ends when it is closed, at the latest with the next bytes of Stdin
		defer kept.close()
	case o.Stdin != nil:
		fan := newFan(len(f.Hosts), o.Stall)
		for i, t := range fan.taps {
			stdin[i] = t
		}
		guard.Go(func(p *guard.Panic) { fan.end(p) }, func() { fan.fill(o.Stdin) }) // ends when all taps are closed, at the latest with the next bytes of Stdin
		defer fan.close()
	}
	one := func(i int) {
		c := cmd
		if c.Raw = o.Raw; stdin[i] != nil {
			c.Stdin = stdin[i]
			defer func() { _ = stdin[i].Close() }()
		}
		results[i] = execGuarded(ctx, f.clients[i], f.Hosts[i], i, c, o.Timeout, &mu, out)
		if o.Done != nil {
			mu.Lock()
			defer mu.Unlock()
			o.Done(i, results[i])
		}
	}
	if o.Serial {
		for i, h := range f.Hosts {
			if ctx.Err() == nil {
				one(i)
				continue
			}
			results[i] = Result{Host: h, Err: context.Cause(ctx)}
			if o.Done != nil {
				o.Done(i, results[i])
			}
		}
		return results
	}
	f.each(func(i int, _ Host, _ *remote.Client) error { one(i); return nil })
	return results
}

// failed tells all hosts that the command did not run.
func (f *Fleet) failed(err error, o ExecOptions) []Result {
	results := make([]Result, len(f.Hosts))
	for i, h := range f.Hosts {
		if results[i] = (Result{Host: h, Err: err}); o.Done != nil {
			o.Done(i, results[i])
		}
	}
	return results
}

// execGuarded is execOne whose panic is that host's error.
func execGuarded(ctx context.Context, c *remote.Client, h Host, i int, cmd remote.Command, timeout time.Duration, mu *sync.Mutex, out func(Line)) (r Result) {
	if p := guard.Do(func() { r = execOne(ctx, c, h, i, cmd, timeout, mu, out) }); p != nil {
		return Result{Host: h, Err: p}
	}
	return r
}

// execOne runs a command on one of many hosts. mu keeps the lines of all apart.
func execOne(ctx context.Context, c *remote.Client, h Host, i int, cmd remote.Command, timeout time.Duration, mu *sync.Mutex, out func(Line)) Result {
	say := func(stderr bool) func(string) {
		return func(l string) {
			mu.Lock()
			defer mu.Unlock()
			out(Line{i, stderr, l})
		}
	}
	if cmd.Output == nil {
		cmd.Stdout = say(false)
	}
	cmd.Stderr = say(true)
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, tookLonger(timeout))
		defer cancel()
	}
	began := time.Now()
	res, err := c.Run(ctx, cmd)
	return Result{Host: h, Exit: res.Exit, Signal: res.Signal, Took: time.Since(began), Err: err}
}

// errTogether: Run was asked for what needs the hosts together.
var errTogether = errors.New("fleet: Run takes no Stdin and no Serial, and always goes on without hosts that cannot be reached (Skip)")

func tookLonger(limit time.Duration) error {
	return fmt.Errorf("it took longer than %s, and was ended", limit)
}

// Run runs a command on each host as soon as it is reached, and hangs up when it has ended: no host waits for the
// others, and no more connections are open than commands run. A host that cannot be reached is a Result with its error,
// so Skip must be set. For what needs hosts together, as Stdin, Serial and all or none, there is Open: Run gives an
// error, and does nothing.
func Run(ctx context.Context, hosts []Host, o Options, cmd remote.Command, eo ExecOptions, out func(Line)) ([]Result, error) {
	if !o.Skip || eo.Serial || eo.Stdin != nil {
		return nil, errTogether
	}
	if o.Connect == nil {
		o.Connect = Direct{}
	}
	if o.Dials <= 0 {
		o.Dials = defaultDials
	}
	cmd.Raw = eo.Raw
	r := &eachRun{o: o, done: eo.Done, all: len(hosts), results: Untold(hosts)}
	dials := make(chan struct{}, o.Dials)
	var wg guard.Group
	for i, h := range hosts {
		select {
		case dials <- struct{}{}:
		case <-ctx.Done():
			r.ended(i, Result{Host: h, Err: context.Cause(ctx)})
			continue
		}
		wg.Go(func(p *guard.Panic) { r.ended(i, Result{Host: h, Err: p}) }, func() {
			c, release, err := r.reach(ctx, h, func() { <-dials })
			if err != nil {
				r.ended(i, Result{Host: h, Err: err})
				return
			}
			stop := watchOne(ctx, c, o)
			res := execGuarded(ctx, c, h, i, cmd, eo.Timeout, &r.mu, out)
			stop()
			release()
			r.ended(i, res)
		})
	}
	wg.Wait()
	return r.results, nil
}

// eachRun is one call of Run.
type eachRun struct {
	o    Options
	done func(int, Result) // may be nil
	all  int

	mu      sync.Mutex // of all that is told, and of what follows
	opened  int
	results []Result
}

// reach connects to a host; dialled is called when that has ended either way.
func (r *eachRun) reach(ctx context.Context, h Host, dialled func()) (c *remote.Client, release func(), err error) {
	err = guard.Call(func() (err error) {
		defer dialled()
		c, release, err = r.o.Connect.Get(ctx, h.Target)
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened++
	if err != nil && r.o.Failed != nil && ctx.Err() == nil {
		r.o.Failed(h, err)
	}
	if r.o.Opened != nil {
		r.o.Opened(r.opened, r.all)
	}
	return c, release, err
}

// ended keeps a host's result, and tells it under the lock: Done is called for one host at a time.
func (r *eachRun) ended(i int, res Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[i] = res
	if r.done != nil {
		r.done(i, res)
	}
}
