package keyring_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/keyring"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

var quiet = slog.New(slog.DiscardHandler)

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func open(t *testing.T, o store.Options) *store.DB {
	t.Helper()
	db := must[*store.DB](t)(store.Open(t.Context(), o))
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context(), keyring.Migrations(o.URL != "")); err != nil {
		t.Fatal(err)
	}
	return db
}

// both runs a test with two nodes on one PostgreSQL, and with one on SQLite that is two for the test's purpose.
func both(t *testing.T, f func(t *testing.T, a, b *store.DB)) {
	t.Run("PostgreSQL", func(t *testing.T) {
		pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
		t.Cleanup(pg.Stop)
		url := must[string](t)(pg.Database(t.Context()))
		f(t, open(t, store.Options{URL: url, Shared: true}), open(t, store.Options{URL: url, Shared: true}))
	})
	t.Run("SQLite", func(t *testing.T) {
		db := open(t, store.Options{Dir: t.TempDir()})
		f(t, db, db)
	})
}

func publicOf(t *testing.T, file string) string {
	t.Helper()
	s := must[gossh.Signer](t)(gossh.ParsePrivateKey(must[[]byte](t)(os.ReadFile(file))))
	return gossh.FingerprintSHA256(s.PublicKey())
}

// Nodes with empty folders start at once: all have the key of one of them.
func TestNodesThatStartAtOnceAgreeOnAKey(t *testing.T) {
	both(t, func(t *testing.T, a, b *store.DB) {
		seal := must[*clipboard.Key](t)(clipboard.NewKey())
		var files []string
		var wg sync.WaitGroup
		for i := range 8 {
			file := filepath.Join(t.TempDir(), "data", "id_ed25519")
			files = append(files, file)
			db := a
			if i%2 == 1 {
				db = b
			}
			wg.Go(func() {
				if err := (keyring.SSHKey{DB: db, Seal: seal, File: file, Comment: "jarvis", Log: quiet}).Settle(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, f := range files {
			if st := must[os.FileInfo](t)(os.Stat(f)); st.Mode().Perm() != 0o600 || publicOf(t, f) != publicOf(t, files[0]) {
				t.Errorf("%s: %v, %s; the first has %s", f, st.Mode(), publicOf(t, f), publicOf(t, files[0]))
			}
			if pub := string(must[[]byte](t)(os.ReadFile(f + ".pub"))); !strings.HasPrefix(pub, "ssh-ed25519 AAAA") || !strings.HasSuffix(pub, " jarvis\n") {
				t.Errorf("%s.pub is %q", f, pub)
			}
		}
		var sealed string
		if err := a.QueryRow(t.Context(), "SELECT sealed FROM ssh_keys").Scan(&sealed); err != nil || strings.Contains(sealed, "PRIVATE") {
			t.Errorf("in the database is %q, %v", sealed, err)
		}
		if text, err := seal.Open(sealed); err != nil || text != string(must[[]byte](t)(os.ReadFile(files[0]))) {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// A key that is there is taken over; another one is refused, and takes its place only where somebody says so. Then the
// other nodes get it, and what they had is no reason to refuse.
func TestAnotherKeyIsNeverOverwrittenInSilence(t *testing.T) {
	both(t, func(t *testing.T, a, b *store.DB) {
		seal := must[*clipboard.Key](t)(clipboard.NewKey())
		fileOf := func(name string) string { return filepath.Join(t.TempDir(), name) }
		one, two, other := fileOf("one"), fileOf("two"), fileOf("other")
		settle := func(db *store.DB, file string, change bool) error {
			if change {
				if err := os.Rename(file, file+".new"); err != nil {
					t.Fatal(err)
				}
			}
			err := keyring.SSHKey{DB: db, Seal: seal, File: file, Comment: "jarvis", Log: quiet}.Settle(t.Context())
			if _, there := os.Stat(file + ".new"); there == nil {
				t.Error("the new key is left")
			}
			return err
		}
		for _, f := range []string{one, other} {
			if err := remote.PutKey(f, must[[]byte](t)(remote.NewKey("of a person")), "jarvis", false); err != nil {
				t.Fatal(err)
			}
		}
		was, fresh := publicOf(t, one), publicOf(t, other)
		for _, step := range []struct {
			db      *store.DB
			file    string
			replace bool
			refused bool
			has     string
		}{
			{a, one, false, false, was},
			{b, two, false, false, was},
			{b, other, false, true, fresh},
			{a, one, true, false, was},
			{b, other, true, false, fresh}, // it is changed on purpose
			{a, other, false, false, fresh},
			{a, one, false, false, fresh}, // its old one is known
			{b, two, false, false, fresh},
		} {
			err := settle(step.db, step.file, step.replace)
			if errors.Is(err, keyring.ErrOther) != step.refused || err != nil && !step.refused {
				t.Errorf("%+v: %v", step, err)
			}
			if got := publicOf(t, step.file); got != step.has {
				t.Errorf("%+v: the file has %s", step, got)
			}
			if step.refused && (!strings.Contains(err.Error(), other+".new") || !strings.Contains(err.Error(), fresh) || !strings.Contains(err.Error(), was)) {
				t.Errorf("it says %v", err)
			}
		}
		if err := os.WriteFile(two, []byte("-----BEGIN OPEN"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := settle(b, two, false); !errors.Is(err, keyring.ErrOther) || !strings.Contains(err.Error(), "remove that file") {
			t.Errorf("half a key: %v", err)
		}
		if err := os.WriteFile(one+".new", []byte("-----BEGIN OPEN"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (keyring.SSHKey{DB: a, Seal: seal, File: one, Log: quiet}).Settle(t.Context()); !errors.Is(err, keyring.ErrOther) || publicOf(t, one) != fresh {
			t.Errorf("half a new key: %v", err)
		}
		var olds string
		if err := a.QueryRow(t.Context(), "SELECT sealed FROM ssh_keys WHERE ended <> 0").Scan(&olds); err != nil || olds != "" {
			t.Errorf("the former key is still in the database: %q, %v", olds, err)
		}
	})
}

// host is one whose key is known or not.
type host struct {
	names remote.KnownNames
	key   gossh.PublicKey
}

func newHost(t *testing.T, name, addr string) host {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return host{remote.KnownNames{Host: name + ":22", Addr: addr + ":22"}, must[gossh.PublicKey](t)(gossh.NewPublicKey(pub))}
}

func (h host) line() string {
	return h.names.Host[:len(h.names.Host)-3] + "," + h.names.Addr[:len(h.names.Addr)-3] + " " + strings.TrimSpace(string(gossh.MarshalAuthorizedKey(h.key))) + "\n"
}

func (h host) learned(t *testing.T, by *keyring.Known) {
	t.Helper()
	if err := by.Edit(t.Context(), func(old []byte) []byte { return h.names.Edit(old, []gossh.PublicKey{h.key}) }); err != nil {
		t.Fatal(err)
	}
}

func (h host) forgotten(t *testing.T, by *keyring.Known) {
	t.Helper()
	if err := by.Edit(t.Context(), func(old []byte) []byte { return h.names.Edit(old, nil) }); err != nil {
		t.Fatal(err)
	}
}

// is checks what a node says to a host's key: "right", "wrong" or "stranger".
func (h host) is(t *testing.T, want string, at *keyring.Known) {
	t.Helper()
	err := must[*remote.KnownHosts](t)(at.Known(t.Context())).Check(h.names.Addr, h.key)
	var wrong *remote.HostKeyError
	got := "right"
	switch {
	case errors.As(err, &wrong):
		got = "wrong"
	case errors.Is(err, remote.ErrUnknownHost):
		got = "stranger"
	case err != nil:
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s is %s, want %s", h.names.Host, got, want)
	}
}

func ring(t *testing.T, db *store.DB, file string) *keyring.Known {
	t.Helper()
	return must[*keyring.Known](t)(keyring.OpenKnown(t.Context(), db, file, quiet))
}

func read(t *testing.T, file string) string {
	t.Helper()
	return string(must[[]byte](t)(os.ReadFile(file)))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What one node learns or forgets counts on the other at its next question, and is in its file.
func TestWhatOneNodeLearnsCountsOnAll(t *testing.T) {
	both(t, func(t *testing.T, a, b *store.DB) {
		fa, fb := filepath.Join(t.TempDir(), "known_hosts"), filepath.Join(t.TempDir(), "known_hosts")
		git, loki := newHost(t, "git.test", "192.0.2.1"), newHost(t, "loki.test", "192.0.2.2")
		authority := "# ours\n@cert-authority *.prod " + strings.TrimSpace(string(gossh.MarshalAuthorizedKey(git.key))) + "\n\n"
		write(t, fa, authority+git.line()) // of before there was a table
		na, nb := ring(t, a, fa), ring(t, b, fb)
		if got := read(t, fa); !strings.HasSuffix(got, "\n"+authority+git.line()) || strings.Count(got, "\n") != 5 {
			t.Errorf("the file is\n%s", got)
		}
		git.is(t, "right", nb)
		loki.is(t, "stranger", nb)
		loki.learned(t, na)
		loki.is(t, "right", nb)
		loki.is(t, "right", na)
		again := newHost(t, "loki.test", "192.0.2.2")
		again.is(t, "wrong", nb)
		again.learned(t, nb) // it is deployed again
		loki.is(t, "wrong", na)
		again.is(t, "right", na)
		for _, f := range []string{fa, fb} {
			if got := read(t, f); strings.Contains(got, strings.Fields(loki.line())[2]) || !strings.HasSuffix(got, again.line()) || !strings.Contains(got, "@cert-authority *.prod") {
				t.Errorf("%s is\n%s", f, got)
			}
		}
		again.forgotten(t, na)
		again.is(t, "stranger", nb)
		git.is(t, "right", nb)
		// A node whose folder was lost.
		if err := os.Remove(fb); err != nil {
			t.Fatal(err)
		}
		git.is(t, "right", nb)
		if got := read(t, fb); !strings.HasSuffix(got, git.line()) || strings.Contains(got, "loki") {
			t.Errorf("the file is\n%s", got)
		}
	})
}

// A person changes the file of one node, by hand or with ssh-keygen -R: that counts on all. A file from a backup, or
// of a node that was away, brings nothing back.
func TestAPersonsFileCounts(t *testing.T) {
	both(t, func(t *testing.T, a, b *store.DB) {
		fa, fb := filepath.Join(t.TempDir(), "known_hosts"), filepath.Join(t.TempDir(), "known_hosts")
		na, nb := ring(t, a, fa), ring(t, b, fb)
		git, loki, thor := newHost(t, "git.test", "192.0.2.1"), newHost(t, "loki.test", "192.0.2.2"), newHost(t, "thor.test", "192.0.2.3")
		loki.learned(t, na)
		loki.is(t, "right", nb)
		write(t, fb, read(t, fb)+git.line()) // ssh-keyscan >>
		git.is(t, "right", nb)
		git.is(t, "right", na)
		// A node that was away has what was forgotten since.
		away := read(t, fb)
		loki.forgotten(t, na)
		thor.learned(t, na)
		write(t, fb, away)
		loki.is(t, "stranger", nb)
		thor.is(t, "right", nb)
		if got := read(t, fb); strings.Contains(got, "loki") || !strings.Contains(got, "thor") {
			t.Errorf("the file is\n%s", got)
		}
		// What a person puts in again counts again.
		write(t, fb, read(t, fb)+loki.line())
		loki.is(t, "right", nb)
		loki.is(t, "right", na)
		// What a person takes out, as ssh-keygen -R does, is out everywhere; the lines of others stay.
		write(t, fa, strings.ReplaceAll(read(t, fa), thor.line(), ""))
		thor.is(t, "stranger", na)
		thor.is(t, "stranger", nb)
		git.is(t, "right", nb)
		loki.is(t, "right", nb)
		// A file without its first line, of another ring, or of two, takes nothing out.
		for _, text := range []string{"", "# a note\n", "# Kept by jarvis as of change 99 of abcdefgh: lines\n", strings.Repeat(strings.SplitAfter(read(t, fa), "\n")[0], 2)} {
			write(t, fa, text)
			git.is(t, "right", na)
			loki.is(t, "right", nb)
			thor.is(t, "stranger", nb)
			if got := read(t, fa); !strings.HasPrefix(got, "# Kept by jarvis as of change ") || strings.Count(got, "# Kept") != 1+strings.Count(text, "abcdefgh") || !strings.Contains(got, git.line()) {
				t.Errorf("after %q the file is\n%s", text, got)
			}
		}
		// What no database takes stays in its file.
		bad := "web ssh-ed25519 \xff\x00\n"
		write(t, fa, read(t, fa)+bad)
		git.is(t, "right", na)
		loki.forgotten(t, nb)
		loki.is(t, "stranger", na)
		if got := read(t, fa); !strings.Contains(got, bad) {
			t.Errorf("the file is\n%q", got)
		}
	})
}

// Many learn at once: each line is there, on both nodes, and in a database that is not there nobody is known.
func TestManyLearnAtOnce(t *testing.T) {
	both(t, func(t *testing.T, a, b *store.DB) {
		fa, fb := filepath.Join(t.TempDir(), "known_hosts"), filepath.Join(t.TempDir(), "known_hosts")
		na, nb := ring(t, a, fa), ring(t, b, fb)
		var wg sync.WaitGroup
		var hosts []host
		for i := range 20 {
			h := newHost(t, fmt.Sprintf("h%d.test", i), fmt.Sprintf("192.0.2.%d", i+1))
			hosts = append(hosts, h)
			wg.Go(func() {
				h.learned(t, []*keyring.Known{na, nb}[i%2])
				h.is(t, "right", []*keyring.Known{nb, na}[i%2])
			})
		}
		wg.Wait()
		for _, h := range hosts {
			h.is(t, "right", na)
			h.is(t, "right", nb)
		}
		if a, b := read(t, fa), read(t, fb); strings.Count(a, "\n") != 21 || strings.Count(b, "\n") != 21 {
			t.Errorf("the files are\n%s\n%s", a, b)
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := na.Known(context.Background()); err == nil {
			t.Error("without the database it answers")
		}
	})
}

// Two installations keep one file, as /etc/ssh/ssh_known_hosts: what one does there counts for the other, and they come
// to rest.
func TestTwoInstallationsKeepOneFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	na, nb := ring(t, open(t, store.Options{Dir: t.TempDir()}), file), ring(t, open(t, store.Options{Dir: t.TempDir()}), file)
	loki, thor := newHost(t, "loki.test", "192.0.2.2"), newHost(t, "thor.test", "192.0.2.3")
	loki.learned(t, na)
	thor.learned(t, nb)
	for _, n := range []*keyring.Known{na, nb} {
		loki.is(t, "right", n)
		thor.is(t, "right", n)
	}
	loki.forgotten(t, nb)
	loki.is(t, "stranger", na)
	rest := read(t, file)
	for range 3 {
		loki.is(t, "stranger", nb)
		thor.is(t, "right", na)
	}
	if got := read(t, file); got != rest {
		t.Errorf("it goes on:\n%s\n%s", rest, got)
	}
}

// A file that is mounted by itself, as into a container, cannot be replaced: what is in it counts, and what is learned
// counts without it, and is not looked for again at every question.
func TestAFileThatCannotBeWritten(t *testing.T) {
	file, below := filepath.Join(t.TempDir(), "known_hosts"), filepath.Join(t.TempDir(), "known_hosts")
	git, loki := newHost(t, "git.test", "192.0.2.1"), newHost(t, "loki.test", "192.0.2.2")
	write(t, below, git.line())
	write(t, file, "")
	if err := unix.Mount(below, file, "", unix.MS_BIND, ""); err != nil {
		t.Fatal("a mount needs root: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(file, 0) })
	var log real.Buffer
	db := open(t, store.Options{Dir: t.TempDir()})
	n := must[*keyring.Known](t)(keyring.OpenKnown(t.Context(), db, file, slog.New(slog.NewTextHandler(&log, nil))))
	git.is(t, "right", n)
	loki.learned(t, n)
	for range 5 {
		git.is(t, "right", n)
		loki.is(t, "right", n)
	}
	if got := strings.Count(log.String(), "cannot be written"); got != 2 {
		t.Errorf("it was said %d times:\n%s", got, log.String())
	}
	if got := read(t, file); got != git.line() {
		t.Errorf("the file is\n%s", got)
	}
}

// A file that cannot be kept, as /dev/null, is left alone.
func TestADeviceIsNoLedger(t *testing.T) {
	db := open(t, store.Options{Dir: t.TempDir()})
	if k, err := keyring.OpenKnown(t.Context(), db, os.DevNull, quiet); k != nil || err != nil {
		t.Errorf("%v, %v", k, err)
	}
}
