package fleet

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// The fault: with Serial all of stdin stood in memory until the last host had read it, without a bound.
func TestASpoolKeepsAStreamOutOfMemory(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s, err := newSpool(0)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := s.file.Stat(); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", st.Mode(), err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("its file has a name: %v, %v", list, err)
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	from, to := io.Pipe()
	go s.fill(from)
	go func() {
		for i := 0; i < len(want); i += 1000 {
			_, _ = to.Write(want[i:min(i+1000, len(want))])
		}
		_ = to.Close()
	}()
	for range 3 { // the first reads while it comes
		r := s.reader()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		_ = r.Close()
	}
	late := s.reader()
	s.close()
	if _, err := late.Read(make([]byte, 1)); err == nil {
		t.Error("it is read after it was closed")
	}
}

func TestASpoolIsBounded(t *testing.T) {
	s, err := newSpool(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.fill(io.LimitReader(endless{}, 2<<20))
	got, err := io.ReadAll(s.reader())
	if len(got) != 1<<20 || err == nil || !strings.Contains(err.Error(), "stdin has more than 1 MiB") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
