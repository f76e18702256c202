package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportChecksOfNagios: one file that `config check` takes, a list of what was not carried over, and nothing that
// is there lost.
func TestImportChecksOfNagios(t *testing.T) {
	dir := t.TempDir()
	conf, sub := filepath.Join(dir, "jarvis.yaml"), filepath.Join(dir, "checks.d")
	file := filepath.Join(sub, "nagios.yaml")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte("data: ./data\nchecks: {dir: ./checks.d}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const company = "../../checks/nagios/testdata/company"
	run := func(want int, say string, args ...string) string {
		t.Helper()
		code, out, errs := jarvis(t, "", append([]string{"--config", conf}, args...)...)
		if code != want || !strings.Contains(out+errs, say) {
			t.Errorf("%v: exit %d, want %d, and %q in\n%s%s", args, code, want, say, out, errs)
		}
		return out
	}
	mail := company + "/objects/contacts.cfg:18: email alice@example.org: it is told by mail, and mail.server of jarvis.yaml is not set; set it"
	run(0, mail, "check", "import", "nagios", company, "--dry-run")
	run(0, file+" would be written; this was a dry run", "check", "import", "nagios", company, "--dry-run")
	if _, err := os.Stat(file); err == nil {
		t.Fatal("a dry run has written")
	}
	run(0, company+"/objects/services/apps.cfg:6: event_handler restart_httpd: what follows on a result is an action here", "check", "import", "nagios", company)
	run(0, "is right", "config", "check")
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", st, err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	run(exitUsage, file+" is there already, and was left as it is; say --replace", "check", "import", "nagios", company, "--from", "probe")
	run(exitUsage, "beside what is declared, it is not right: there are two hosts called ", "check", "import", "nagios", company, "--into", filepath.Join(sub, "other.yaml"))
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed: %v", err)
	}
	var answer struct {
		OK   bool
		Data ImportedChecks
	}
	if err := json.Unmarshal([]byte(run(0, "", "check", "import", "nagios", filepath.Join(company, "nagios.cfg"), "--replace", "--from", "probe", "--json")), &answer); err != nil {
		t.Fatal(err)
	}
	if n := answer.Data.Counts; !answer.OK || answer.Data.File != file || n.Services != 59 || n.Hosts != 10 || len(answer.Data.Notes) < 10 {
		t.Errorf("%+v", answer)
	}
	if after, err := os.ReadFile(file); err != nil || !strings.Contains(string(after), "from: probe") {
		t.Errorf("it was not replaced: %v", err)
	}
	if err := os.WriteFile(conf, []byte("data: ./data\nmail: {server: \"smtp.example.org:587\", from: jarvis@example.org}\nchecks: {dir: ./checks.d}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(0, "was written", "check", "import", "nagios", company, "--replace"); strings.Contains(out, mail) {
		t.Errorf("contacts are left out all the same: %s", out)
	}
	run(0, "is right", "config", "check")
	run(exitNotFound, "cannot read it: "+filepath.Join(dir, "nowhere"), "check", "import", "nagios", filepath.Join(dir, "nowhere"))
	run(exitNotFound, "no file of objects was found in "+sub, "check", "import", "nagios", sub)
	run(exitNotFound, "is no folder; make it", "check", "import", "nagios", company, "--into", filepath.Join(dir, "none"))
	run(exitUsage, "is used as: jarvis check import nagios DIR", "check", "import", "icinga2", company)
	run(exitUsage, "--from \"a b\" is no name of a host", "check", "import", "nagios", company, "--from", "a b")
	run(exitUsage, "are for `jarvis check import nagios DIR`", "check", "list", "--replace")
}

// fuse is a context that is interrupted after so many looks at it.
type fuse struct {
	context.Context
	left int
}

func (f *fuse) Err() error {
	if f.left--; f.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestImportOfChecksIsInterrupted: Ctrl-C was not heard, and the file was written after all. Whenever it comes, nothing
// is written.
func TestImportOfChecksIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	conf := writeIn(t, dir)("jarvis.yaml", "data: ./data\n", 0o600)
	into := filepath.Join(dir, "made.yaml")
	args := []string{"--config", conf, "check", "import", "nagios", "../../checks/nagios/testdata/company", "--into", into}
	looks := 0
	for ; ; looks++ {
		var out, errs bytes.Buffer
		code := run(&fuse{t.Context(), looks}, args, strings.NewReader(""), &out, &errs)
		if code == 0 {
			break
		}
		if code != exitInterrupted || out.Len() > 0 || errs.String() != "jarvis: interrupted; nothing was written\n" {
			t.Fatalf("after %d looks: %d %s%s", looks, code, &out, &errs)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Fatalf("after %d looks it has written: %v %v", looks, left, err)
		}
	}
	if _, err := os.Stat(into); err != nil {
		t.Error(err)
	}
	if looks < 59 { // services
		t.Errorf("it looked %d times whether it was interrupted; each service is to have one look", looks)
	}
}
