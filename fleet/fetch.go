package fleet

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// FetchResult is what became of a fetch from one host.
type FetchResult struct {
	Host  Host
	Files int
	Bytes int64
	Err   error
}

// Fetch brings paths of all hosts to this machine: into dir/NAME of each host, or into dir itself when there is one host
// only. Nothing that a host sends reaches beyond that directory. A file is written beside its place and renamed.
func (f *Fleet) Fetch(ctx context.Context, paths []string, dir string, sudo *remote.Sudo, done func(FetchResult)) []FetchResult {
	results := make([]FetchResult, len(f.Hosts))
	_ = f.each(func(i int, h Host, c *remote.Client) error {
		to := dir
		if len(f.Hosts) > 1 {
			to = filepath.Join(dir, strings.NewReplacer("/", "_", "\x00", "_").Replace(h.Name))
		}
		r := FetchResult{Host: h}
		r.Files, r.Bytes, r.Err = fetch(ctx, c, paths, to, sudo)
		results[i] = r
		if done != nil {
			done(r)
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

func fetch(ctx context.Context, c *remote.Client, paths []string, dir string, sudo *remote.Sudo) (files int, bytes int64, err error) {
	if err := apart(paths); err != nil {
		return 0, 0, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, 0, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = root.Close() }()
	r, w := io.Pipe()
	type counted struct {
		files int
		bytes int64
		err   error
	}
	got := make(chan counted, 1)
	guard.Go(func(p *guard.Panic) {
		_ = r.CloseWithError(p)
		got <- counted{err: p}
	}, func() {
		n, b, err := unpack(root, r)
		_ = r.CloseWithError(err) // the host need not go on
		got <- counted{n, b, err}
	})
	res, err := c.Run(ctx, remote.Command{Args: append([]string{"sh", "-c", fetchScript, "jarvis"}, paths...), Sudo: sudo, Output: w})
	_ = w.Close()
	n := <-got
	switch {
	case n.err != nil:
		return n.files, n.bytes, n.err
	case err != nil:
		return n.files, n.bytes, err
	case res.Exit != 0:
		return n.files, n.bytes, errors.New(firstOf(res.Stderr, fmt.Sprintf("tar ended with exit %d", res.Exit)))
	}
	return n.files, n.bytes, nil
}

// unpack writes a tar stream below root. Owners are not kept: the files are of whoever fetches them.
func unpack(root *os.Root, r io.Reader) (files int, bytes int64, err error) {
	in := bufio.NewReaderSize(r, fanChunk)
	tr := tar.NewReader(in)
	type times struct {
		name string
		hdr  *tar.Header
	}
	var dirs []times
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			// What stands behind the end of the archive is padding.
			_, err = io.Copy(io.Discard, in)
			for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
				d := dirs[i]
				err = errors.Join(root.Chmod(d.name, d.hdr.FileInfo().Mode().Perm()), root.Chtimes(d.name, d.hdr.ModTime, d.hdr.ModTime))
			}
			return files, bytes, err
		} else if err != nil {
			return files, bytes, fmt.Errorf("what the host sends is no whole archive: %w", err)
		}
		name := path.Clean(hdr.Name)
		if name == "." {
			continue
		}
		if !filepath.IsLocal(name) {
			return files, bytes, fmt.Errorf("the host sends %q, which would lie outside", hdr.Name)
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return files, bytes, err
		}
		temp := path.Join(path.Dir(name), ".jarvis-"+rand.Text())
		switch hdr.Typeflag {
		case tar.TypeDir:
			if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return files, bytes, err
			}
			dirs = append(dirs, times{name, hdr})
			continue
		case tar.TypeReg:
			n, err := writeNew(root, temp, hdr, tr)
			bytes += n
			if err != nil {
				_ = root.Remove(temp)
				return files, bytes, fmt.Errorf("write %s here: %w", name, bare(err))
			}
		case tar.TypeSymlink:
			if err := root.Symlink(hdr.Linkname, temp); err != nil {
				return files, bytes, err
			}
		case tar.TypeLink:
			if err := root.Link(path.Clean(hdr.Linkname), temp); err != nil {
				return files, bytes, err
			}
		default:
			return files, bytes, fmt.Errorf("%s is no file, directory or link", hdr.Name)
		}
		if err := root.Rename(temp, name); err != nil {
			_ = root.Remove(temp)
			return files, bytes, err
		}
		files++
	}
}

// bare takes the name out of a file's error: it is that of no file that stays.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func writeNew(root *os.Root, name string, hdr *tar.Header, r io.Reader) (int64, error) {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, r)
	return n, errors.Join(err, f.Chmod(hdr.FileInfo().Mode().Perm()), f.Close(), root.Chtimes(name, hdr.ModTime, hdr.ModTime))
}
