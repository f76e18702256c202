package fleet

import (
	"context"
	"errors"
	"io"
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
	// Left is told of each file that changed or went away before it was read: it is not sent, and what a host has of it stays. When
	// it is nil, such a file is an error, and nothing is changed.
	Left func(*LeftFile)
}

// SendResult is what became of a tree on one host.
type SendResult struct {
	Host Host
	Same bool // it had everything
	Err  error
}

// Send brings a tree to all hosts. First each says what it has, in one exchange, and what all have is not sent. The
// rest is read once, unpacked beside its place on each host, and moved into place by rename(2) when all of it is
// there: each file is whole at any moment, and a host where anything goes wrong before that is as it was.
func (f *Fleet) Send(ctx context.Context, t *Tree, o SendOptions) []SendResult {
	return SendBy(ctx, f, t, o)
}

// SendBy is Fleet.Send over the connections of a Carrier.
func SendBy(ctx context.Context, c Carrier, t *Tree, o SendOptions) []SendResult {
	hosts := c.Reached()
	results := make([]SendResult, len(hosts))
	var mu sync.Mutex
	done := func(i int, same bool, err error) {
		mu.Lock()
		defer mu.Unlock()
		results[i] = SendResult{hosts[i], same, err}
		if o.Done != nil {
			o.Done(results[i])
		}
	}
	want := make([]bool, t.Len())
	todo := make([]bool, len(hosts))
	zstds := 0
	answers := make([]strings.Builder, len(hosts))
	at := Place{Root: o.Root, Sudo: o.Sudo, Stall: o.Stall}
	q := Question{Place: at, Owned: t.digest(true), Plain: t.digest(false), Tops: t.tops()}
	c.Ask(ctx, q, strings.NewReader(t.names()), func(i int) io.Writer { return &answers[i] }, func(i int, err error) {
		var zstd bool
		var need []bool
		if err == nil {
			zstd, need, err = t.need(answers[i].String())
			answers[i].Reset()
		}
		if err != nil || need == nil {
			done(i, err == nil, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		todo[i] = true
		if zstd {
			zstds++
		}
		for k, n := range need {
			want[k] = want[k] || n
		}
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
	u := Unpacking{Place: at, How: "tar", Within: t.within(), GNU: t.gnu(want)}
	if o.Compress == "zstd" || o.Compress == "auto" && zstds == n && !c.Near() {
		u.How = "zstd"
	}
	from, to := io.Pipe()
	var wg guard.Group
	var readErr error
	wg.Go(guard.Count, func() {
		readErr = guard.Call(func() error { return t.produce(to, want, u.How == "zstd", o) })
		_ = to.CloseWithError(readErr)
	})
	c.Unpack(ctx, u, todo, from, func(i int, err error) { done(i, false, err) })
	_ = from.Close() // when no host takes any more
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

// need reads a host's answer to a Question; need is nil when it has everything.
func (t *Tree) need(answer string) (hasZstd bool, need []bool, err error) {
	head, listing, _ := strings.Cut(answer, "\n")
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
func (t *Tree) produce(to io.Writer, want []bool, compress bool, o SendOptions) error {
	all, sum := t.sizeOf(want), int64(0)
	read := func(n int64) {
		sum += n
		if o.Progress != nil {
			o.Progress(sum, all)
		}
	}
	if !compress {
		return t.write(to, want, read, o.Left)
	}
	z, err := zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	return errors.Join(t.write(z, want, read, o.Left), z.Close())
}
