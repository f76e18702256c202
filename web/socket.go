package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/mistake"
)

// Socket is how people of this machine reach the server. Whoever may open it is told apart by the kernel (SO_PEERCRED),
// and may do what people[].local gives them; others may ask for help only.
type Socket struct {
	Path  string `yaml:"path" path:"relative" doc:"the socket, in a folder of its own; relative to this file" default:"DATA/run/jarvis.sock"`
	Group string `yaml:"group" doc:"group of this machine whose members may open it; empty: the server's own group"`
	Mode  string `yaml:"mode" doc:"who may open it, in octal: 0600 (the server's user and root), 0660 (the group as well) or 0666 (everybody)" default:"0660"`

	// Own says that the folder of the socket is the server's, to be opened and closed as Mode says.
	Own bool `yaml:"-"`
}

// perm is 0660 when no mode is named.
func (s Socket) perm() os.FileMode {
	if s.Mode == "" {
		return 0o660
	}
	n, _ := strconv.ParseUint(s.Mode, 8, 32)
	return os.FileMode(n)
}

// gid gives -1, which chown(2) leaves as it is, when no group is named.
func (s Socket) gid() (int, error) {
	if s.Group == "" {
		return -1, nil
	}
	g, err := user.LookupGroup(s.Group)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(g.Gid)
}

// maxSocket is what sockaddr_un takes (unix(7)).
const maxSocket = 107

// Check says all that is wrong with it.
func (s Socket) Check() error {
	var wrong mistake.List
	if m := s.perm(); m != 0o600 && m != 0o660 && m != 0o666 {
		wrong.At("socket.mode", "is %q; it must be 0600, 0660 or 0666", s.Mode)
	}
	if _, err := s.gid(); err != nil {
		wrong.At("socket.group", ": there is no group %q on this machine; groupadd makes one", s.Group)
	}
	if len(s.Path) > maxSocket {
		wrong.At("socket.path", "has %d characters, and a socket's path at most %d; set a shorter one", len(s.Path), maxSocket)
	}
	return wrong.Err()
}

// listen opens the socket. Its folder is made when it is not there; one that is stays as it is, unless it is ours.
func (s Socket) listen() (net.Listener, error) {
	gid, err := s.gid()
	if err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	dir := filepath.Dir(s.Path)
	_, err = os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the socket: %w", err)
	}
	if errors.Is(err, os.ErrNotExist) || s.Own {
		if err := open(dir, gid, s.perm()); err != nil {
			return nil, fmt.Errorf("open the folder of the socket: %w", err)
		}
	}
	// The store's lock says that no other process serves this folder, so a socket that is there is a dead one's.
	if err := os.Remove(s.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	// For its owner alone from its first moment: the mode of an unbound socket is the one that its file gets (Linux).
	// The umask would be everybody's: also of the program that a step starts at that moment.
	var mode error
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return errors.Join(c.Control(func(fd uintptr) { mode = unix.Fchmod(int(fd), 0o600) }), mode)
	}}
	l, err := lc.Listen(context.Background(), "unix", s.Path)
	if err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	if gid >= 0 {
		err = os.Chown(s.Path, -1, gid)
	}
	if err = errors.Join(err, os.Chmod(s.Path, s.perm())); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("let the group %s use the socket: %w; the server's user must be a member of it", s.Group, err)
	}
	return l, nil
}

// open lets those into a folder who may open the socket in it, and nobody else.
func open(dir string, gid int, socket os.FileMode) error {
	mode := os.FileMode(0o700)
	if socket&0o060 != 0 {
		mode |= 0o050
	}
	if socket&0o006 != 0 {
		mode |= 0o005
	}
	if gid >= 0 {
		if err := os.Chown(dir, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(dir, mode)
}
