package backup

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/jarvisops/jarvis/store"
)

// taken is a Taker that keeps all.
type taken struct {
	header Header
	files  []File
	tables []store.Table
	rows   [][]any
}

func (k *taken) Header(h Header) error     { k.header = h; return nil }
func (k *taken) File(f File) error         { k.files = append(k.files, f); return nil }
func (k *taken) Table(t store.Table) error { k.tables = append(k.tables, t); return nil }
func (k *taken) Row(r []any) error         { k.rows = append(k.rows, r); return nil }

var want = taken{
	header: Header{Format: Format, Program: "v1", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Database: SQLite, Installation: "1f3a9c04", Host: "a", Data: "/d", Migrations: []string{"t/1"}},
	files:  []File{{"age.key", 0o600, []byte("k\x00\n")}, {"outcomes/run-1-2.json", 0o600, []byte("{}")}},
	tables: []store.Table{{Name: "t", Columns: []string{"id", "v", "n"}, Last: 7}, {Name: "u", Columns: []string{"a"}, Last: -1}},
	rows: [][]any{{int64(math.MaxInt64), "a\nb\u2028<&>\x00\"\\", nil}, {int64(math.MinInt64), "\xff no UTF-8 \xc3", 0.1}, {int64(0), "", math.Inf(1)},
		{"[1]"}},
}

func identity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func written(t *testing.T, to age.Recipient, h Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, h, to)
	if err != nil {
		t.Fatal(err)
	}
	errs := []error{w.File(want.files[0]), w.File(want.files[1]), w.Table(want.tables[0])}
	for _, r := range want.rows[:3] {
		errs = append(errs, w.Row(r))
	}
	errs = append(errs, w.Table(want.tables[1]), w.Row(want.rows[3]))
	sums, err := w.Close()
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	if sums != (Sums{2, 2, 4}) {
		t.Errorf("it holds %+v", sums)
	}
	return buf.Bytes()
}

func TestWhatGoesInComesOut(t *testing.T) {
	id := identity(t)
	b := written(t, id.Recipient(), want.header)
	var got taken
	sums, err := Read(bytes.NewReader(b), []age.Identity{id}, &got)
	if err != nil || sums != (Sums{2, 2, 4}) {
		t.Fatalf("Read = %+v, %v", sums, err)
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(taken{})); d != "" {
		t.Errorf("what came out differs (-in +out):\n%s", d)
	}
}

func TestAnotherKeyOpensNothing(t *testing.T) {
	b := written(t, identity(t).Recipient(), want.header)
	if _, err := Read(bytes.NewReader(b), []age.Identity{identity(t)}, &taken{}); !errors.Is(err, ErrWrongKey) {
		t.Errorf("Read = %v", err)
	}
}

// TestEachTornOrChangedBackupIsRefused cuts a backup at every length and changes every byte.
func TestEachTornOrChangedBackupIsRefused(t *testing.T) {
	id := identity(t)
	b := written(t, id.Recipient(), want.header)
	for n := range b {
		if _, err := Read(bytes.NewReader(b[:n]), []age.Identity{id}, &taken{}); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a backup", n, len(b))
		}
		bad := bytes.Clone(b)
		bad[n] ^= 1
		if _, err := Read(bytes.NewReader(bad), []age.Identity{id}, &taken{}); err == nil {
			t.Fatalf("a backup with another byte at %d is taken for a whole one", n)
		}
	}
}

// TestWhatHasNoEndIsRefused: who holds the key could cut off the lines and seal the rest.
func TestWhatHasNoEndIsRefused(t *testing.T) {
	id := identity(t)
	var buf bytes.Buffer
	w, err := NewWriter(&buf, want.header, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Table(want.tables[0]), w.Row(want.rows[0]), w.out.Flush(), w.packed.Close(), w.sealed.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(&buf, []age.Identity{id}, &taken{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("Read = %v", err)
	}
}

// TestNoNameLeadsOut: an attacker who may choose a backup must not choose where on the machine its files go.
func TestNoNameLeadsOut(t *testing.T) {
	id := identity(t)
	for _, name := range []string{"/etc/passwd", "../x", "a/../../x", "..", ".", "a//b", `a\b`, "a\x00b"} {
		var buf bytes.Buffer
		w, err := NewWriter(&buf, want.header, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		err = w.File(File{Name: name, Mode: 0o600})
		if _, cerr := w.Close(); errors.Join(err, cerr) != nil {
			t.Fatal(err, cerr)
		}
		var got taken
		if _, err := Read(&buf, []age.Identity{id}, &got); !errors.Is(err, ErrDamaged) || len(got.files) > 0 {
			t.Errorf("a file named %q is taken: %v", name, err)
		}
	}
}
