package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/jarvisops/jarvis/internal/plain"
)

// beginScript says a word on both streams, and becomes the command.
const beginScript = `printf '%s\n' "$1"; printf '%s\n' "$1" >&2; shift; exec "$@"`

// beginMark is the word of Command.Apart. A host is told it with the command, so that nothing which a login shell says
// before (~/.bashrc, /etc/profile) can be taken for it.
func beginMark(mark string) string { return "jarvis-" + mark + "-begins" }

// frame drops what comes on a stream before the mark.
type frame struct {
	mark []byte
	to   io.Writer
	kept bool // what comes before is handed over all the same when the mark never comes
	held []byte
	open bool
}

func newFrame(mark string, to io.Writer, kept bool) *frame {
	return &frame{mark: []byte(beginMark(mark) + "\n"), to: to, kept: kept}
}

func (f *frame) Write(p []byte) (int, error) {
	if f.open {
		return f.to.Write(p)
	}
	f.held = append(f.held, p...)
	i := bytes.Index(f.held, f.mark)
	if i < 0 {
		if most := f.most(); len(f.held) > most {
			f.held = append(f.held[:0], f.held[len(f.held)-most:]...)
		}
		return len(p), nil
	}
	rest := f.held[i+len(f.mark):]
	f.open, f.held = true, nil
	if len(rest) > 0 {
		if _, err := f.to.Write(rest); err != nil {
			return len(p), err
		}
	}
	return len(p), nil
}

// most is how much is held: enough to find the mark in, or to say why it did not come.
func (f *frame) most() int {
	if f.kept {
		return maxLine
	}
	return len(f.mark)
}

// ReadFrom keeps a host that says little from costing the 32 KiB of io.Copy.
func (f *frame) ReadFrom(r io.Reader) (int64, error) { return readSmall(f, r) }

// close is called when nothing more comes.
func (f *frame) close() {
	if !f.open && f.kept && len(f.held) > 0 {
		_, _ = f.to.Write(f.held)
	}
}

// readSmall copies with a buffer that grows with what there is: a thousand hosts that say little add up.
func readSmall(w io.Writer, r io.Reader) (n int64, err error) {
	buf := make([]byte, 512)
	for {
		k, err := r.Read(buf)
		n += int64(k)
		if k > 0 {
			if _, werr := w.Write(buf[:k]); werr != nil {
				return n, werr
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		if k == len(buf) && k < 32<<10 {
			buf = make([]byte, 4*k)
		}
	}
}

// NoSudo is what ErrSudo says of a host where it is not installed.
const NoSudo = "there is no sudo on the host; log in as root"

// sudoRefused says why: by the last word of sudo, or that there is none (exit 127).
func sudoRefused(res Result) error {
	why := plain.Last(res.Stderr, fmt.Sprintf("exit %d", res.Exit))
	if res.Exit == 127 {
		why = NoSudo
	}
	return fmt.Errorf("%w: %s", ErrSudo, why)
}

// notBegun is the error of a command whose mark did not come.
func notBegun(cmd Command, res Result) error {
	if cmd.Sudo != nil {
		return sudoRefused(res)
	}
	return fmt.Errorf("the login shell does not begin the command: %s", plain.Last(res.Stderr, fmt.Sprintf("exit %d", res.Exit)))
}
