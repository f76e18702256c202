package fleet

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// The stream has what is sent below treeDir, and after it leftFile and dirsFile, each a list of names that end with a
// NUL: of files whose bytes came but are not to be put into place, and of the directories that are part of the tree.
// dirsFile is the last member. When it is there, the stream is whole: tar itself does not tell a cut stream from a
// short one.
const (
	treeDir  = "tree/"
	leftFile = "left"
	dirsFile = "dirs"
)

// LeftFile is a file that was not sent, since it is no longer what it was when the tree was read.
type LeftFile struct {
	Local string // as it is called here
	Gone  bool   // it is not there any more
}

// Error implements error.
func (l *LeftFile) Error() string {
	if l.Gone {
		return l.Local + " went away before it was read"
	}
	return l.Local + " changed while it was read"
}

// treeWriter writes the stream.
type treeWriter struct {
	t    *Tree
	buf  *bufio.Writer // below tw
	tw   *tar.Writer
	copy []byte
	read func(n int64)

	out  map[int]*LeftFile // by the entry's index
	left strings.Builder
}

// write writes the entries that are wanted as a tar stream (POSIX.1-2001), and tells how many bytes of files are read.
// Of a file that changes meanwhile left is told, and the others go on; when left is nil, that is an error.
func (t *Tree) write(w io.Writer, want []bool, read func(n int64), left func(*LeftFile)) error {
	buf := bufio.NewWriterSize(w, fanChunk)
	s := &treeWriter{t: t, buf: buf, tw: tar.NewWriter(buf), copy: make([]byte, fanChunk), read: read, out: map[int]*LeftFile{}}
	var dirs strings.Builder
	for i := range t.entries {
		if !want[i] {
			continue
		}
		if e := &t.entries[i]; e.info.IsDir() {
			dirs.WriteString(e.name + "\x00")
		}
		err := s.entry(i)
		var l *LeftFile
		if errors.As(err, &l) && left != nil {
			s.out[i] = l
			left(l)
		} else if err != nil {
			return err
		}
	}
	if s.left.Len() > 0 {
		if err := s.list(leftFile, s.left.String()); err != nil {
			return err
		}
	}
	return errors.Join(s.list(dirsFile, dirs.String()), s.tw.Close(), buf.Flush())
}

// list puts a text into the archive as a file of ours.
func (s *treeWriter) list(name, text string) error {
	if err := s.tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := io.WriteString(s.tw, text)
	return err
}

// entry writes one. A *LeftFile says that it is not to be put into place.
func (s *treeWriter) entry(i int) error {
	e := &s.t.entries[i]
	if first := s.out[e.hard]; first != nil { // another name of a file that is left out
		return &LeftFile{Local: e.local, Gone: first.Gone}
	}
	hdr, err := s.t.header(e)
	if err != nil {
		return fmt.Errorf("%s: %w", e.local, err)
	}
	if hdr.Typeflag != tar.TypeReg {
		if err := s.tw.WriteHeader(hdr); err != nil {
			return fmt.Errorf("%s: %w", e.local, err)
		}
		return nil
	}
	// Somebody may have put a pipe in its place, which would never open.
	f, err := os.OpenFile(e.local, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &LeftFile{Local: e.local, Gone: true}
	} else if err != nil {
		return fmt.Errorf("read %s here: %w", e.local, bare(err))
	}
	defer func() { _ = f.Close() }()
	if err := unchanged(f, e); err != nil {
		return err
	}
	if e.holes {
		err = s.sparse(hdr, e, f)
	} else {
		if err := s.tw.WriteHeader(hdr); err != nil {
			return fmt.Errorf("%s: %w", e.local, err)
		}
		err = s.padded(s.tw, f, hdr.Size)
	}
	if err != nil {
		return err
	}
	s.read(hdr.Size)
	err = unchanged(f, e)
	if err != nil {
		s.left.WriteString(e.name + "\x00")
	}
	return err
}

// padded writes size bytes: what the file has, and zeros when it has fewer by now.
func (s *treeWriter) padded(to io.Writer, from io.Reader, size int64) error {
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(from, size), s.copy)
	for err == nil && n < size {
		var m int
		m, err = to.Write(zeros[:min(size-n, int64(len(zeros)))])
		n += int64(m)
	}
	return err
}

// header describes an entry in the stream.
func (t *Tree) header(e *treeEntry) (*tar.Header, error) {
	hdr, err := tar.FileInfoHeader(e.info, e.link)
	if err != nil {
		return nil, err
	}
	hdr.Name, hdr.Uname, hdr.Gname = treeDir+e.name, "", ""
	hdr.Uid, hdr.Gid = t.wanted(e)
	hdr.AccessTime, hdr.ChangeTime = time.Time{}, time.Time{}
	hdr.Format = tar.FormatPAX // else the time is rounded
	switch {
	case e.info.IsDir():
		hdr.Name += "/"
		hdr.ModTime = hdr.ModTime.Truncate(time.Second) // nobody compares it
	case e.hard >= 0:
		hdr.Typeflag, hdr.Linkname, hdr.Size = tar.TypeLink, treeDir+t.entries[e.hard].name, 0
	}
	if hdr.Typeflag == tar.TypeReg || hdr.Typeflag == tar.TypeDir {
		if attrs := xattrs(e.local); len(attrs) > 0 {
			hdr.PAXRecords = attrs
		}
	}
	return hdr, nil
}

// unchanged tells when a file is no longer what it was when the tree was read.
func unchanged(f *os.File, e *treeEntry) error {
	now, err := f.Stat()
	if err != nil || !now.Mode().IsRegular() || now.Size() != e.info.Size() || !now.ModTime().Equal(e.info.ModTime()) {
		return &LeftFile{Local: e.local}
	}
	return nil
}
