package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/jarvisops/jarvis/config"
)

// letThrough lets those who may use the socket come to it when it lies in the data folder: they may go through that
// folder, and read nothing in it. It stays closed unless socket.group or socket.mode says who they are.
func letThrough(conf *config.Config) error {
	s := conf.Socket
	all := s.Mode == "0666"
	if !s.Own || s.Group == "" && !all {
		return nil
	}
	fail := func(err error) error {
		return fmt.Errorf("let the users of the socket into the data folder: %w; set socket.path to one elsewhere, as in /run/jarvis/jarvis.sock", err)
	}
	// What is in the folder is ours alone, whatever its own mode is, before anybody may come near it.
	entries, err := os.ReadDir(conf.Data)
	if err != nil {
		return fail(err)
	}
	for _, e := range entries {
		file := filepath.Join(conf.Data, e.Name())
		st, err := os.Lstat(file)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return fail(err)
		case st.Mode()&os.ModeSymlink != 0, e.Name() == "run":
			continue
		}
		closed := st.Mode().Perm() &^ 0o077
		if st.IsDir() { // through one of tasks, a program may run as another user
			closed = st.Mode().Perm() &^ 0o066
		}
		if closed != st.Mode().Perm() {
			if err := os.Chmod(file, closed); err != nil {
				return fail(err)
			}
		}
	}
	mode := os.FileMode(0o710)
	if all {
		mode = 0o711
	}
	if s.Group != "" {
		g, err := user.LookupGroup(s.Group)
		if err != nil {
			return fail(err)
		}
		gid, err := strconv.Atoi(g.Gid)
		if err == nil {
			err = os.Chown(conf.Data, -1, gid)
		}
		if err != nil {
			return fail(err)
		}
	}
	if err := os.Chmod(conf.Data, mode); err != nil {
		return fail(err)
	}
	return nil
}
