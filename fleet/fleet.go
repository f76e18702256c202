// Package fleet is many hosts at once: commands, locks, files, and tools that step together.
//
//	hosts ──► Open ──► Fleet ──┬─ Exec   one command everywhere, lines as they come
//	        all, or who is     ├─ Lock   all or none, watched while it is held
//	        there (Skip)       ├─ Send   one tree to all, read once; what is there already is not sent
//	                           └─ Sync   a tool on every host, that the others' steps reach (orgalorg's protocol)
//
// Work is Open, Lock, your function and Release: all hosts or none, unless Skip. Run takes no lock and waits for no
// other host. There is a goroutine for each host, which ends before Exec or Run returns; those that ask whether hosts
// are still there end with Close.
//
// A Target for each Host comes from a remote.Resolver, which reads what ssh reads. Functions that are told of what
// happens (Done, Failed, Opened, out) are called one at a time within one call of Open, Run, Exec, Send or Fetch.
//
// A host that fails is a Result with its error; what the others do is the caller's choice. It uses remote, and nothing
// else of ours.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// Host is one of many.
type Host struct {
	Name   string // how output and errors call it; no two of one list have the same (see Apart)
	FQDN   string // its full name where a record knows it, else ""
	Target remote.Target
}

// Apart calls each host by its full name whose short one another host of the list has, too. A list is put together from
// several words, so that is known when all are there.
func Apart(hosts []Host) {
	seen := map[string]int{}
	for _, h := range hosts {
		seen[h.Name]++
	}
	for i, h := range hosts {
		if seen[h.Name] > 1 && h.FQDN != "" {
			hosts[i].Name = h.FQDN
		}
	}
}

// Connector gives connections. A *remote.Pool is one, and shares them with others.
type Connector interface {
	// Get gives an open connection, and what to call when it is no longer used.
	Get(ctx context.Context, t remote.Target) (*remote.Client, func(), error)
}

// Direct dials again and closes when released.
type Direct struct{}

// Get implements Connector.
func (Direct) Get(ctx context.Context, t remote.Target) (*remote.Client, func(), error) {
	c, err := remote.Dial(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	return c, func() { _ = c.Close() }, nil
}

// Options of Open. Zero values stand for the defaults.
type Options struct {
	Connect   Connector     // Direct
	Dials     int           // handshakes at once; 64
	Skip      bool          // go on without hosts that cannot be reached
	KeepAlive time.Duration // ask every host so often whether it is there; 10 s
	Answer    time.Duration // and give it up when it says nothing for so long; 10 s
	// Failed is told about each host that cannot be reached, one at a time; may be nil.
	Failed func(Host, error)
	// Opened is told how many are open, one call at a time; may be nil.
	Opened func(done, all int)
}

const defaultDials = 64

// Fleet is hosts with a connection each.
type Fleet struct {
	Hosts []Host // those that were reached, in the order given
	// Lost are the hosts that Open went on without.
	Lost []*HostError

	clients  []*remote.Client
	releases []func()
	end      context.CancelFunc
	wg       guard.Group
}

// HostError is what happened to one host.
type HostError struct {
	Host Host
	Err  error
}

// Error implements error.
func (e *HostError) Error() string { return e.Host.Name + ": " + e.Err.Error() }

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *HostError) Unwrap() error { return e.Err }

// UnknownHostsError: nothing vouches for the keys of these hosts.
type UnknownHostsError struct{ Names []string }

// Error implements error.
func (e *UnknownHostsError) Error() string {
	if len(e.Names) == 1 {
		return e.Names[0] + ": " + remote.ErrUnknownHost.Error()
	}
	return Fold(e.Names) + ": no host keys are known for them"
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *UnknownHostsError) Unwrap() error { return remote.ErrUnknownHost }

// RefusedHostsError: these hosts do not take what we have to show, all for the same reason.
type RefusedHostsError struct {
	Names []string
	Login *remote.LoginError // of the first
}

// Error implements error.
func (e *RefusedHostsError) Error() string {
	if len(e.Names) == 1 {
		return e.Names[0] + ": " + e.Login.Error()
	}
	return Fold(e.Names) + ": " + e.Login.Of("they", true)
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *RefusedHostsError) Unwrap() error { return e.Login }

// AlikeHostsError: the same happened to several hosts.
type AlikeHostsError struct{ Hosts []*HostError }

// Error implements error.
func (e *AlikeHostsError) Error() string {
	names := make([]string, len(e.Hosts))
	for i, h := range e.Hosts {
		names[i] = h.Host.Name
	}
	return Fold(names) + ": " + Why(e.Hosts[0].Err)
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *AlikeHostsError) Unwrap() error { return e.Hosts[0] }

// Why says what happened to a host whose name stands before it, so that hosts to which the same happened can be named
// together.
func Why(err error) string {
	if l, is := err.(*remote.LoginError); is { //nolint:errorlint // one in another, as of a jump host, is told with its address
		return l.Of("it", false)
	}
	if u, is := err.(*remote.UnknownHostError); is { //nolint:errorlint // as above
		return u.Short() // those who work on many know of a way for all of them
	}
	return err.Error()
}

// ErrNobody: there is no host to work with.
var ErrNobody = errors.New("no host is left")

// others is how long hosts have, when one cannot be reached, to be named with it: nothing is done then, but nobody
// wants to hear of ten that are down one after the other.
const others = 3 * time.Second

// Open connects to all hosts. Unless Skip says otherwise, all or none: the error names each host that failed.
func Open(ctx context.Context, hosts []Host, o Options) (*Fleet, error) {
	if o.Connect == nil {
		o.Connect = Direct{}
	}
	if o.Dials <= 0 {
		o.Dials = defaultDials
	}
	f := &Fleet{}
	errs := f.sort(hosts, dialAll(ctx, hosts, o))
	watch, end := context.WithCancel(context.WithoutCancel(ctx))
	f.end = end
	switch {
	case ctx.Err() != nil:
		f.Close()
		return nil, context.Cause(ctx)
	case len(errs) > 0 && !o.Skip:
		f.Close()
		return nil, errors.Join(errs...)
	case len(f.Hosts) == 0:
		f.Close()
		return nil, errors.Join(append(errs, ErrNobody)...)
	}
	f.wg.Go(guard.Count, func() { f.watch(watch, o) })
	return f, nil
}

// dialled is what came of dialling hosts, in their order.
type dialled struct {
	each   []dialledHost
	gaveUp bool // one could not be reached, and the others had no more time to answer
}

type dialledHost struct {
	client  *remote.Client
	release func()
	err     error
}

// dialAll dials all hosts, so many at once. When one cannot be reached and nothing is to begin without it, the others
// have a moment left to fail too, so that all are named; when one refuses the login, none.
func dialAll(ctx context.Context, hosts []Host, o Options) dialled {
	d := dialled{each: make([]dialledHost, len(hosts))}
	dials := make(chan struct{}, o.Dials)
	dialCtx, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	done := 0
	var late *time.Timer
	giveUp := func(err error) {
		var login *remote.LoginError
		if errors.As(err, &login) {
			stop()
		} else if late == nil {
			late = time.AfterFunc(others, guard.Func(guard.Count, stop))
		}
	}
	var wg guard.Group
	for i, h := range hosts {
		g := &d.each[i]
		select {
		case dials <- struct{}{}:
		case <-dialCtx.Done():
			g.err = context.Cause(dialCtx)
			continue
		}
		wg.Go(guard.To(&g.err), func() {
			g.err = guard.Call(func() (err error) {
				defer func() { <-dials }()
				g.client, g.release, err = o.Connect.Get(dialCtx, h.Target)
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			done++
			if g.err != nil && o.Failed != nil && dialCtx.Err() == nil {
				o.Failed(h, g.err)
			}
			if g.err != nil && !o.Skip && !goesOn(g.err) {
				giveUp(g.err)
			}
			if o.Opened != nil {
				o.Opened(done, len(hosts))
			}
		})
	}
	wg.Wait()
	d.gaveUp = late != nil && !late.Stop()
	return d
}

// sort takes the hosts that are there, and tells of the others: what is alike in one error.
func (f *Fleet) sort(hosts []Host, d dialled) []error {
	var failed []*HostError
	unasked := 0
	unknown := &UnknownHostsError{}
	for i, g := range d.each {
		if g.err != nil {
			e := &HostError{hosts[i], g.err}
			f.Lost = append(f.Lost, e)
			switch {
			case errors.Is(g.err, remote.ErrUnknownHost):
				unknown.Names = append(unknown.Names, hosts[i].Name)
			case errors.Is(g.err, context.Canceled):
				unasked++
			default:
				failed = append(failed, e)
			}
			continue
		}
		f.Hosts, f.clients, f.releases = append(f.Hosts, hosts[i]), append(f.clients, g.client), append(f.releases, g.release)
	}
	errs := together(failed)
	if len(unknown.Names) > 0 {
		errs = append([]error{unknown}, errs...)
	}
	if d.gaveUp && unasked > 0 {
		errs = append(errs, fmt.Errorf("no answer was awaited of %d more", unasked))
	}
	return errs
}

// goesOn reports whether the others are asked all the same, so that all of them can be named: strangers, and hosts that
// do not take a key. A password that is wrong is not shown to one host after the other: they count, and lock people
// out.
func goesOn(err error) bool {
	var login *remote.LoginError
	return errors.Is(err, remote.ErrUnknownHost) || errors.As(err, &login) && !login.Password
}

// together makes one error of hosts to which the same happened; order stays.
func together(lost []*HostError) []error {
	var order []string
	alike := map[string][]*HostError{}
	for _, e := range lost {
		why := Why(e.Err)
		if alike[why] == nil {
			order = append(order, why)
		}
		alike[why] = append(alike[why], e)
	}
	var out []error
	for _, why := range order {
		list := alike[why]
		login, is := list[0].Err.(*remote.LoginError) //nolint:errorlint // one in another, as of a jump host, is told by itself
		switch {
		case is:
			r := &RefusedHostsError{Login: login}
			for _, e := range list {
				r.Names = append(r.Names, e.Host.Name)
			}
			out = append(out, r)
		case len(list) == 1:
			out = append(out, list[0])
		default:
			out = append(out, &AlikeHostsError{list})
		}
	}
	return out
}

// watch asks every host now and then whether it is there, so that nothing hangs on a link that is only half open.
func (f *Fleet) watch(ctx context.Context, o Options) {
	every, answer := o.keepAlive()
	t := time.NewTicker(every)
	defer t.Stop()
	var wg guard.Group
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, c := range f.clients {
			wg.Go(guard.Count, func() { alive(ctx, c, answer) })
		}
		wg.Wait()
	}
}

// keepAlive gives how often a connection is asked, and how long its answer may take.
func (o Options) keepAlive() (every, answer time.Duration) {
	return cmp.Or(o.KeepAlive, 10*time.Second), cmp.Or(o.Answer, 10*time.Second)
}

// alive closes a connection that does not answer in time. That ctx ends meanwhile is no reason to close it.
func alive(ctx context.Context, c *remote.Client, answer time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answer)
	defer cancel()
	_ = c.Alive(ctx)
}

// watchOne does the same for one connection, until stop.
func watchOne(ctx context.Context, c *remote.Client, o Options) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	guard.Go(guard.Count, func() {
		defer close(done)
		every, answer := o.keepAlive()
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				alive(ctx, c, answer)
			}
		}
	})
	return func() { cancel(); <-done }
}

// Close gives the connections back.
func (f *Fleet) Close() {
	f.end()
	f.wg.Wait()
	for _, r := range f.releases {
		r()
	}
	f.releases = nil
}

// each does something on every host at once, and gives the errors by host.
func (f *Fleet) each(do func(i int, h Host, c *remote.Client) error) []error {
	errs := make([]error, len(f.Hosts))
	var wg guard.Group
	for i, h := range f.Hosts {
		wg.Go(guard.To(&errs[i]), func() { errs[i] = do(i, h, f.clients[i]) })
	}
	wg.Wait()
	return errs
}

// joined makes one error of those of hosts; nil when there is none.
func (f *Fleet) joined(errs []error) error {
	var out []error
	for i, err := range errs {
		if err != nil {
			out = append(out, &HostError{f.Hosts[i], err})
		}
	}
	return errors.Join(out...)
}
