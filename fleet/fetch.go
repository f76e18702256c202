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

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// FetchOptions say what is brought here, and where to.
type FetchOptions struct {
	Paths []string            // on every host
	Of    map[string][]string // instead of Paths: those of each host, by its name
	// Dir is a directory here. With several hosts each gets one below it.
	Dir   string
	Force bool // what is here under the same name and differs is replaced; else it is an error, and nothing is changed
	Sudo  *remote.Sudo
	// Done is told each host as it is finished, one at a time; may be nil.
	Done func(FetchResult)
}

// FetchResult is what became of a fetch from one host.
type FetchResult struct {
	Host  Host
	Files int
	Bytes int64
	Err   error
}

// Fetch brings paths of hosts to this machine. Nothing that a host sends reaches beyond the directory. All is written beside
// its place first, and renamed when it is there.
func (f *Fleet) Fetch(ctx context.Context, o FetchOptions) []FetchResult {
	results := make([]FetchResult, len(f.Hosts))
	var mu sync.Mutex
	_ = f.each(func(i int, h Host, c *remote.Client) error {
		r := FetchResult{Host: h}
		dir := o.Dir
		if len(f.Hosts) > 1 {
			dir = filepath.Join(o.Dir, strings.NewReplacer("/", "_", "\x00", "_").Replace(h.Name))
		}
		paths := o.Paths
		if o.Of != nil {
			paths = o.Of[h.Name]
		}
		r.Files, r.Bytes, r.Err = fetch(ctx, c, paths, dir, o)
		mu.Lock()
		defer mu.Unlock()
		results[i] = r
		if o.Done != nil {
			o.Done(r)
		}
		return nil
	})
	return results
}

// fetchScript packs paths, each by its last part.
const fetchScript = `for p; do
  d=$(dirname -- "$p") b=$(basename -- "$p")
  [ -e "$p" ] || [ -L "$p" ] || { echo "$p: no such file" >&2; exit 1; }
  set -- "$@" -C "$d" "./$b"; shift
done
exec tar -cf - "$@"`

// apart refuses paths of which one would lie over the other here.
func apart(paths []string) error {
	seen := map[string]string{}
	for _, p := range paths {
		name := path.Base(path.Clean("/" + p))
		if before, twice := seen[name]; twice && path.Clean(before) != path.Clean(p) {
			return fmt.Errorf("%s and %s would both be %s here", before, p, name)
		}
		seen[name] = p
	}
	return nil
}

func fetch(ctx context.Context, c *remote.Client, paths []string, dir string, o FetchOptions) (files int, bytes int64, err error) {
	if err := apart(paths); err != nil {
		return 0, 0, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, 0, err
	}
	s, err := newStage(dir)
	if err != nil {
		return 0, 0, err
	}
	defer s.close()
	r, w := io.Pipe()
	got := make(chan error, 1)
	guard.Go(func(p *guard.Panic) {
		_ = r.CloseWithError(p)
		got <- p
	}, func() {
		err := s.unpack(r)
		_ = r.CloseWithError(err) // the host need not go on
		got <- err
	})
	res, err := c.Run(ctx, remote.Command{Args: append([]string{"sh", "-c", fetchScript, "jarvis"}, paths...), Sudo: o.Sudo, Output: w, Apart: true})
	_ = w.Close()
	unpacked := <-got
	switch {
	case unpacked != nil:
		return 0, 0, unpacked
	case err != nil:
		return 0, 0, err
	}
	if err := s.place(o.Force); err != nil {
		return 0, 0, err
	}
	if res.Exit != 0 { // tar could not read all, or something changed meanwhile; what it could read is here
		err = errors.New(firstOf(res.Stderr, fmt.Sprintf("tar ended with exit %d", res.Exit)))
	}
	return s.files, s.bytes, err
}
