package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/jarvisops/jarvis/backup"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/store"
)

// old is an installation of which backups are made: its step toy:slow waits until the file gate is there, and notes
// each call in the file calls; on the host a1 it does nothing.
type old struct {
	t    *testing.T
	dir  string
	conf string
	url  string // of its PostgreSQL database; "" on SQLite
	key  string // file of the key that opens the backups
	to   string // its public half
}

const oldToy = `#!/bin/sh
if [ "$1" = --steps ]; then
	echo '- {name: make, doc: makes, resume: again}'
	echo '- {name: slow, doc: waits, resume: again}'
	exit
fi
if [ "$1" = slow ]; then
	grep -q 'hostname: a1' && exit
	echo called >> DIR/calls
	while [ ! -e DIR/gate ]; do sleep 0.02; done
fi
`

func newOld(t *testing.T, url string) *old {
	t.Helper()
	o := &old{t: t, dir: t.TempDir(), url: url}
	o.conf = o.config("old", "data", url)
	o.write("w/toy", strings.ReplaceAll(oldToy, "DIR", o.dir), 0o755)
	o.write("loki.yaml", "instance:\n  hostname: loki\n  fqdn: loki.example.org\n  provider: toy\n  api_token: !secret s3cr3t-s3cr3t\nsteps: [toy:make]\n", 0o644)
	o.write("thor.yaml", "instance: {hostname: thor, fqdn: thor.example.org, provider: toy}\nsteps: [toy:make, toy:slow]\n", 0o644)
	o.write("odin.yaml", "instance: {hostname: odin, fqdn: odin.example.org, provider: toy}\nsteps: [toy:make]\n", 0o644)
	o.write("pair.yaml", "cluster: pair\nsteps: [toy:slow, toy:make]\nbarriers: [toy:make]\ninstances:\n- {hostname: a1, fqdn: a1.example.org, provider: toy}\n- {hostname: a2, fqdn: a2.example.org, provider: toy}\n", 0o644)
	id := must[*age.X25519Identity](t)(age.GenerateX25519Identity())
	o.key, o.to = o.write("backup.key", id.String()+"\n", 0o600), id.Recipient().String()
	return o
}

func (o *old) write(name, text string, mode os.FileMode) string {
	o.t.Helper()
	file := filepath.Join(o.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		o.t.Fatal(err)
	}
	return file
}

func (o *old) config(name, data, url string) string {
	return o.write(name+".yaml", fmt.Sprintf("data: ./%s\ndatabase: %q\nlisten: \"\"\napprovals: {off: true}\nworkers: {external: {dir: w}}\n", data, url), 0o600)
}

// says runs a command line that must succeed, and gives what it printed.
func (o *old) says(conf string, args ...string) string {
	o.t.Helper()
	code, out, errs := jarvis(o.t, "", append([]string{"--config", conf}, args...)...)
	if code != 0 {
		o.t.Fatalf("jarvis %s = %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// refused runs one that must fail with a code and a text.
func (o *old) refused(conf string, code int, text string, args ...string) {
	o.t.Helper()
	got, out, errs := jarvis(o.t, "", append([]string{"--config", conf}, args...)...)
	if got != code || !strings.Contains(errs, text) {
		o.t.Errorf("jarvis %s = %d, want %d and %q\n%s%s", strings.Join(args, " "), got, code, text, out, errs)
	}
}

func (o *old) calls() int {
	b, _ := os.ReadFile(filepath.Join(o.dir, "calls"))
	return strings.Count(string(b), "\n")
}

// rows gives what a backup holds, without what a restore adds.
func (o *old) rows(file string) map[string][]string {
	o.t.Helper()
	f := must[*os.File](o.t)(os.Open(file))
	defer func() { _ = f.Close() }()
	ids := must[[]age.Identity](o.t)(age.ParseIdentities(strings.NewReader(string(must[[]byte](o.t)(os.ReadFile(o.key))))))
	k := &keep{rows: map[string][]string{}}
	if _, err := backup.Read(f, ids, k); err != nil {
		o.t.Fatal(err)
	}
	for _, list := range k.rows {
		sort.Strings(list)
	}
	k.rows["jarvis_facts"] = slices.DeleteFunc(k.rows["jarvis_facts"], func(s string) bool { return strings.Contains(s, "name=restored ") })
	return k.rows
}

type keep struct {
	table store.Table
	rows  map[string][]string
	files []string
}

func (k *keep) Header(backup.Header) error { return nil }
func (k *keep) File(f backup.File) error   { k.files = append(k.files, f.Name); return nil }
func (k *keep) Table(t store.Table) error {
	k.table, k.rows[t.Name] = t, []string{}
	return nil
}
func (k *keep) Row(row []any) error {
	values := map[string]string{}
	for i, c := range k.table.Columns {
		values[c] = fmt.Sprintf("%s=%v ", c, row[i])
	}
	var line string
	for _, c := range slices.Sorted(maps.Keys(values)) {
		line += values[c]
	}
	k.rows[k.table.Name] = append(k.rows[k.table.Name], line)
	return nil
}

// TestABackupGoesFromEachDatabaseIntoEach makes one while runs are under way, lets the original go on, and restores it:
// all that was on record is there, what was under way asks, what waited goes on, and nothing is given out twice.
func TestABackupGoesFromEachDatabaseIntoEach(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	for _, from := range []string{backup.SQLite, backup.PostgreSQL} {
		t.Run("from "+from, func(t *testing.T) {
			url := ""
			if from == backup.PostgreSQL {
				url = must[string](t)(pg.Database(t.Context()))
			}
			o := newOld(t, url)
			stop, _ := serveInProcess(t, o.conf)
			o.says(o.conf, "deploy", filepath.Join(o.dir, "loki.yaml"))
			o.says(o.conf, "deploy", "--no-wait", filepath.Join(o.dir, "thor.yaml"))
			o.says(o.conf, "deploy", "--no-wait", filepath.Join(o.dir, "pair.yaml"))
			until(t, 20*time.Second, "both slow steps run, and a1 waits", func() bool {
				return o.calls() == 2 && strings.Contains(o.says(o.conf, "status", "a1"), "barrier")
			})
			file := filepath.Join(o.dir, "b1")
			if out := o.says(o.conf, "backup", file, "--recipient", o.to); !strings.Contains(out, "and 5 files") && !strings.Contains(out, "and 4 files") {
				t.Errorf("backup says %s", out)
			}
			// The original goes on.
			o.write("gate", "", 0o644)
			o.says(o.conf, "deploy", filepath.Join(o.dir, "odin.yaml"))
			if out := o.says(o.conf, "restore", file, "--check", "--identity", o.key); !strings.Contains(out, "runs 4") || !strings.Contains(out, "it is whole") {
				t.Errorf("restore --check says %s", out)
			}
			for _, to := range []string{backup.SQLite, backup.PostgreSQL} {
				data, url := "to-"+to, ""
				args := []string{"restore", file, filepath.Join(o.dir, data), "--identity", o.key}
				if to == backup.PostgreSQL {
					url = must[string](t)(pg.Database(t.Context()))
					args = append(args, "--database", url)
				}
				conf := o.config("new-"+to, data, url)
				if out := o.says(conf, args...); !strings.Contains(out, "must not run any more") {
					t.Errorf("restore says %s", out)
				}
				again := filepath.Join(o.dir, "b2-"+to)
				o.says(conf, "backup", again, "-r", o.to)
				if d := cmp.Diff(o.rows(file), o.rows(again)); d != "" {
					t.Errorf("into %s: the record differs (-backup +restored):\n%s", to, d)
				}
				o.refused(conf, 2, "is not empty", args...)
				if from == backup.SQLite { // there it can be known
					o.refused(conf, 2, "the jarvis there runs", "serve")
				}
			}
			stop()
			for _, to := range []string{backup.SQLite, backup.PostgreSQL} {
				t.Run("into "+to, func(t *testing.T) { o.goesOn(t, filepath.Join(o.dir, "new-"+to+".yaml")) })
			}
		})
	}
}

// goesOn starts the server on a restored record.
func (o *old) goesOn(t *testing.T, conf string) {
	calls := o.calls()
	stop, log := serveInProcess(t, conf)
	for _, host := range []string{"thor", "a2"} {
		if out := o.says(conf, "status", host); !strings.Contains(out, "this record is from a backup of") {
			t.Errorf("status %s = %s", host, out)
		}
	}
	if out := o.says(conf, "status", "a1"); !strings.Contains(out, "a2") {
		t.Errorf("status a1 = %s", out)
	}
	if got := o.calls(); got != calls {
		t.Errorf("a step was repeated without a word: %d calls, then %d", calls, got)
	}
	for _, said := range []string{"runs_that_ask=2", "a run was under way in the backup"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not say %q", said)
		}
	}
	o.says(conf, "retry", "thor")
	o.says(conf, "retry", "a2")
	until(t, 20*time.Second, "all are ready", func() bool {
		return strings.Contains(o.says(conf, "status", "a1"), "ready") && strings.Contains(o.says(conf, "status", "thor"), "ready")
	})
	if out := o.says(conf, "show", "loki"); !strings.Contains(out, "api_token: !secret •••") {
		t.Errorf("show loki = %s", out)
	}
	// The original gave out run 5 since: nothing may carry that number again.
	out := o.says(conf, "deploy", filepath.Join(o.dir, "odin.yaml"))
	if !regexp.MustCompile(`run 2001\b`).MatchString(out) {
		t.Errorf("deploy = %s", out)
	}
	stop()
	stop, log = serveInProcess(t, conf)
	defer stop()
	if strings.Contains(log.String(), "runs_that_ask") {
		t.Error("the record is made fit to go on a second time")
	}
	if out := o.says(conf, "status", "thor"); !strings.Contains(out, "ready") {
		t.Errorf("status thor = %s", out)
	}
}

// TestABackupIsWholeOrNotAtAll: what is wrong is said before anything is written, and nothing half is left.
func TestABackupIsWholeOrNotAtAll(t *testing.T) {
	o := newOld(t, "")
	stop, _ := serveInProcess(t, o.conf)
	defer stop()
	o.says(o.conf, "deploy", filepath.Join(o.dir, "loki.yaml"))
	pass := o.write("pass", "correct horse battery\n", 0o600)
	file, data := filepath.Join(o.dir, "b1"), filepath.Join(o.dir, "data")
	o.refused(o.conf, 2, "age-keygen", "backup", file, "-r", "age1nonsense")
	own := must[[]age.Identity](t)(age.ParseIdentities(strings.NewReader(string(must[[]byte](t)(os.ReadFile(filepath.Join(data, "age.key")))))))
	o.refused(o.conf, 2, "is this installation's own key", "backup", file, "-r", own[0].(*age.X25519Identity).Recipient().String())
	o.refused(o.conf, 2, "12 at least", "backup", file, "--passphrase-file", o.write("short", "hunter2", 0o600))
	o.refused(o.conf, 1, "make the backup", "backup", filepath.Join(o.dir, "nowhere", "b1"), "-r", o.to)
	// By the clock, where the secrets of the service are not.
	o.says(o.write("secrets.yaml", "data: ./data\nchat: [{irc: {server: \"irc.example.org:6697\", password: \"${JARVIS_NOT_SET}\"}}]\n", 0o600), "backup", file, "--passphrase-file", pass)
	o.refused(o.conf, 2, "is there already", "backup", file, "--passphrase-file", pass)
	o.says(o.conf, "backup", "--replace", file, "--passphrase-file", pass)
	if st := must[os.FileInfo](t)(os.Stat(file)); st.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %o", st.Mode().Perm())
	}
	link := filepath.Join(o.dir, "latest")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]string{link: "a symbolic link", data: "a directory"} {
		o.refused(o.conf, 2, name+" is "+kind, "backup", name, "--passphrase-file", pass)
		o.refused(o.conf, 2, name+" is "+kind, "backup", "--replace", name, "--passphrase-file", pass)
	}
	if to, err := os.Readlink(link); err != nil || to != file {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	dead := must[*backup.Draft](t)(backup.NewDraft(file)) // as one that was killed left it
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, errs := jarvis(t, "", "--config", o.conf, "backup", "--replace", file, "--passphrase-file", pass); !strings.Contains(errs, "removed "+dead.Name()) {
		t.Errorf("what a killed backup left: %s", errs)
	}
	if b := must[[]byte](t)(os.ReadFile(file)); strings.Contains(string(b), "loki") {
		t.Error("the backup can be read without its passphrase")
	}
	dest := filepath.Join(o.dir, "dest")
	o.refused(o.conf, 3, "does not open it", "restore", file, dest, "--passphrase-file", o.write("other", "wrong horse battery", 0o600))
	o.refused(o.conf, 2, "say either", "restore", file)
	o.refused(o.conf, 4, "no such file", "restore", file+"x", dest, "--passphrase-file", pass)
	whole := must[[]byte](t)(os.ReadFile(file))
	torn := o.write("torn", string(whole[:len(whole)-20]), 0o600)
	o.refused(o.conf, 1, "take another backup", "restore", torn, dest, "--passphrase-file", pass)
	o.refused(o.conf, 1, "is no backup of Jarvis", "restore", o.conf, dest, "--passphrase-file", pass)
	o.refused(o.conf, 2, "is not empty", "restore", file, data, "--passphrase-file", pass)
	if _, err := os.Stat(dest); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
	if left := must[[]string](t)(filepath.Glob(filepath.Join(o.dir, ".b1*"))); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	// A restore that was killed in its middle: neither a server nor another restore takes it for a record.
	if err := os.MkdirAll(filepath.Join(dest, unfinished), 0o700); err != nil {
		t.Fatal(err)
	}
	o.refused(o.conf, 2, "was broken off", "restore", file, dest, "--passphrase-file", pass)
	o.refused(o.config("dest", "dest", ""), 2, "was broken off", "serve")
}

// TestARestoreThatFailsLateKeepsTheFiles: once the PostgreSQL database may have the record, the files that belong to it
// (age.key opens its secrets) stay, whatever fails then. The server waits with each commit for another one that is not
// there, so there is time to have something fail.
func TestARestoreThatFailsLateKeepsTheFiles(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	o := newOld(t, "")
	stop, _ := serveInProcess(t, o.conf)
	o.says(o.conf, "deploy", filepath.Join(o.dir, "loki.yaml"))
	file := filepath.Join(o.dir, "b1")
	o.says(o.conf, "backup", file, "--recipient", o.to)
	stop()
	sql := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if err := pg.SQL(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	const waiting = `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep') THEN RAISE 'nobody'; END IF; END $$`
	for name, c := range map[string]struct {
		fail func(work string)
		says string
	}{
		"something is put beside what is prepared": {func(work string) {
			if err := os.WriteFile(filepath.Join(work, "x"), nil, 0o600); err != nil {
				t.Error(err)
			}
		}, "the record and its files are in place"},
		"the link is cut while it commits": {func(string) {
			sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		}, "it is not known whether the database has the record"},
	} {
		t.Run(name, func(t *testing.T) {
			url := must[string](t)(pg.Database(t.Context()))
			dir := t.TempDir()
			sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
			type end struct {
				code int
				errs string
			}
			ended := make(chan end, 1)
			go func() {
				code, _, errs := jarvis(t, "", "--config", o.conf, "restore", file, dir, "--identity", o.key, "--database", url)
				ended <- end{code, errs}
			}()
			until(t, 20*time.Second, "it commits", func() bool { return pg.SQL(t.Context(), waiting) == nil })
			c.fail(filepath.Join(dir, unfinished))
			sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
			if e := <-ended; e.code == 0 || !strings.Contains(e.errs, c.says) {
				t.Errorf("restore = %d, %s", e.code, e.errs)
			}
			if _, err := os.Stat(filepath.Join(dir, "age.key")); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, unfinished)); err != nil {
				t.Fatal(err)
			}
			conf := o.write("late.yaml", fmt.Sprintf("data: %q\ndatabase: %q\nlisten: \"\"\napprovals: {off: true}\nworkers: {external: {dir: w}}\n", dir, url), 0o600)
			o.says(conf, "backup", filepath.Join(dir, "b2"), "-r", o.to)
			if d := cmp.Diff(o.rows(file), o.rows(filepath.Join(dir, "b2"))); d != "" {
				t.Errorf("the record differs (-backup +restored):\n%s", d)
			}
		})
	}
}

// TestARestoredRecordHasHadNoPrimary: on which PostgreSQL server the original was comes along in the backup, and the
// first start elsewhere took that for a server that had taken over, and lost commits.
func TestARestoredRecordHasHadNoPrimary(t *testing.T) {
	a := loadedApp(t, t.TempDir(), "listen: \"\"\n")
	b := must[*bot.Bot](t)(bot.New(t.Context(), bot.Config{Name: "jarvis", Table: a.table, Engine: a.engine, DB: a.db, Access: a.access, Checks: a.checks, Log: a.log}))
	was := store.Primary{Timeline: 7}
	now := func() store.Primary { return must[store.Primary](t)(a.primary(t.Context())) }
	if err := errors.Join(a.db.Write(t.Context(), func(tx store.Tx) error { return setPrimary(t.Context(), tx, was) }), a.settleRestored(t.Context(), b)); err != nil || now() != was {
		t.Fatalf("a record that was never restored was on %+v, %v", now(), err)
	}
	note := must[string](t)(restored{Taken: time.Now(), Host: "elsewhere", Data: "/var/lib/jarvis"}.text())
	if err := errors.Join(a.db.SetFact(t.Context(), restoredFact, note), a.settleRestored(t.Context(), b)); err != nil || now() != (store.Primary{}) {
		t.Errorf("a restored record was on %+v, %v", now(), err)
	}
	if err := errors.Join(a.db.Write(t.Context(), func(tx store.Tx) error { return setPrimary(t.Context(), tx, was) }), a.settleRestored(t.Context(), b)); err != nil || now() != was {
		t.Errorf("at the next start it was on %+v, %v", now(), err)
	}
}

// TestWhatWaitedInABackupIsNotSaidAgain: notices and actions of checks were seen to by whoever went on from there.
func TestWhatWaitedInABackupIsNotSaidAgain(t *testing.T) {
	a := loadedApp(t, t.TempDir(), "listen: \"\"\n")
	var log real.Buffer
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	b := must[*bot.Bot](t)(bot.New(t.Context(), bot.Config{Name: "jarvis", Table: a.table, Engine: a.engine, DB: a.db, Access: a.access, Checks: a.checks, Log: a.log}))
	note := must[string](t)(restored{Taken: time.Now(), Host: "elsewhere", Data: "/var/lib/jarvis"}.text())
	waiting := func() error {
		return a.db.Write(t.Context(), func(tx store.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO notices (event, run, frontend, place, nick, line, sent) VALUES ((SELECT count(*) FROM notices) + 1, 1, 'irc', '#ops', 'alice', 'loki is ready', 0)")
			if err == nil {
				_, err = tx.Exec(t.Context(), "INSERT INTO check_outbox (at, kind, action, event, done, tries, next, err) VALUES (1, 'do', 'restart', '{}', 0, 0, 0, '')")
			}
			return err
		})
	}
	open := func() (n int) {
		t.Helper()
		if err := a.db.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM notices WHERE sent = 0) + (SELECT count(*) FROM check_outbox WHERE done = 0)").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := errors.Join(waiting(), a.settleRestored(t.Context(), b)); err != nil || open() != 2 {
		t.Fatalf("a record that was never restored: %d are open, %v", open(), err)
	}
	if err := errors.Join(a.db.SetFact(t.Context(), restoredFact, note), a.settleRestored(t.Context(), b)); err != nil || open() != 0 {
		t.Errorf("a restored record: %d are open, %v", open(), err)
	}
	if s := log.String(); !strings.Contains(s, "notices_not_said=1 actions_not_done=1") || !strings.Contains(s, `line="loki is ready"`) {
		t.Errorf("the log says %s", s)
	}
	if err := errors.Join(waiting(), a.settleRestored(t.Context(), b)); err != nil || open() != 2 {
		t.Errorf("what came later: %d are open, %v", open(), err)
	}
}
