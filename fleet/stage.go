package fleet

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/jarvisops/jarvis/internal/plain"
)

// stage is a directory beside the place of what is fetched: all of it is there before any of it is put into its place.
type stage struct {
	root  *os.Root // the place
	name  string   // of the stage in it
	in    *os.Root // the stage
	dirs  []fetchedDir
	files int
	bytes int64
}

// fetchedDir is a directory whose mode and time are set when all is in it.
type fetchedDir struct {
	name string
	hdr  *tar.Header
}

func newStage(dir string) (*stage, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &stage{root: root, name: ".jarvis-" + rand.Text()}
	if err = root.Mkdir(s.name, 0o700); err == nil {
		s.in, err = root.OpenRoot(s.name)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

func (s *stage) close() {
	_ = s.in.Close()
	_ = s.root.RemoveAll(s.name)
	_ = s.root.Close()
}

// unpack writes a tar stream into the stage. Owners are not kept: the files are of whoever fetches them.
func (s *stage) unpack(r io.Reader) error {
	in := bufio.NewReaderSize(r, fanChunk)
	tr := tar.NewReader(in)
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, in) // what stands behind the end of the archive is padding
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
		if err := s.member(name, hdr, tr); err != nil {
			return fmt.Errorf("write %s here: %w", name, bare(err))
		}
	}
}

func (s *stage) member(name string, hdr *tar.Header, r io.Reader) error {
	if err := s.in.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	switch hdr.Typeflag {
	case tar.TypeDir:
		s.dirs = append(s.dirs, fetchedDir{name, hdr})
		return s.in.MkdirAll(name, 0o700)
	case tar.TypeReg:
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
		if err := s.in.Link(path.Clean(hdr.Linkname), name); err != nil {
			return err
		}
	default:
		return errors.New("it is no file, directory or link")
	}
	s.files++
	return nil
}

// DiffersError: files are here already under the names of what was to be fetched, and are not the same.
type DiffersError struct{ Names []string }

func (e *DiffersError) Error() string {
	if n := len(e.Names); n > 1 {
		return fmt.Sprintf("%s and %d more are here already, and differ; nothing was changed", e.Names[0], n-1)
	}
	return e.Names[0] + " is here already, and differs; nothing was changed"
}

// place puts all into its place. What is there and differs is an error before anything is changed, unless force says otherwise.
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

// mayReplace reports whether what is there may ever be replaced: a file, and a link by a link. A device, a pipe or a socket
// would be gone for good, and a link to elsewhere is how somebody has it.
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

func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

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
