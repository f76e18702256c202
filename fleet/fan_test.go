package fleet

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// All readers get the same, however differently they read.
func TestAFanGivesAllTheSame(t *testing.T) {
	data := noise(3<<20 + 17)
	want := sha256.Sum256(data)
	f := newFan(8, time.Minute)
	var wg sync.WaitGroup
	for i, tap := range f.taps {
		wg.Add(1)
		go func() {
			defer wg.Done()
			h := sha256.New()
			var r io.Reader = tap
			if i%2 == 0 {
				r = iotest.HalfReader(r)
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 1000*(i+1))); err != nil {
				t.Error(err)
			}
			if got := [32]byte(h.Sum(nil)); got != want {
				t.Errorf("reader %d got something else", i)
			}
		}()
	}
	f.fill(bytes.NewReader(data))
	wg.Wait()
}

// A reader that takes nothing holds the others back no longer than the stall, and the memory within the window.
func TestAStalledReaderIsGivenUp(t *testing.T) {
	data := noise((fanWindow + 40) * fanChunk)
	f := newFan(2, 200*time.Millisecond)
	done := make(chan error, 1)
	go func() {
		n, err := io.Copy(io.Discard, f.taps[0])
		if err == nil && n != int64(len(data)) {
			err = errors.New("it did not get everything")
		}
		done <- err
	}()
	f.fill(bytes.NewReader(data))
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(f.taps[1]); !errors.Is(err, ErrStalled) {
		t.Errorf("the one who took nothing: %v", err)
	}
}

// Who is slow but takes something is waited for.
func TestASlowReaderIsWaitedFor(t *testing.T) {
	data := noise((fanWindow + 20) * fanChunk)
	f := newFan(2, 300*time.Millisecond)
	var wg sync.WaitGroup
	for i, tap := range f.taps {
		wg.Add(1)
		go func() {
			defer wg.Done()
			n := 0
			buf := make([]byte, fanChunk)
			for {
				k, err := tap.Read(buf)
				n += k
				if err != nil {
					if !errors.Is(err, io.EOF) || n != len(data) {
						t.Errorf("reader %d: %d bytes, %v", i, n, err)
					}
					return
				}
				if i == 1 && n%(8*fanChunk) == 0 {
					time.Sleep(20 * time.Millisecond)
				}
			}
		}()
	}
	f.fill(bytes.NewReader(data))
	wg.Wait()
}

func TestAFanEndsWithItsSourceAndItsReaders(t *testing.T) {
	broken := errors.New("broken")
	f := newFan(2, time.Minute)
	go f.fill(io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(broken)))
	for _, tap := range f.taps {
		if b, err := io.ReadAll(tap); string(b) != "abc" || !errors.Is(err, broken) {
			t.Errorf("%q, %v", b, err)
		}
	}
	f = newFan(3, time.Minute)
	for _, tap := range f.taps {
		_ = tap.Close()
	}
	f.fill(rand.NewChaCha8([32]byte{})) // returns, though the source never ends
	if _, err := f.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write = %v", err)
	}
}
