package remote

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/jarvisops/jarvis/internal/guard"
)

// promptMark is what we have sudo say when it wants the password, and openMark what the command says when it runs:
// so the password is written when it is asked for, and the command's stdin only when the command is there to read it.
func promptMark(mark string) string { return "jarvis-" + mark + "-password:" }
func openMark(mark string) string   { return "jarvis-" + mark + "-runs" }

// sudoDoor stands between the host and the two streams until the command runs.
type sudoDoor struct {
	prompt, open []byte
	password     func() (string, error)
	stdin        io.WriteCloser
	from         io.Reader // the command's stdin
	to           io.Writer // what is not for us
	refused      chan error

	mu     sync.Mutex
	buf    []byte
	asked  bool
	isOpen bool
}

func newSudoDoor(stdin io.WriteCloser, cmd Command, mark string, stderr io.Writer) *sudoDoor {
	end := "\n"
	if cmd.PTY {
		end = "\r\n"
	}
	return &sudoDoor{prompt: []byte(promptMark(mark)), open: []byte(openMark(mark) + end), password: cmd.Sudo.Password, stdin: stdin, from: cmd.Stdin, to: stderr, refused: make(chan error, 1)}
}

// Write takes what comes on stderr.
func (d *sudoDoor) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isOpen {
		return d.to.Write(p)
	}
	d.buf = append(d.buf, p...)
	if i := bytes.Index(d.buf, d.open); i >= 0 {
		d.isOpen = true
		rest := d.buf[i+len(d.open):]
		d.buf = nil
		if d.from != nil {
			guard.Go(guard.Count, func() { feed(d.stdin, d.from) })
		} else {
			_ = d.stdin.Close()
		}
		if len(rest) > 0 {
			_, err := d.to.Write(rest)
			return len(p), err
		}
		return len(p), nil
	}
	// After the prompt sudo waits. In the middle it is the command as a login shell shows it (set -x).
	if rest, asks := bytes.CutSuffix(d.buf, d.prompt); asks {
		d.buf = rest
		if d.asked {
			d.refuse(fmt.Errorf("%w: the password is wrong", ErrSudo))
			return len(p), nil
		}
		d.asked = true
		var word string
		err := guard.Call(func() (err error) { // we are in a goroutine of the library's
			word, err = d.password()
			return err
		})
		if err != nil {
			d.refuse(fmt.Errorf("%w: %w", ErrSudo, err))
			return len(p), nil
		}
		if _, err := io.WriteString(d.stdin, word+"\n"); err != nil {
			d.refuse(fmt.Errorf("%w: %s", ErrLost, reason(err)))
		}
	}
	// What sudo says of itself, its lecture too, is no output of the command: it is told when the command never began.
	if over := len(d.buf) - maxLine; over > 0 {
		d.buf = d.buf[over:]
	}
	return len(p), nil
}

// refuse never blocks: the first reason counts.
func (d *sudoDoor) refuse(err error) {
	select {
	case d.refused <- err:
	default:
	}
}

func (d *sudoDoor) opened() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.isOpen
}

// close hands on what is left when the command is over.
func (d *sudoDoor) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.isOpen && len(d.buf) > 0 {
		_, _ = d.to.Write(d.buf)
		d.buf = nil
	}
	_ = d.stdin.Close()
}
