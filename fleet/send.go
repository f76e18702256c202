package fleet

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// SendOptions say how a tree is sent.
type SendOptions struct {
	Root  string // directory on the hosts; made if it is not there
	Sudo  *remote.Sudo
	Stall time.Duration // a host that takes nothing for so long is given up; 0: a minute
	// Compress: "auto" sends zstd when every host has it and none is on this machine; "zstd"; "none".
	Compress string
	// Progress is told the bytes of files read so far, and how many there are to read; may be nil.
	Progress func(read, all int64)
	// Done is told each host as it is finished, one at a time; may be nil.
	Done func(SendResult)
}

// SendResult is what became of a tree on one host.
type SendResult struct {
	Host Host
	Same bool // it had everything
	Err  error
}

//go:embed manifest.sh
var manifestScript string

//go:embed unpack.sh
var unpackScript string

// Send brings a tree to all hosts. First each says what it has, in one exchange, and what all have is not sent. The
// rest is read once, unpacked beside its place on each host, and moved into place by rename(2) when all of it is
// there: each file is whole at any moment, and a host where anything goes wrong before that is as it was.
func (f *Fleet) Send(ctx context.Context, t *Tree, o SendOptions) []SendResult {
	results := make([]SendResult, len(f.Hosts))
	var mu sync.Mutex
	done := func(i int, same bool, err error) {
		mu.Lock()
		defer mu.Unlock()
		results[i] = SendResult{f.Hosts[i], same, err}
		if o.Done != nil {
			o.Done(results[i])
		}
	}
	want := make([]bool, t.Len())
	todo := make([]bool, len(f.Hosts))
	zstds := 0
	owned, plain := t.digest(true), t.digest(false)
	_ = f.each(func(i int, _ Host, c *remote.Client) error {
		has, need, err := f.manifest(ctx, c, t, o, owned, plain)
		if err != nil || need == nil {
			done(i, err == nil, err)
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		todo[i] = true
		if has {
			zstds++
		}
		for k, n := range need {
			want[k] = want[k] || n
		}
		return nil
	})
	t.whole(want)
	n := 0
	for _, y := range todo {
		if y {
			n++
		}
	}
	if n == 0 {
		return results
	}
	compress := o.Compress == "zstd" || o.Compress == "auto" && zstds == n && !f.local()
	fan := newFan(n, o.Stall)
	var wg guard.Group
	var readErr error
	wg.Go(guard.Count, func() {
		readErr = guard.Call(func() error { return f.produce(fan, t, want, compress, o.Progress) })
		fan.end(readErr)
	})
	taps := make([]*tap, len(f.Hosts))
	for i, k := 0, 0; i < len(taps); i++ {
		if todo[i] {
			taps[i] = fan.taps[k]
			k++
		}
	}
	run := fmt.Sprintf("%d-%s", time.Now().UnixNano(), rand.Text())
	_ = f.each(func(i int, _ Host, c *remote.Client) error {
		if !todo[i] {
			return nil
		}
		defer func() { _ = taps[i].Close() }()
		how := "tar"
		if compress {
			how = "zstd"
		}
		res, err := c.Run(ctx, remote.Command{Args: []string{"sh", "-c", unpackScript, "jarvis", o.Root, run, how, t.within(), t.gnu(want)}, Sudo: o.Sudo, Stdin: taps[i], Apart: true})
		if err == nil && res.Exit != 0 {
			err = errors.New(firstOf(res.Stderr, fmt.Sprintf("unpacking ended with exit %d", res.Exit)))
		}
		if gone := taps[i].failed(); gone != nil {
			err = gone
		}
		done(i, false, err)
		return nil
	})
	fan.close()
	wg.Wait()
	if readErr != nil && !errors.Is(readErr, io.ErrClosedPipe) {
		for i := range results {
			if todo[i] {
				results[i].Err = readErr
			}
		}
	}
	return results
}

// manifest asks a host what it has; need is nil when it has everything.
func (f *Fleet) manifest(ctx context.Context, c *remote.Client, t *Tree, o SendOptions, owned, plain string) (hasZstd bool, need []bool, err error) {
	res := &strings.Builder{}
	r, err := c.Run(ctx, remote.Command{Args: append([]string{"sh", "-c", manifestScript, "jarvis", o.Root, owned, plain}, t.tops()...), Sudo: o.Sudo, Stdin: strings.NewReader(t.names()), Output: res, Apart: true})
	if err != nil {
		return false, nil, err
	}
	if r.Exit != 0 {
		return false, nil, errors.New(firstOf(r.Stderr, fmt.Sprintf("the host can not say what it has: exit %d", r.Exit)))
	}
	head, listing, _ := strings.Cut(res.String(), "\n")
	words := strings.Fields(head)
	if len(words) < 1 {
		return false, nil, errors.New("the host can not say what it has")
	}
	hasZstd = len(words) > 1 && words[1] == "zstd"
	switch words[0] {
	case "same":
		return hasZstd, nil, nil
	case "owned", "plain":
		need = t.missing(strings.TrimSuffix(listing, "\n"), words[0] == "owned")
		if !slices.Contains(need, true) {
			need = nil
		}
		return hasZstd, need, t.apart(listing)
	}
	all := make([]bool, t.Len())
	for i := range all {
		all[i] = true
	}
	return hasZstd, all, nil
}

// produce reads the tree once.
func (f *Fleet) produce(to *fan, t *Tree, want []bool, compress bool, progress func(int64, int64)) error {
	all, sum := t.sizeOf(want), int64(0)
	read := func(n int64) {
		sum += n
		if progress != nil {
			progress(sum, all)
		}
	}
	if !compress {
		return t.write(to, want, read)
	}
	z, err := zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	return errors.Join(t.write(z, want, read), z.Close())
}

// local reports whether a host is on this machine, where compressing costs more than it saves.
func (f *Fleet) local() bool {
	for _, h := range f.Hosts {
		host, _, err := net.SplitHostPort(h.Target.Addr)
		if ip := net.ParseIP(host); err == nil && (host == "localhost" || ip != nil && ip.IsLoopback()) {
			return true
		}
	}
	return false
}
