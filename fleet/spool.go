package fleet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// spool keeps a stream for readers that come one after the other: in a file without a name, so that it takes no memory
// and is gone with this process, however that ends.
type spool struct {
	file  *os.File
	limit int64 // bytes; 0: none

	mu     sync.Mutex
	moved  *sync.Cond
	n      int64 // bytes in the file
	ended  bool
	err    error // why the source broke
	closed bool
}

// newSpool makes its file in the folder for temporary ones, readable by its owner alone.
func newSpool(limit int64) (*spool, error) {
	f, err := os.CreateTemp("", ".jarvis-stdin-")
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		return nil, fmt.Errorf("keep stdin for one host after the other: %w", err)
	}
	s := &spool{file: f, limit: limit}
	s.moved = sync.NewCond(&s.mu)
	return s, nil
}

// fill reads the source to its end, or until the spool is closed.
func (s *spool) fill(r io.Reader) {
	buf := make([]byte, fanChunk)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if werr := s.put(buf[:n]); werr != nil {
				s.end(werr)
				return
			}
		}
		if errors.Is(err, io.EOF) {
			s.end(nil)
			return
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

func (s *spool) put(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return io.ErrClosedPipe
	case s.limit > 0 && s.n+int64(len(b)) > s.limit:
		return fmt.Errorf("stdin has more than %d MiB, which is as much as is kept for one host after the other: give it to all at once, without --serial, or bring it with `jarvis upload`", s.limit>>20)
	}
	if _, err := s.file.WriteAt(b, s.n); err != nil {
		return fmt.Errorf("keep stdin for one host after the other: %w", err)
	}
	s.n += int64(len(b))
	s.moved.Broadcast()
	return nil
}

// end says that the source has ended, or why it broke: readers get what is there, and then io.EOF or err.
func (s *spool) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.err = true, err
	s.moved.Broadcast()
}

// close ends all readers, and gives the file back.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	_ = s.file.Close()
	s.moved.Broadcast()
}

// reader gives one that reads from the beginning.
func (s *spool) reader() *spoolReader { return &spoolReader{s: s} }

// spoolReader is a Reader for one goroutine; another may Close it.
type spoolReader struct {
	s      *spool
	off    int64
	closed bool
}

// Read implements io.Reader.
func (r *spoolReader) Read(p []byte) (int, error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case r.closed || s.closed:
			return 0, io.ErrClosedPipe
		case r.off < s.n:
			n, err := s.file.ReadAt(p[:min(int64(len(p)), s.n-r.off)], r.off)
			r.off += int64(n)
			return n, err
		case s.ended && s.err != nil:
			return 0, s.err
		case s.ended:
			return 0, io.EOF
		}
		s.moved.Wait()
	}
}

// Close ends this reader.
func (r *spoolReader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.closed = true
	r.s.moved.Broadcast()
	return nil
}
