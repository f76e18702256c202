package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/plain"
)

// Every change of a known_hosts file is here: each is made under a lock, keeps what it is not about to the byte, and
// leaves whole lines.

// lockWait bounds how long others may keep the file.
const lockWait = 10 * time.Second

// locked does something with a file, made if it is not there, while nobody else of ours changes it: it holds flock(2)
// of it. Whoever held it before may have put another file into its place; then that one counts. (Its folder is no place
// for a lock: a server holds that of its data.)
func locked(file string, flag int, mode fs.FileMode, do func(f *os.File) error) error {
	for end := time.Now().Add(lockWait); ; {
		f, err := os.OpenFile(file, flag|os.O_CREATE, mode)
		if err != nil {
			return err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && inPlace(f, file) {
			return errors.Join(do(f), f.Close())
		}
		_ = f.Close()
		switch {
		case err == nil, errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", file, err)
		case time.Now().After(end):
			return fmt.Errorf("%s is locked by somebody else", file)
		default:
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// inPlace reports whether an open file is the one of that name.
func inPlace(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}

// appendKnown adds a line, in one write: others that only append, ssh(1) too, write before it or after it. The last
// line of the file may lack its end.
func appendKnown(f *os.File, line string) error {
	text := line + "\n"
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			text = "\n" + text
		}
	}
	if err == nil {
		_, err = io.WriteString(f, text)
	}
	if err == nil {
		if err = f.Sync(); errors.Is(err, unix.EINVAL) {
			err = nil // /dev/null, which people name to forget everything
		}
	}
	return err
}

// KnownNames are the names under which known_hosts has a host, each with its port.
type KnownNames struct {
	Host  string // the full name
	Short string // may be ""
	Addr  string // the IP address
}

// Remember writes a host's keys to a known_hosts file in place of those that stood there for its full name and its
// address; without keys it takes them out. A line that is about another host, too, keeps what it says of that one:
// hosts that share a short name, patterns, authorities and revocations stay as they are.
func Remember(file string, n KnownNames, keys []gossh.PublicKey) error {
	return EditKnown(file, func(old []byte) ([]byte, error) { return n.Edit(old, keys), nil })
}

// EditKnown changes a known_hosts file, which is made if it is not there, while nobody else of ours does. A device as
// /dev/null, which people name to forget everything, stays one, and edit is not called.
func EditKnown(file string, edit func(old []byte) ([]byte, error)) error {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	if st, err := os.Stat(file); err == nil && st.Mode()&fs.ModeDevice != 0 {
		return nil // a rename would put a file in its place
	} else if err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("known_hosts: %s is %s, and no file", file, plain.Kind(st.Mode()))
	}
	return locked(file, os.O_RDONLY, 0o644, func(f *os.File) error {
		old, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		st, err := f.Stat()
		if err != nil {
			return err
		}
		text, err := edit(old)
		if err != nil || bytes.Equal(text, old) {
			return err
		}
		return replaceFile(file, text, st.Mode().Perm())
	})
}

// Edit gives the text of a known_hosts file as Remember leaves it.
func (n KnownNames) Edit(old []byte, keys []gossh.PublicKey) []byte {
	host, short, addr := normal(n.Host), normal(n.Short), normal(n.Addr)
	var out bytes.Buffer
	shared := false // somebody else has our short name
	for l := range bytes.Lines(old) {
		line := string(l)
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' || fields[0][0] == '@' {
			out.WriteString(line)
			continue
		}
		names := strings.Split(fields[0], ",")
		ours := slices.ContainsFunc(names, func(s string) bool { return same(s, host) })
		left := slices.DeleteFunc(slices.Clone(names), func(s string) bool {
			return same(s, host) || same(s, addr) || ours && (same(s, short) || isAddress(s))
		})
		shared = shared || short != "" && slices.ContainsFunc(left, func(s string) bool { return same(s, short) })
		switch {
		case len(left) == len(names):
			out.WriteString(line)
		case slices.ContainsFunc(left, func(s string) bool { return !strings.HasPrefix(s, "!") }):
			out.WriteString(strings.Replace(line, fields[0], strings.Join(left, ","), 1))
		}
	}
	if out.Len() > 0 && out.Bytes()[out.Len()-1] != '\n' {
		out.WriteByte('\n')
	}
	names := []string{host, addr}
	if short != "" && short != host && !shared {
		names = append(names, short)
	}
	for _, k := range keys {
		out.WriteString(knownhosts.Line(names, k) + "\n")
	}
	return out.Bytes()
}

// normal gives a name as known_hosts writes it: with [ ] and port where that is not 22.
func normal(addr string) string {
	if addr == "" {
		return ""
	}
	return strings.ToLower(knownhosts.Normalize(addr))
}

// same reports whether a name of a line is a name of ours, plain or hashed. A pattern is about more than one host.
func same(inLine, name string) bool {
	return name != "" && (strings.EqualFold(inLine, name) || strings.HasPrefix(inLine, "|") && hashedAs(inLine, name))
}

// isAddress reports whether a name of a line is an IP address, with or without a port.
func isAddress(s string) bool {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	return net.ParseIP(s) != nil
}

// replaceFile writes a file beside its place, and renames it.
func replaceFile(file string, text []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".known_hosts-*")
	if err != nil {
		return err
	}
	_, werr := tmp.Write(text)
	err = errors.Join(werr, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
