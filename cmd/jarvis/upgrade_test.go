package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/backup"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestARecordOfAnEarlierJarvisGoesOn opens what earlier programs left (testdata/upgrade, made by scripts/upgrade-data):
// all that was on record answers, what waited goes on, and what was sealed can still be opened. A new file there is one
// more release that can be upgraded.
func TestARecordOfAnEarlierJarvisGoesOn(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	files := must[[]string](t)(filepath.Glob("testdata/upgrade/*.tar.gz"))
	if len(files) < 2 {
		t.Fatalf("only %v are there", files)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".tar.gz"), func(t *testing.T) {
			o := unpack(t, pg, file)
			o.write("gate", "", 0o644) // what the waiting run waits for
			stop, _ := serveInProcess(t, o.conf)
			o.answers(t, o.conf)
			o.tasks(t, o.conf)
			// Where odin has a secret, its last step opens a door with it.
			until(t, 60*time.Second, "the waiting run goes on", func() bool { return strings.Contains(o.says(o.conf, "status", "odin"), "ready") })
			backed := filepath.Join(o.dir, "b1")
			o.says(o.conf, "backup", backed, "--passphrase-file", o.write("pass", "correct horse battery", 0o600))
			stop()
		})
		// A backup of its tables as they were, before anybody upgraded them, is as good.
		t.Run(strings.TrimSuffix(filepath.Base(file), ".tar.gz")+" by a backup", func(t *testing.T) {
			o := unpack(t, pg, file)
			pass := o.write("pass", "correct horse battery", 0o600)
			o.says(o.conf, "backup", filepath.Join(o.dir, "b1"), "--passphrase-file", pass)
			args := []string{"restore", filepath.Join(o.dir, "b1"), filepath.Join(o.dir, "new"), "--passphrase-file", pass}
			url := ""
			if o.url != "" {
				url = must[string](t)(pg.Database(t.Context()))
				args = append(args, "--database", url)
			}
			o.says(o.conf, args...)
			conf := o.reconfigured(o.dir+"/new.yaml", url, "data: ./new\n")
			stop, _ := serveInProcess(t, conf)
			defer stop()
			o.answers(t, conf)
			o.tasks(t, conf)
			if out := o.says(conf, "status", "odin"); !strings.Contains(out, "from a backup of") {
				t.Errorf("status odin = %s", out)
			}
		})
	}
}

// unpack makes an installation of one of the files.
func unpack(t *testing.T, pg *real.Postgres, file string) *old {
	t.Helper()
	o := &old{t: t, dir: t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "tar", "-xzf", file, "-C", o.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if dump := filepath.Join(o.dir, "dump.sql"); strings.Contains(file, backup.PostgreSQL) {
		o.url = must[string](t)(pg.Database(t.Context()))
		if out, err := exec.CommandContext(t.Context(), "psql", "-qXv", "ON_ERROR_STOP=1", "-f", dump, o.url).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	o.conf = o.reconfigured(o.dir+"/jarvis.yaml", o.url, "")
	return o
}

// reconfigured writes its configuration for another database.
func (o *old) reconfigured(file, url, more string) string {
	o.t.Helper()
	b := must[[]byte](o.t)(os.ReadFile(filepath.Join(o.dir, "jarvis.yaml")))
	text := regexp.MustCompile(`(?m)^database:.*$`).ReplaceAllString(string(b), "database: \""+url+"\"")
	if err := os.WriteFile(file, []byte(more+text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return file
}

// answers asks for all that scripts/upgrade-data put on record.
func (o *old) answers(t *testing.T, conf string) {
	t.Helper()
	for words, want := range map[string]string{
		"status":                       "thor",
		"status loki":                  "ready",
		"status thor":                  "failed at stage 2/2 toy:fail",
		"status pair":                  "2 of 2 ready",
		"hosts":                        "loki",
		"history loki":                 "run 1",
		"log thor":                     "no paint",
		"show loki":                    "api_token: !secret •••",
		"token list":                   "laptop",
		"audit 200":                    "deploy", // the newest 20 may all be of this test
		"check show load on 127.0.0.1": "load",
		"check list":                   "127.0.0.1",
		"history a1":                   "run 4",
		"status 6":                     "un 6",
	} {
		if out := o.says(conf, strings.Fields(words)...); !strings.Contains(out, want) {
			t.Errorf("jarvis %s says %q, want %q", words, out, want)
		}
	}
}

// tasks looks, where the record has one, at a reviewed task that ran: it is not run again, and the next one runs.
func (o *old) tasks(t *testing.T, conf string) {
	t.Helper()
	repo := filepath.Join(o.dir, "infra.git")
	if _, err := os.Stat(repo); err != nil {
		return // a record from before they were in it
	}
	if out := o.says(conf, "task", "list"); !strings.Contains(out, "Say first") {
		t.Errorf("jarvis task list says %q", out)
	}
	if out := o.says(conf, "log", "infra"); !strings.Contains(out, "the first word") {
		t.Errorf("jarvis log infra says %q", out)
	}
	script := `git clone -q "$1" "$2" && cd "$2" && echo '- task: {name: Say second, shell: echo the second word}' >>tasks.yaml && git -c user.name=alice -c user.email=alice@example.org commit -qam 'say second' && git push -q origin HEAD:main`
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", script, "alice", repo, filepath.Join(t.TempDir(), "work")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, 60*time.Second, "the next task runs", func() bool { return strings.Contains(o.says(conf, "log", "infra"), "the second word") })
	if out := o.says(conf, "history", "infra"); strings.Count(out, "run ") != 2 {
		t.Errorf("of two tasks the history is %s", out)
	}
}
