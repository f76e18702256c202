package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// FetchOptions say what is brought here, and where to.
type FetchOptions struct {
	Paths []string            // on every host; with *, ? and [ that are no file's name there, patterns that the host expands
	Of    map[string][]string // instead of Paths: those of each host, by its name
	// Dir is a directory here. With several hosts each gets one below it.
	Dir   string
	Force bool // what is here under the same name and differs is replaced; else it is an error, and nothing is changed
	Sudo  *remote.Sudo
	// Done is told each host as it is finished, by its index in those that are reached, one at a time; may be nil.
	Done func(host int, r FetchResult)
}

// FetchResult is what became of a fetch from one host.
type FetchResult struct {
	Host  Host
	Dir   string // here, where they are
	Files int
	Bytes int64
	Took  time.Duration
	// Said is what did not go as one may think, though Files are here: what was skipped, and what tar warned of.
	Said []string
	Err  error
}

// Fetch brings paths of hosts to this machine. Nothing that a host sends reaches beyond the directory. All is written
// beside its place first, and renamed when it is there.
func (f *Fleet) Fetch(ctx context.Context, o FetchOptions) []FetchResult { return FetchBy(ctx, f, o) }

// FetchBy is Fleet.Fetch over the connections of a Carrier.
func FetchBy(ctx context.Context, c Carrier, o FetchOptions) []FetchResult {
	hosts := c.Reached()
	results := make([]FetchResult, len(hosts))
	dirs := make([]string, len(hosts))
	began := time.Now()
	var mu sync.Mutex
	done := func(i int, r FetchResult) {
		mu.Lock()
		defer mu.Unlock()
		r.Dir, r.Took = dirs[i], time.Since(began)
		results[i] = r
		if o.Done != nil {
			o.Done(i, r)
		}
	}
	into := make([]*fetching, len(hosts))
	whose := map[string]string{}
	paths := make([][]string, len(hosts))
	for i, h := range hosts {
		dir := o.Dir
		if len(hosts) > 1 {
			dir = filepath.Join(o.Dir, strings.NewReplacer("/", "_", "\x00", "_").Replace(h.Name))
		}
		results[i].Host, results[i].Dir, dirs[i] = h, dir, dir
		if _, twice := whose[dir]; twice { // what comes from two hosts must not mix
			done(i, FetchResult{Host: h, Err: fmt.Errorf("what %s has goes into %s, so nothing was fetched from another host that is called so", whose[dir], dir)})
			continue
		}
		whose[dir] = h.Name
		wanted := o.Paths
		if o.Of != nil {
			wanted = o.Of[h.Name]
		}
		var err error
		if into[i], err = newFetching(wanted, dir); err != nil {
			done(i, FetchResult{Host: h, Err: err})
			continue
		}
		paths[i] = wanted
	}
	c.Pack(ctx, o.Sudo, paths, func(i int) io.Writer { return into[i].w }, func(i int, res remote.Result, err error) {
		r := FetchResult{Host: hosts[i]}
		into[i].end(res, err, o.Force, &r)
		done(i, r)
	})
	return results
}

// apart refuses paths of which one would lie over the other here. What patterns stand for, the stage tells apart.
func apart(paths []string) error {
	seen := map[string]string{}
	for _, p := range paths {
		name := path.Base(path.Clean("/" + p))
		if strings.ContainsAny(name, "*?[") {
			continue
		}
		if before, twice := seen[name]; twice && path.Clean(before) != path.Clean(p) {
			return fmt.Errorf("%s and %s would both be %s here", before, p, name)
		}
		seen[name] = p
	}
	return nil
}

// fetching is what comes from one host.
type fetching struct {
	s   *stage
	w   *io.PipeWriter
	got chan error
}

// newFetching begins to unpack what is written to w into a stage below dir. got gives how that ended, once.
func newFetching(paths []string, dir string) (*fetching, error) {
	if len(paths) == 0 {
		return nil, errors.New("there is nothing to fetch")
	}
	if err := apart(paths); err != nil {
		return nil, err
	}
	err := os.MkdirAll(dir, 0o755)
	var s *stage
	if err == nil {
		s, err = newStage(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("make the directory %s here: %w", dir, bare(err))
	}
	r, w := io.Pipe()
	f := &fetching{s: s, w: w, got: make(chan error, 1)}
	guard.Go(func(p *guard.Panic) {
		_ = r.CloseWithError(p)
		f.got <- p
	}, func() {
		err := s.unpack(r)
		_ = r.CloseWithError(err) // the host need not go on
		f.got <- err
	})
	return f, nil
}

// end puts into place what has come when the host has ended.
func (f *fetching) end(res remote.Result, err error, force bool, into *FetchResult) {
	s := f.s
	defer s.close()
	_ = f.w.Close()
	if into.Err = howFetched(res, err, <-f.got); into.Err != nil {
		return
	}
	said, denied := tarSaid(res.Stderr)
	into.Said = append(s.skipped, said...)
	if s.files == 0 && len(s.dirs) == 0 && res.Exit < 2 {
		into.Err, into.Said = errors.New(firstOf(strings.Join(into.Said, "\n"), "there is nothing to fetch")), nil
		return
	}
	if into.Err = s.place(force); into.Err != nil {
		return
	}
	into.Files, into.Bytes = s.files, s.bytes
	switch { // tar could not read all; what it could read is here
	case res.Exit > 1 && denied != nil:
		into.Err = denied
	case res.Exit > 1:
		into.Err = errors.New(firstOf(strings.Join(into.Said, "\n"), fmt.Sprintf("tar ended with exit %d", res.Exit)))
		into.Said = into.Said[min(1, len(into.Said)):]
	}
}

// howFetched says why a stream is not here whole, nil when it is: what the host says comes before what is missed here.
func howFetched(res remote.Result, run, unpacked error) error {
	cut := errors.Is(unpacked, io.ErrUnexpectedEOF)
	switch {
	case run == nil && res.Exit == exitDenied:
		return deniedBy(res.Stderr)
	case unpacked != nil && !cut:
		return unpacked
	case run != nil:
		return run
	case res.Signal != "":
		return fmt.Errorf("tar was ended there by SIG%s; nothing was changed here", res.Signal)
	case cut && res.Exit != 0, res.Exit > 2:
		return errors.New(firstOf(res.Stderr, fmt.Sprintf("tar ended with exit %d", res.Exit)))
	}
	return unpacked
}

// maxSaid bounds how many lines of one host are told.
const maxSaid = 20

// tarSaid gives what tar wrote on stderr, without its own name. That it came to the end is no news. The first that it
// may not read is apart, nil when there is none of that.
func tarSaid(stderr string) (said []string, denied error) {
	as := "the login"
	if _, who, ok := strings.Cut(stderr, "\nit was read as "); ok {
		as = strings.TrimSpace(who)
	}
	for l := range strings.Lines(stderr) {
		l = strings.TrimPrefix(strings.TrimSpace(l), "tar: ")
		if l == "" || l == "it was read as "+as || strings.HasPrefix(l, "Exiting with failure status") {
			continue
		}
		if name, ok := notRead(l); ok {
			l = name + " may not be read by " + as
			if denied == nil {
				denied = &DeniedError{l, as}
				continue
			}
		}
		said = append(said, l)
	}
	if n := len(said); n > maxSaid {
		said = append(said[:maxSaid], fmt.Sprintf("and %d more", n-maxSaid))
	}
	return said, denied
}

// notRead gives what a tar may not read: GNU's says "./a: Cannot open: Permission denied", that of busybox "can't open
// './a': Permission denied".
func notRead(line string) (name string, ok bool) {
	line, ok = strings.CutSuffix(line, ": Permission denied")
	if !ok {
		return "", false
	}
	if _, quoted, busybox := strings.Cut(line, " '"); busybox && strings.HasPrefix(line, "can't ") {
		line = strings.TrimSuffix(quoted, "'")
	} else if at := strings.LastIndex(line, ": Cannot "); at >= 0 {
		line = line[:at]
	}
	return strings.TrimPrefix(line, "./"), true
}

// DeniedError: the login on a host may not read what is wanted of it, or not come to it.
type DeniedError struct {
	Msg string
	As  string // the login
}

// Error implements error.
func (e *DeniedError) Error() string { return e.Msg }

// exitDenied is how a script ends that the login may not do (shut.sh).
const exitDenied = 4

// deniedBy reads what shut.sh says.
func deniedBy(stderr string) *DeniedError {
	msg := firstOf(stderr, "the login may not read it")
	as := ""
	if at := strings.LastIndex(msg, " by "); at >= 0 {
		as = msg[at+len(" by "):]
	}
	return &DeniedError{msg, as}
}
