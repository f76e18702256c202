package fleet

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/jarvisops/jarvis/internal/plain"
)

// stage is a directory beside the place of what is fetched: all of it is there before any of it is put into its place.
type stage struct {
	root  *os.Root // the place
	name  string   // of the stage in it
	in    *os.Root // the stage: tree, below the name
	mark  *os.File // locked as long as the stage is in use
	dirs  []fetchedDir
	files int
	bytes int64
	// skipped says what is no file, directory or link: "run/sock is a named pipe there, and was skipped".
	skipped []string
	left    map[string]bool // by name
	tops    map[string]bool // names that stand for themselves, not in a directory
}

// fetchedDir is a directory whose mode and time are set when all is in it.
type fetchedDir struct {
	name string
	hdr  *tar.Header
}

// unpack writes a tar stream into the stage. Owners are not kept: the files are of whoever fetches them.
func (s *stage) unpack(r io.Reader) error {
	in := bufio.NewReaderSize(r, fanChunk)
	tr := tar.NewReader(in)
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, in) // what stands after the end of the archive is padding
			return err
		} else if err != nil {
			return fmt.Errorf("what the host sends is no whole archive: %w", err)
		}
		name := path.Clean(hdr.Name)
		if name == "." {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the host sends %q, which would lie outside", hdr.Name)
		}
		if s.tops[name] {
			return fmt.Errorf("two of the files there would both be %s here", name)
		}
		s.tops[name] = !strings.Contains(name, "/")
		if err := s.member(name, hdr, tr); err != nil {
			return fmt.Errorf("write %s here: %w", name, bare(err))
		}
	}
}

// member writes one member of the archive. A link to what was skipped is left out as well.
func (s *stage) member(name string, hdr *tar.Header, r io.Reader) error {
	if err := s.in.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	switch hdr.Typeflag {
	case tar.TypeDir:
		s.dirs = append(s.dirs, fetchedDir{name, hdr})
		return s.in.MkdirAll(name, 0o700)
	case tar.TypeReg, tar.TypeGNUSparse:
		n, err := writeNew(s.in, name, hdr, r)
		s.bytes += n
		if err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := s.in.Symlink(hdr.Linkname, name); err != nil {
			return err
		}
	case tar.TypeLink:
		if s.left[path.Clean(hdr.Linkname)] {
			return nil
		}
		if err := s.in.Link(path.Clean(hdr.Linkname), name); err != nil {
			return err
		}
	default:
		s.left[name] = true
		s.skipped = append(s.skipped, fmt.Sprintf("%s is %s there, and was skipped", name, plain.Kind(hdr.FileInfo().Mode())))
		return nil
	}
	s.files++
	return nil
}

// DiffersError: files are here already under the names of what was to be fetched, and are not the same.
type DiffersError struct{ Names []string }

// Error implements error.
func (e *DiffersError) Error() string {
	if n := len(e.Names); n > 1 {
		return fmt.Sprintf("%s and %d more are here already, and differ; nothing was changed", e.Names[0], n-1)
	}
	return e.Names[0] + " is here already, and differs; nothing was changed"
}

// place puts all into its place. What is there and differs is an error before anything is changed, unless force says
// otherwise.
func (s *stage) place(force bool) error {
	var differ []string
	if err := s.walk(func(name string, dir bool) error {
		there, err := s.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if dir {
			there, err = s.root.Stat(name) // a link to a directory is that directory
		}
		switch {
		case err != nil:
			return err
		case dir != there.IsDir():
			return fmt.Errorf("%s is a directory on one side only; nothing was changed", name)
		case !dir && !s.mayReplace(name, there):
			return fmt.Errorf("%s is %s here, which no file is put in place of; nothing was changed", name, plain.Kind(there.Mode()))
		case !dir && !force && !s.same(name, there):
			differ = append(differ, name)
		}
		return nil
	}); err != nil {
		return err
	}
	if len(differ) > 0 {
		return &DiffersError{differ}
	}
	if err := s.walk(func(name string, dir bool) error {
		if !dir {
			return s.root.Rename(path.Join(s.name, name), name)
		}
		if err := s.root.Mkdir(name, 0o755); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	}); err != nil {
		return err
	}
	for i := len(s.dirs) - 1; i >= 0; i-- {
		d := s.dirs[i]
		if err := errors.Join(s.root.Chmod(d.name, d.hdr.FileInfo().Mode().Perm()), s.root.Chtimes(d.name, d.hdr.ModTime, d.hdr.ModTime)); err != nil {
			return err
		}
	}
	return nil
}

// walk calls do for all that is in the stage, a directory before what is in it.
func (s *stage) walk(do func(name string, dir bool) error) error {
	return fs.WalkDir(s.in.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		return do(name, d.IsDir())
	})
}

// mayReplace reports whether what is there may ever be replaced: a file, and a link by a link. A device, a pipe or a
// socket would be gone for good, and a link to elsewhere is how somebody has it.
func (s *stage) mayReplace(name string, there fs.FileInfo) bool {
	if there.Mode().IsRegular() {
		return true
	}
	ours, err := s.in.Lstat(name)
	return err == nil && there.Mode()&fs.ModeSymlink != 0 && ours.Mode()&fs.ModeSymlink != 0
}

// same reports whether a file of the stage is what is there already.
func (s *stage) same(name string, there fs.FileInfo) bool {
	ours, err := s.in.Lstat(name)
	if err != nil || ours.Mode().Type() != there.Mode().Type() {
		return false
	}
	if ours.Mode()&fs.ModeSymlink != 0 {
		a, err1 := s.in.Readlink(name)
		b, err2 := s.root.Readlink(name)
		return err1 == nil && err2 == nil && a == b
	}
	if !ours.Mode().IsRegular() || ours.Size() != there.Size() {
		return false
	}
	a, err1 := s.in.Open(name)
	b, err2 := s.root.Open(name)
	if err1 == nil {
		defer func() { _ = a.Close() }()
	}
	if err2 == nil {
		defer func() { _ = b.Close() }()
	}
	return err1 == nil && err2 == nil && sameBytes(a, b)
}

// sameBytes counts an error of reading as a difference.
func sameBytes(a, b io.Reader) bool {
	one, two := make([]byte, fanChunk), make([]byte, fanChunk)
	for {
		n, err1 := io.ReadFull(a, one)
		m, err2 := io.ReadFull(b, two)
		switch {
		case n != m || !bytes.Equal(one[:n], two[:m]):
			return false
		case err1 != nil || err2 != nil:
			return atEnd(err1) && atEnd(err2)
		}
	}
}

// atEnd also takes the end that io.ReadFull meets in the middle.
func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// bare takes the name out of a file's error: it is that of no file that stays.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// writeNew writes a file that must not be there yet. Its holes stay holes.
func writeNew(root *os.Root, name string, hdr *tar.Header, r io.Reader) (int64, error) {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	var to io.Writer = f
	if hdr.Typeflag == tar.TypeGNUSparse || hdr.PAXRecords["GNU.sparse.major"] != "" {
		to = &holes{f: f}
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, r, make([]byte, fanChunk))
	if err == nil && to != f {
		err = f.Truncate(n) // it may end with a hole
	}
	return n, errors.Join(err, f.Chmod(hdr.FileInfo().Mode().Perm()), f.Close(), root.Chtimes(name, hdr.ModTime, hdr.ModTime))
}
