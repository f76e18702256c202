package fleet

import (
	"crypto/rand"
	"errors"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
)

// What a stage is called, the file in it that says whose it is, and the directory in it of what is fetched.
const (
	stagePrefix = ".jarvis-"
	stageMark   = "of-jarvis"
	stageTree   = "tree"
)

// newStage makes a stage in a directory: on the same file system, so that what is whole is put into place by a rename.
// It first removes those that earlier fetches left.
func newStage(dir string) (*stage, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	clearStages(root)
	top := stagePrefix + rand.Text()
	s := &stage{root: root, name: path.Join(top, stageTree), left: map[string]bool{}, tops: map[string]bool{}}
	if err = root.Mkdir(top, 0o700); err == nil {
		err = s.begin(top)
	}
	if err != nil {
		return nil, errors.Join(err, root.RemoveAll(top), root.Close())
	}
	return s, nil
}

// begin locks the mark before anything is in the stage: another fetch there removes a stage that nobody holds.
func (s *stage) begin(top string) (err error) {
	if s.mark, err = s.root.OpenFile(path.Join(top, stageMark), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600); err != nil {
		return err
	}
	if syscall.Flock(int(s.mark.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		_, _ = s.mark.WriteString("locked\n") // else its age protects it
	}
	if err = s.root.Mkdir(s.name, 0o700); err == nil {
		s.in, err = s.root.OpenRoot(s.name)
	}
	if err != nil {
		_ = s.mark.Close()
	}
	return err
}

// close removes the stage with what is still in it.
func (s *stage) close() {
	_ = s.in.Close()
	_ = s.root.RemoveAll(path.Dir(s.name))
	_ = s.mark.Close()
	_ = s.root.Close()
}

// clearStages removes what fetches left that were killed: a stage whose lock nobody holds any more, or that is a day
// old and never had one.
func clearStages(root *os.Root) {
	d, err := root.Open(".")
	if err != nil {
		return
	}
	defer func() { _ = d.Close() }()
	all, _ := d.ReadDir(-1)
	for _, e := range all {
		if e.IsDir() && strings.HasPrefix(e.Name(), stagePrefix) && nobodyHolds(root, path.Join(e.Name(), stageMark)) {
			_ = root.RemoveAll(e.Name())
		}
	}
}

// nobodyHolds reports whether the fetch of a stage has ended. A mark that is empty may be about to be locked, or is
// where no lock works: its age decides.
func nobodyHolds(root *os.Root, mark string) bool {
	st, err := root.Lstat(mark)
	if err != nil || !st.Mode().IsRegular() || st.Size() == 0 && time.Since(st.ModTime()) < 24*time.Hour {
		return false
	}
	f, err := root.Open(mark)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// holes writes a file in which what is zeros is not stored, where the file system can.
type holes struct {
	f  *os.File
	at int64
}

var zeros [fanChunk]byte

func (h *holes) Write(p []byte) (int, error) {
	if len(p) <= len(zeros) && string(p) == string(zeros[:len(p)]) {
		h.at += int64(len(p))
		return len(p), nil
	}
	n, err := h.f.WriteAt(p, h.at)
	h.at += int64(n)
	return n, err
}
