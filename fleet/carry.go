package fleet

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/remote"
)

// Carrier brings bytes to hosts and from them. It knows nothing of files here: what is in the streams is the caller's
// affair. A Fleet is one by its own connections; a client of a server is one by the server's.
//
//	SendBy   Ask ── what each has ──► what is wanted ──► Unpack
//	FetchBy  Pack ──► a stage for each host
//
// One method is called at a time. What is called back is called for each host that it is about, for several at the same
// time, and ended once for each; the method returns after the last.
type Carrier interface {
	Reached() []Host
	// Near reports that a host is on the same machine as the files, where compressing costs more than it saves.
	Near() bool
	// Ask has every host say what it has of the names; each ends with a NUL.
	Ask(ctx context.Context, q Question, names io.Reader, answer func(host int) io.Writer, ended func(host int, err error))
	// Unpack gives the stream to the hosts that are marked, and has them put into place what is in it.
	Unpack(ctx context.Context, u Unpacking, hosts []bool, stream io.Reader, ended func(host int, err error))
	// Pack has hosts give a tar stream of paths there; a host without paths is left out. When a writer fails, that host
	// ends.
	Pack(ctx context.Context, sudo *remote.Sudo, paths [][]string, to func(host int) io.Writer, ended func(host int, res remote.Result, err error))
}

// Place is where files go on hosts.
type Place struct {
	Root  string // made if it is not there
	Sudo  *remote.Sudo
	Stall time.Duration // a host that takes nothing for so long is given up; 0: a minute
}

// Question asks hosts what they have (manifest.sh).
type Question struct {
	Place
	Owned, Plain string   // the digests that are hoped for
	Tops         []string // the names under which all others are, if they are few
}

// Unpacking says how a stream is unpacked (unpack.sh).
type Unpacking struct {
	Place
	How    string // "tar" or "zstd"
	Within string // the deepest directory that all is in
	GNU    string // "gnu" when only GNU tar can unpack it
}

var _ Carrier = (*Fleet)(nil)

//go:embed manifest.sh
var manifestScript string

//go:embed unpack.sh
var unpackScript string

//go:embed fetch.sh
var fetchScript string

//go:embed shut.sh
var shutScript string

// Reached implements Carrier.
func (f *Fleet) Reached() []Host { return f.Hosts }

// Near implements Carrier.
func (f *Fleet) Near() bool {
	for _, h := range f.Hosts {
		host, _, err := net.SplitHostPort(h.Target.Addr)
		if err == nil && loopback.Is(host) {
			return true
		}
	}
	return false
}

// Ask implements Carrier.
func (f *Fleet) Ask(ctx context.Context, q Question, names io.Reader, answer func(int) io.Writer, ended func(int, error)) {
	args := append([]string{"sh", "-c", manifestScript, "jarvis", q.Root, q.Owned, q.Plain}, q.Tops...)
	f.pour(ctx, q.Stall, nil, names, func(i int) remote.Command {
		return remote.Command{Args: args, Sudo: q.Sudo, Output: answer(i)}
	}, "the host cannot say what it has: exit %d", ended)
}

// Unpack implements Carrier.
func (f *Fleet) Unpack(ctx context.Context, u Unpacking, hosts []bool, stream io.Reader, ended func(int, error)) {
	run := fmt.Sprintf("%d-%s", time.Now().UnixNano(), rand.Text())
	args := []string{"sh", "-c", unpackScript, "jarvis", u.Root, run, u.How, u.Within, u.GNU}
	f.pour(ctx, u.Stall, hosts, stream, func(int) remote.Command { return remote.Command{Args: args, Sudo: u.Sudo} }, "unpacking ended with exit %d", ended)
}

// pour gives a stream, which is read once, to a command on the hosts that are marked, or on all when hosts is nil. What
// reads the stream may outlive it: until the stream gives something more, or its end.
func (f *Fleet) pour(ctx context.Context, stall time.Duration, hosts []bool, stream io.Reader, cmd func(i int) remote.Command, otherwise string, ended func(int, error)) {
	taps := make([]*tap, len(f.Hosts))
	n := 0
	for i := range taps {
		if hosts == nil || hosts[i] {
			n++
		}
	}
	fan := newFan(n, stall)
	for i, k := 0, 0; i < len(taps); i++ {
		if hosts == nil || hosts[i] {
			taps[i] = fan.taps[k]
			k++
		}
	}
	guard.Go(func(p *guard.Panic) { fan.end(p) }, func() { fan.fill(stream) })
	defer fan.close()
	_ = f.each(func(i int, _ Host, c *remote.Client) error {
		if taps[i] != nil {
			ended(i, guard.Call(func() error { return taps[i].run(ctx, c, cmd(i), otherwise) }))
		}
		return nil
	})
}

// run runs a command that reads the tap. One that ends badly is an error: by what it said, or by its exit code.
func (t *tap) run(ctx context.Context, c *remote.Client, cmd remote.Command, otherwise string) error {
	defer func() { _ = t.Close() }()
	cmd.Stdin, cmd.Apart = t, true
	res, err := c.Run(ctx, cmd)
	if err == nil && res.Exit != 0 {
		err = errors.New(firstOf(res.Stderr, fmt.Sprintf(otherwise, res.Exit)))
	}
	if gone := t.failed(); gone != nil {
		err = gone
	}
	return err
}

// Pack implements Carrier.
func (f *Fleet) Pack(ctx context.Context, sudo *remote.Sudo, paths [][]string, to func(int) io.Writer, ended func(int, remote.Result, error)) {
	_ = f.each(func(i int, _ Host, c *remote.Client) error {
		if len(paths[i]) > 0 {
			var res remote.Result
			err := guard.Call(func() (err error) {
				res, err = c.Run(ctx, remote.Command{Args: append([]string{"sh", "-c", shutScript + fetchScript, "jarvis"}, paths[i]...), Sudo: sudo, Output: to(i), Apart: true})
				return err
			})
			ended(i, res, err)
		}
		return nil
	})
}

// Has asks all hosts whether they have a directory: those that do are OK. A *DeniedError is one that the login may not
// come to.
func (f *Fleet) Has(ctx context.Context, dir string, sudo *remote.Sudo) []Result {
	said := make([]string, len(f.Hosts))
	results := f.Exec(ctx, remote.Command{Args: []string{"sh", "-c", shutScript + hasScript, "jarvis", dir}, Sudo: sudo, Apart: true}, ExecOptions{}, func(l Line) { said[l.Host] = l.Text })
	for i, r := range results {
		if r.Err == nil && r.Exit == exitDenied {
			results[i].Err = deniedBy(said[i])
		}
	}
	return results
}

const hasScript = `[ ! -d "$1" ] || exit 0
! shut "$1/." "$1" || exit 4
exit 1`
