package main

import (
	gosql "database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
)

// served is a data folder on which a server ran, with a sealed secret on record.
func served(t *testing.T) (dir, conf string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "w"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "w", "toy"), []byte("#!/bin/sh\n[ \"$1\" = --steps ] && exit 1\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf = filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, []byte("listen: \"\"\napprovals: {off: true}\nworkers: {external: {dir: w}}\npipelines: {deploy: {toy: [\"toy:make\"]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clip := filepath.Join(dir, "loki.yaml")
	if err := os.WriteFile(clip, []byte("instance:\n  hostname: loki\n  provider: toy\n  password: !secret long-enough-to-hide\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, _ := serveInProcess(t, conf)
	if code, out, errs := jarvis(t, "", "--config", conf, "deploy", clip); code != 0 {
		t.Fatalf("deploy = %d %s %s", code, out, errs)
	}
	stop()
	return filepath.Join(dir, "data"), conf
}

// refused starts a server that must not start.
func refused(t *testing.T, conf string, words ...string) {
	t.Helper()
	code, _, errs := jarvis(t, "", "--config", conf, "serve")
	for _, w := range words {
		if code != exitUsage || !strings.Contains(errs, w) {
			t.Errorf("serve = %d %s; want %d and %q", code, errs, exitUsage, w)
		}
	}
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	t.Log(lines[len(lines)-1])
}

// The story: a restore brought back the half of the backup. What is missing or does not belong was replaced by
// something new, without a word: an empty record, or a key that opens nothing.
func TestHalfABackupIsRefused(t *testing.T) {
	t.Run("the database is gone", func(t *testing.T) {
		data, conf := served(t)
		if err := os.Remove(filepath.Join(data, "jarvis.db")); err != nil {
			t.Fatal(err)
		}
		refused(t, conf, "missing or empty", "restore the database", "--new-database")
		if _, err := os.Stat(filepath.Join(data, "jarvis.db")); err == nil {
			t.Error("the refused start made a database")
		}
		if err := os.WriteFile(filepath.Join(data, "jarvis.db"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, conf, "missing or empty")
		stop, _ := serveInProcess(t, conf, "--new-database")
		stop()
		stop, _ = serveInProcess(t, conf)
		stop()
	})
	t.Run("the key is gone", func(t *testing.T) {
		data, conf := served(t)
		if err := os.Remove(filepath.Join(data, "age.key")); err != nil {
			t.Fatal(err)
		}
		refused(t, conf, "age.key is missing", "restore that file")
		if _, err := os.Stat(filepath.Join(data, "age.key")); err == nil {
			t.Error("the refused start made a key")
		}
		// So does a database from before the key was on record.
		forget(t, data)
		refused(t, conf, "age.key is missing", "restore that file")
	})
	t.Run("the key is another", func(t *testing.T) {
		data, conf := served(t)
		key := filepath.Join(data, "age.key")
		right, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		must[*clipboard.Key](t)(clipboard.MakeKey(key))
		refused(t, conf, "is another key (age1", "restore the right key")
		forget(t, data)
		refused(t, conf, "does not open what is sealed", "restore the right key")
		if err := os.WriteFile(key, right, 0o600); err != nil {
			t.Fatal(err)
		}
		stop, _ := serveInProcess(t, conf) // the right one is proven, and then on record
		stop()
		if got, want := onRecord(t, data), must[*clipboard.Key](t)(clipboard.ReadKey(key)).Recipient(); got != want {
			t.Errorf("on record is %q, want %q", got, want)
		}
	})
	t.Run("the key is cut off", func(t *testing.T) {
		data, conf := served(t)
		if err := os.WriteFile(filepath.Join(data, "age.key"), []byte("AGE-SECRET"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, conf, "age.key", "restore it from the backup")
	})
	t.Run("the database is newer", func(t *testing.T) {
		data, conf := served(t)
		inDatabase(t, data, "INSERT INTO jarvis_migrations (name) VALUES ('pipeline/99-later')")
		refused(t, conf, "newer than this jarvis", "pipeline/99-later")
	})
}

// The first start in a folder into which a person has put what the manual says asks for nothing.
func TestAFirstStartWithKnownHosts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "known_hosts"), []byte("git ssh-ed25519 AAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "listen: \"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, log := serveInProcess(t, conf)
	stop()
	if !strings.Contains(log.String(), "the database is new") {
		t.Errorf("the log says %s", log)
	}
}

// One page of a table that nothing reads at the start is overwritten: it was found when somebody asked for it, weeks
// later.
func TestADamagedPageIsSaidByReadyz(t *testing.T) {
	data, conf := served(t)
	root := must[int64](t)(strconv.ParseInt(inDatabase(t, data, "SELECT rootpage FROM sqlite_master WHERE name = 'pages'"), 10, 64))
	f := must[*os.File](t)(os.OpenFile(filepath.Join(data, "jarvis.db"), os.O_RDWR, 0))
	_, err := f.WriteAt([]byte(strings.Repeat("junk", 1024)), (root-1)*4096)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", must[int](t)(freePort()))
	text := must[[]byte](t)(os.ReadFile(conf))
	if err := os.WriteFile(conf, []byte(strings.Replace(string(text), `listen: ""`, "listen: "+addr, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, log := serveInProcess(t, conf)
	get := func(path string) (int, string) {
		res, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	for began := time.Now(); !strings.Contains(log.String(), "the database is damaged"); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("nobody noticed")
		}
	}
	if code, said := get("/readyz"); code != http.StatusServiceUnavailable || said != "the database is damaged\n" {
		t.Errorf("/readyz = %d %q", code, said)
	}
	if _, said := get("/metrics"); !strings.Contains(said, "\njarvis_database_damaged 1\n") {
		t.Error("the metric says nothing")
	}
	if !strings.Contains(log.String(), ".recover") {
		t.Error("the log does not say what to do")
	}
}

// inDatabase changes a database that no server uses, and gives the one value of a question.
func inDatabase(t *testing.T, data, q string) (value string) {
	t.Helper()
	db, err := gosql.Open("sqlite", filepath.Join(data, "jarvis.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if strings.HasPrefix(q, "SELECT") {
		err = db.QueryRow(q).Scan(&value)
	} else {
		_, err = db.Exec(q)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// forget makes the database one from before the key was on record.
func forget(t *testing.T, data string) {
	t.Helper()
	inDatabase(t, data, "DELETE FROM jarvis_facts")
}

func onRecord(t *testing.T, data string) string {
	t.Helper()
	return inDatabase(t, data, "SELECT value FROM jarvis_facts WHERE name = 'age-recipient'")
}
