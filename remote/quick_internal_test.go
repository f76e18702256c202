package remote

import (
	"bytes"
	"testing"
)

// FuzzQuickStream cuts what a shell writes anywhere: the output comes out as it was.
func FuzzQuickStream(f *testing.F) {
	f.Add([]byte("hello\n"), 3, uint8(0))
	f.Add([]byte("\n\n"), 1, uint8(255))
	f.Add([]byte("MARK 0\n\nMARK"), 2, uint8(7))
	f.Add(bytes.Repeat([]byte("x"), 3*quickTail), 1000, uint8(1))
	f.Fuzz(func(t *testing.T, content []byte, cut int, status uint8) {
		const mark = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		if bytes.Contains(content, []byte(mark)) {
			return // no output has a mark that it does not know
		}
		cut = max(cut, len(content)/200, 1)
		j := &quickJob{mark: mark, done: make(chan struct{})}
		q := &quickShell{job: j}
		feed := func(w quickStream, b []byte) {
			for len(b) > 0 {
				n := min(cut, len(b))
				_, _ = w.Write(b[:n])
				b = b[n:]
			}
		}
		out := append([]byte(mark+"\n"), content...)
		feed(quickStream{q, 0}, append(out, "\n"+mark+" "+string([]byte{'0' + status/100, '0' + status/10%10, '0' + status%10})+"\n"...))
		feed(quickStream{q, 1}, append(append([]byte(mark+"\n"), content...), "\n"+mark+"\n"...))
		select {
		case <-j.done:
		default:
			t.Fatal("it is not done")
		}
		want := content[:min(len(content), MaxOutputBytes)]
		if r := j.result(); r.Stdout != string(want) || r.Stderr != string(want) || r.Exit != int(status) || q.stray {
			t.Errorf("%q %q %d %v", r.Stdout, r.Stderr, r.Exit, q.stray)
		}
	})
}
