package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jarvisops/jarvis/internal/plain"
)

// ReadTree walks files and directories. Sockets, devices and pipes do not travel: in a directory they are skipped, and
// by themselves they are an error.
func ReadTree(paths []string, o TreeOptions) (*Tree, error) {
	t := &Tree{opts: o}
	w := &treeWalk{t: t, first: map[inode]int{}, seen: map[string]string{}}
	for _, p := range paths {
		base, err := t.base(p)
		if err == nil {
			err = w.walk(p, base)
		}
		if err != nil {
			return nil, fmt.Errorf("read what is to be sent: %w", err)
		}
	}
	if len(t.entries) == 0 {
		return nil, errors.New("there is nothing to send")
	}
	return t, nil
}

type inode struct{ dev, ino uint64 }

type treeWalk struct {
	t     *Tree
	first map[inode]int     // entries of files with several names
	seen  map[string]string // where a name on the hosts is from
}

// walk adds what is at p, with base as its name on the hosts.
func (w *treeWalk) walk(p, base string) error {
	return filepath.WalkDir(p, func(local string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		look := os.Lstat
		if w.t.opts.Alone {
			look = os.Stat
		}
		info, err := look(local)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p, local)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Join(base, filepath.ToSlash(rel)), "/")
		if name == "" || name == "." {
			return nil
		}
		if before, twice := w.seen[name]; twice {
			if other, err := os.Lstat(before); err == nil && os.SameFile(other, info) {
				return nil
			}
			return fmt.Errorf("%s and %s would both be %s there", before, local, name)
		}
		w.seen[name] = local
		return w.add(treeEntry{name: name, local: local, info: info, hard: -1}, local == p)
	})
}

// add adds an entry; asked says that somebody named it, and not the directory that it is in.
func (w *treeWalk) add(e treeEntry, asked bool) (err error) {
	switch mode := e.info.Mode(); {
	case mode.IsRegular():
		st, ok := e.info.Sys().(*syscall.Stat_t)
		if ok && st.Nlink > 1 {
			key := inode{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev is an int32 elsewhere
			if at, known := w.first[key]; known {
				e.hard = at
			} else {
				w.first[key] = len(w.t.entries)
			}
		}
		if e.hard < 0 {
			w.t.Bytes += e.info.Size()
			e.holes = holey(e.local, e.info)
		}
	case mode.IsDir():
	case mode&fs.ModeSymlink != 0:
		if e.link, err = os.Readlink(e.local); err != nil {
			return err
		}
	case asked:
		return fmt.Errorf("%s is %s; only files, directories and links are sent", e.local, plain.Kind(mode))
	default:
		w.t.Skipped = append(w.t.Skipped, fmt.Sprintf("%s is %s, and was skipped", e.local, plain.Kind(mode)))
		return nil
	}
	w.t.entries = append(w.t.entries, e)
	return nil
}
