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
	// Compress: "auto" sends zstd when every host supports it and none is this machine; "zstd"; "none".
	Compress string
	// Progress is told the bytes of files read so far, and how many there are to read; may be nil.
	Progress func(read, all int64)
	// Done is told each host as it is finished, by its index in those that are reached, one at a time; may be nil.
	Done func(host int, r SendResult)
	// Left is told of each file that changed or went away before it was read: it is not sent, and what a host has of it
	// stays. When it is nil, such a file is an error, and nothing is changed.
	Left func(*LeftFile)
	// Sends is told each entry that goes to some host, before any of it goes; may be nil. Directories end with a slash.
	Sends func(name string)
	// Dry asks the hosts what they have, and sends nothing; the results say what would be sent.
	Dry bool
}

// SendResult is what became of a tree on one host.
type SendResult struct {
	Host Host
	Same bool // it had everything
	Sent int  // entries that it lacked, or had otherwise, and that it has now
	Had  int  // entries that it had already
	// Lacks are the names of those that it lacks or has otherwise, of a Dry run. Directories end with a slash.
	Lacks []string
	Took  time.Duration
	Err   error
}

// Send brings a tree to all hosts. First each says what it has, in one exchange, and what all have is not sent. The
// rest is read once, unpacked beside its place on each host, and moved into place by rename(2) when all of it is
// there: each file is whole at any moment, and a host where anything goes wrong before that is as it was.
func (f *Fleet) Send(ctx context.Context, t *Tree, o SendOptions) []SendResult {
	return SendBy(ctx, f, t, o)
}

// SendBy is Fleet.Send over the connections of a Carrier.
func SendBy(ctx context.Context, c Carrier, t *Tree, o SendOptions) []SendResult {
	s := &sending{c: c, t: t, o: o, at: Place{Root: o.Root, Sudo: o.Sudo, Stall: o.Stall}, hosts: c.Reached(), began: time.Now(), want: make([]bool, t.Len())}
	s.results, s.todo, s.needs = make([]SendResult, len(s.hosts)), make([]bool, len(s.hosts)), make([][]bool, len(s.hosts))
	s.ask(ctx)
	switch {
	case count(s.todo) == 0:
	case o.Dry:
		s.tellLacks()
	default:
		s.pour(ctx)
	}
	return s.results
}

// sending is one SendBy.
type sending struct {
	c     Carrier
	t     *Tree
	o     SendOptions
	at    Place
	hosts []Host
	began time.Time

	mu      sync.Mutex // of all that the hosts' answers touch
	results []SendResult
	todo    []bool          // by host: it lacks something
	needs   [][]bool        // by host, which entries of the tree
	want    []bool          // by entry: some host lacks it
	zstds   int             // hosts of todo that unpack zstd
	left    map[string]bool // entries that were left out, by their name here
}

// done takes what became of one host.
func (s *sending) done(i int, r SendResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Host, r.Took = s.hosts[i], time.Since(s.began)
	s.results[i] = r
	if s.o.Done != nil {
		s.o.Done(i, r)
	}
}

// ask finds what each host lacks.
func (s *sending) ask(ctx context.Context) {
	all := make([]bool, s.t.Len()) // one for all hosts that have nothing
	for i := range all {
		all[i] = true
	}
	names := s.t.names()
	answers := make([]remote.Kept, len(s.hosts))
	for i := range answers { // each name comes twice at most, with what stat says, or where a link leads
		answers[i].Most = 4<<20 + 2*len(names) + 256*strings.Count(names, "\x00")
	}
	q := Question{Place: s.at, Owned: s.t.digest(true), Plain: s.t.digest(false), Tops: s.t.tops()}
	s.c.Ask(ctx, q, strings.NewReader(names), func(i int) io.Writer { return &answers[i] }, func(i int, err error) {
		var zstd bool
		var need []bool
		if much := answers[i].Err(); much != nil { // a Carrier has its own word for the end that this made
			err = much
		}
		if err == nil {
			zstd, need, err = s.t.need(answers[i].String(), all)
		}
		answers[i].Reset()
		if err != nil {
			s.done(i, SendResult{Err: err})
			return
		}
		if need == nil {
			s.done(i, SendResult{Same: true, Had: s.t.Len()})
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.todo[i], s.needs[i] = true, need
		if zstd {
			s.zstds++
		}
		for k, n := range need {
			s.want[k] = s.want[k] || n
		}
	})
}

// tellLacks says what would be sent.
func (s *sending) tellLacks() {
	for i, need := range s.needs {
		if s.todo[i] {
			lacks := s.t.named(need)
			s.done(i, SendResult{Had: s.t.Len() - len(lacks), Lacks: lacks})
		}
	}
}

// pour reads what some host lacks once, and gives it to all that lack something.
func (s *sending) pour(ctx context.Context) {
	o := s.o
	if o.Sends != nil {
		for _, name := range s.t.named(s.want) {
			o.Sends(name)
		}
	}
	u := Unpacking{Place: s.at, How: "tar", Within: s.t.within(), GNU: s.t.gnu(s.want)}
	if o.Compress == "zstd" || o.Compress == "auto" && s.zstds == count(s.todo) && !s.c.Near() {
		u.How = "zstd"
	}
	s.left = map[string]bool{}
	if tell := o.Left; tell != nil {
		o.Left = func(l *LeftFile) {
			s.mu.Lock()
			s.left[l.Local] = true
			s.mu.Unlock()
			tell(l)
		}
	}
	from, to := io.Pipe()
	var wg guard.Group
	var readErr error
	wg.Go(guard.Count, func() {
		readErr = guard.Call(func() error { return s.t.produce(to, s.want, u.How == "zstd", o) })
		_ = to.CloseWithError(readErr)
	})
	s.c.Unpack(ctx, u, s.todo, from, func(i int, err error) {
		r := SendResult{Err: err}
		if err == nil {
			r.Had = s.t.Len() - count(s.needs[i])
			s.mu.Lock()
			r.Sent = s.t.count(s.needs[i], s.left)
			s.mu.Unlock()
		}
		s.done(i, r)
	})
	_ = from.Close() // when no host takes any more
	wg.Wait()
	if readErr != nil && !errors.Is(readErr, io.ErrClosedPipe) {
		for i := range s.results {
			if s.todo[i] {
				s.results[i].Err = readErr
			}
		}
	}
}

func count(list []bool) (n int) {
	for _, y := range list {
		if y {
			n++
		}
	}
	return n
}

// count counts the entries that are wanted, without those that are left out by their name here.
func (t *Tree) count(want []bool, left map[string]bool) (n int) {
	for i, y := range want {
		if y && !left[t.entries[i].local] {
			n++
		}
	}
	return n
}

// named gives the names on the hosts of the entries that are wanted. Directories end with a slash.
func (t *Tree) named(want []bool) []string {
	var names []string
	for i, y := range want {
		if y {
			names = append(names, strings.TrimPrefix(t.entries[i].asked(), "./"))
		}
	}
	return names
}

// need reads a host's answer to a Question; need is nil when it has everything, and all when it has nothing.
func (t *Tree) need(answer string, all []bool) (hasZstd bool, need []bool, err error) {
	head, listing, _ := strings.Cut(answer, "\n")
	words := strings.Fields(head)
	if len(words) < 1 {
		return false, nil, errors.New("the host cannot say what it has")
	}
	hasZstd = len(words) > 1 && words[1] == "zstd"
	switch words[0] {
	case "same":
		return hasZstd, nil, nil
	case "owned", "plain":
		if err := t.blocked(listing); err != nil {
			return hasZstd, all, err
		}
		need = t.missing(strings.TrimSuffix(listing, "\n"), words[0] == "owned")
		t.whole(need)
		if !slices.Contains(need, true) {
			need = nil
		}
		return hasZstd, need, t.apart(listing)
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
