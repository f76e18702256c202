package remote

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/internal/guard"
)

// wire is the network connection under an SSH connection.
type wire struct {
	net.Conn
	head []byte        // of what the other side said
	over chan struct{} // closed when nothing more can be read
	end  func()
}

func newWire(conn net.Conn) *wire {
	w := &wire{Conn: conn, over: make(chan struct{})}
	w.end = sync.OnceFunc(func() { close(w.over) })
	return w
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if len(w.head) < 1024 {
		w.head = append(w.head, p[:n]...)
	}
	if err != nil {
		w.end()
	}
	return n, err
}

// Write fails once nothing can be read any more, also when the other side would still take it: whoever asks a question
// gets an error, and does not wait for an answer that cannot come.
func (w *wire) Write(p []byte) (int, error) {
	select {
	case <-w.over:
		return 0, net.ErrClosed
	default:
		return w.Conn.Write(p)
	}
}

func (w *wire) Close() error {
	w.end()
	return w.Conn.Close()
}

// spoke reports whether the other side ever said that it speaks SSH (RFC 4253 §4.2).
func (w *wire) spoke() bool { return bytes.Contains(w.head, []byte("SSH-")) }

// hopConn is a connection that a jump host makes. Close ends a Read at once, as that of a socket does: a channel of SSH
// ends only when the jump host says so, which may be silent.
type hopConn struct {
	net.Conn
	r *io.PipeReader
}

// newHopConn reads in a goroutine of its own, which may outlive Close: see hopConn.
func newHopConn(conn net.Conn) *hopConn {
	r, w := io.Pipe()
	guard.Go(guard.Count, func() {
		defer func() { _ = w.Close() }()
		_, _ = io.Copy(w, conn)
	})
	return &hopConn{conn, r}
}

func (h *hopConn) Read(p []byte) (int, error) { return h.r.Read(p) }

func (h *hopConn) Close() error {
	_ = h.r.Close()
	return h.Conn.Close()
}

// open opens a session. It returns when the connection is over, also where x/crypto/ssh would wait for ever: for an
// answer to what it asked just after it had told all others that none comes.
func (c *Client) open() (s *gossh.Session, err error) {
	opened := make(chan *gossh.Session, 1)
	done := make(chan error, 1)
	guard.Send(done, func() error {
		s, err := c.conn.NewSession()
		opened <- s
		return err
	})
	select {
	case err = <-done:
	case <-c.wire.over:
		select {
		case err = <-done:
		case <-time.After(time.Second):
			return nil, net.ErrClosed
		}
	}
	if err != nil {
		return nil, err
	}
	return <-opened, nil
}
