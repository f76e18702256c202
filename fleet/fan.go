package fleet

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
)

// fan gives one stream to many readers, kept once for all. The writer waits while the slowest reader is a window
// behind; a reader that takes nothing for too long meanwhile is given up, so that it holds nobody back for ever.
type fan struct {
	stall  time.Duration
	window int // chunks
	taps   []*tap

	mu     sync.Mutex
	moved  *sync.Cond
	chunks [][]byte
	base   int // number of the first chunk kept
	ended  bool
	err    error // of the source
}

const (
	fanChunk  = 64 << 10
	fanWindow = 128 // chunks: 8 MiB
	fanStall  = time.Minute
)

// ErrStalled: the host took nothing for too long while the others waited for it.
var ErrStalled = errors.New("it took no data for too long")

// tap is one reader of a fan. It is a Reader for one goroutine.
type tap struct {
	f    *fan
	next int // number of the chunk to read from
	off  int
	took time.Time
	gone error // closed, or given up
}

// newFan makes a fan for n readers, each with a tap; a stall of 0 is fanStall.
func newFan(n int, stall time.Duration) *fan {
	if stall <= 0 {
		stall = fanStall
	}
	f := &fan{stall: stall, window: fanWindow}
	f.moved = sync.NewCond(&f.mu)
	for range n {
		f.taps = append(f.taps, &tap{f: f, took: time.Now()})
	}
	return f
}

// fill reads the source to its end and gives it to the taps.
func (f *fan) fill(r io.Reader) {
	for {
		buf := make([]byte, fanChunk)
		n, err := r.Read(buf)
		if n > 0 {
			// A trickle must not pin whole chunks.
			if n < fanChunk/2 {
				buf = append([]byte(nil), buf[:n]...)
			}
			if !f.put(buf[:n]) {
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			f.end(err)
			return
		}
	}
}

// Write gives bytes to the taps; it fails when none is left.
func (f *fan) Write(p []byte) (int, error) {
	if !f.put(append([]byte(nil), p...)) {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// put adds a chunk; false when nobody reads any more.
func (f *fan) put(b []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		low, alive := f.low()
		if !alive {
			return false
		}
		if f.base+len(f.chunks)-low < f.window {
			break
		}
		wake := time.AfterFunc(f.stall/4, guard.Func(guard.Count, f.moved.Broadcast))
		f.moved.Wait()
		wake.Stop()
		now := time.Now()
		for _, t := range f.taps {
			if t.gone == nil && f.base+len(f.chunks)-t.next >= f.window && now.Sub(t.took) > f.stall {
				t.gone = ErrStalled
				f.moved.Broadcast()
			}
		}
	}
	f.chunks = append(f.chunks, b)
	f.trim()
	f.moved.Broadcast()
	return true
}

// low gives the chunk that the slowest reader wants.
func (f *fan) low() (n int, alive bool) {
	n = f.base + len(f.chunks)
	for _, t := range f.taps {
		if t.gone == nil {
			alive = true
			n = min(n, t.next)
		}
	}
	return n, alive
}

// trim forgets what all have read.
func (f *fan) trim() {
	low, _ := f.low()
	for f.base < low && len(f.chunks) > 0 {
		f.chunks[0] = nil
		f.chunks = f.chunks[1:]
		f.base++
	}
}

// end says that the source has ended, or why it broke: readers get the rest, and then io.EOF or err.
func (f *fan) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.err = true, err
	f.moved.Broadcast()
}

// close ends all readers.
func (f *fan) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.taps {
		if t.gone == nil {
			t.gone = io.ErrClosedPipe
		}
	}
	f.moved.Broadcast()
}

// Read implements io.Reader.
func (t *tap) Read(p []byte) (int, error) {
	f := t.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case t.gone != nil:
			return 0, t.gone
		case t.next < f.base+len(f.chunks):
			chunk := f.chunks[t.next-f.base]
			n := copy(p, chunk[t.off:])
			t.off += n
			t.took = time.Now()
			if t.off == len(chunk) {
				t.next, t.off = t.next+1, 0
				f.trim()
				f.moved.Broadcast()
			}
			return n, nil
		case f.ended && f.err != nil:
			return 0, f.err
		case f.ended:
			return 0, io.EOF
		}
		t.took = time.Now() // it waits for us, not we for it
		f.moved.Wait()
		t.took = time.Now()
	}
}

// Close ends this reader; the others no longer wait for it.
func (t *tap) Close() error {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	if t.gone == nil {
		t.gone = io.ErrClosedPipe
	}
	t.f.trim()
	t.f.moved.Broadcast()
	return nil
}

// failed gives ErrStalled when this reader was given up.
func (t *tap) failed() error {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	if errors.Is(t.gone, ErrStalled) {
		return ErrStalled
	}
	return nil
}
