package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/web"
)

// toySite is a server whose one worker is a script: its step waits until a file is there, and fails while another is.
type toySite struct {
	*apiSite
	dir  string
	good string // a clipboard
}

func newToySite(t *testing.T, extra string) *toySite {
	t.Helper()
	s := &toySite{apiSite: &apiSite{}, dir: t.TempDir()}
	write := writeIn(t, s.dir)
	write("w/toy", `#!/bin/sh
[ "$1" = --steps ] && exit 64
while [ "$1" = wait ] && [ ! -e "`+s.dir+`/gate" ]; do sleep 0.1; done
[ "$1" = may_fail ] && [ -e "`+s.dir+`/broken" ] && { echo "the disk is gone" >&2; exit 1; }
exit 0
`, 0o755)
	s.conf = write("jarvis.yaml", "data: ./data\nlisten: 127.0.0.1:0\n"+extra+`
people: [{name: alice, roles: [deploy, run]}, {name: bob, roles: [deploy]}, {name: victor, roles: [view]}]
workers: {external: {dir: w}}
pipelines:
  deploy: {toy: ["toy:make", "toy:wait", "toy:may_fail"]}
  redeploy: {toy: ["toy:make", "toy:wait", "toy:may_fail"]}
  destroy: {toy: ["toy:make"]}
checks:
  tasks: [{name: up, command: "true", schedule: "@every 1h"}]
  host_tasks: [{tasks: [up], hosts: [127.0.0.1]}]
`, 0o600)
	s.good = write("loki.yaml", "instance: {hostname: loki, provider: toy}\n", 0o600)
	write("pair.yaml", "instances:\n  - {hostname: web1, provider: toy}\n  - {hostname: web2, provider: toy}\ncluster: web\n", 0o600)
	_, log := serveInProcess(t, s.conf)
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatal(log)
	}
	s.url = "http://" + m[1]
	return s
}

// touch makes a file of the site be there.
func (s *toySite) touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// envelopes reads what --json printed, and checks each line.
func envelopes(t *testing.T, out string) []command.Envelope {
	t.Helper()
	var list []command.Envelope
	for line := range strings.Lines(out) {
		if err := web.Conforms("Envelope", []byte(line)); err != nil {
			t.Errorf("%s is no envelope: %v", line, err)
		}
		var e command.Envelope
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		t.Fatal("nothing was printed")
	}
	return list
}

// said is every verb, with what it is asked. The first line of each must go well, but of those that say which code.
var said = []struct {
	line string
	code int
}{
	{"version", 0}, {"whoami", 0}, {"steps", 0}, {"steps toy", 0}, {"steps nothing_has_it", 4}, {"status", 0}, {"hosts", 0}, {"hosts after z", 0},
	{"audit", 0}, {"audit nobody", 0}, {"audit alice 50", 0}, {"audit alice 0", 2}, {"audit alice 99999999999999999999", 2}, {"audit alice bob", 2}, {"token", 0}, {"token list", 0}, {"token new x for alice", 0}, {"token list", 0}, {"token revoke 1", 0}, {"token revoke 77", 4},
	{"nodes", 0}, {"drain nowhere", 4}, {"page", 3}, {"page list", 0}, {"page end 77", 4}, {"page end all", 0}, {"page nonsense", 2},
	{"checks", 0}, {"check list", 0}, {"check show up on 127.0.0.1", 0}, {"check run up on 127.0.0.1", 0}, {"check history up", 0}, {"check metrics up on 127.0.0.1", 0}, {"check stats", 0}, {"check report", 0},
	{"check downtimes", 0}, {"check silence 127.0.0.1 for 1h", 0}, {"check downtimes", 0}, {"check unsilence 1", 0}, {"check actions", 0}, {"check defined", 0}, {"ack up on 127.0.0.1", 0},
	{"check show nothing on 127.0.0.1", 4}, {"task list", 4}, {"drift", 0}, {"plan loki.yaml", 0}, {"plan pair.yaml", 0}, {"deploy loki.yaml", 0}, {"deploy --no-wait loki.yaml", 5}, {"deploy loki.yaml", 1}, {"deny 2", 0}, {"deploy pair.yaml", 0},
	{"status loki", 0}, {"status web", 0}, {"hosts", 0}, {"history loki", 0}, {"log loki", 0}, {"log loki 1", 0}, {"show loki", 0}, {"drift loki", 0}, {"run loki true", 1},
	{"retry loki from toy:make", 5}, {"deny 1", 0}, {"undo loki", 5}, {"deny 1", 0}, {"redeploy --no-wait loki", 5}, {"cancel 5", 0}, {"destroy --no-wait loki", 5}, {"approve 6", 3}, {"deny 6", 0},
	{"skip loki", 1}, {"adopt loki.yaml", 2}, {"adopt loki i-1", 1}, {"cancel nobody", 4}, {"status nobody", 4}, {"deploy", 2}, {"deploy --bogus loki.yaml", 2},
	{"forget nobody", 4}, {"import none.ini", 4}, {"help", 0}, {"help status", 0}, {"help nosuch", 2}, {"stop loki", 2}, {"frobnicate", 2}, {"status --no-wait", 2}, {"log --timeout=2s loki", 2}, {"log -f --no-wait loki", 2}, {"undo --dry-run loki", 2}, {"deploy --no-wait --timeout=2s loki.yaml", 2},
	{"import --dry-run hosts.list", 0}, {"import hosts.list", 0}, {"hold imported", 2}, {"hold imported because of it", 0}, {"hold imported because of it", 1}, {"hosts", 0}, {"release imported", 0}, {"release imported", 1}, {"release 1", 2}, {"hold nobody because so", 4}, {"forget imported", 0}, {"forget imported", 4},
}

// TestEveryVerbGivesTheSameEnvelope asks every verb with --json, and holds each line against the description of the
// API.
func TestEveryVerbGivesTheSameEnvelope(t *testing.T) {
	s := newToySite(t, "limit: {burst: 10000}\n")
	t.Chdir(s.dir)
	s.touch(t, "gate")
	if err := os.WriteFile("hosts.list", []byte("imported.example.org\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, c := range said {
		words := strings.Fields(c.line)
		asked[words[0]] = true
		args := append([]string{"--config", s.conf, words[0], "--json"}, words[1:]...)
		code, out, errs := jarvis(t, "", args...)
		if code != c.code {
			t.Errorf("%s = %d, want %d: %s%s", c.line, code, c.code, out, errs)
		}
		list := envelopes(t, out)
		last := list[len(list)-1]
		if last.Exit != code || last.OK != (code == 0) || code != 0 && code != 5 && last.Error == nil && last.Lines == nil {
			t.Errorf("%s = %d says %+v", c.line, code, last)
		}
		if last.Error == nil {
			dataFits(t, words[0], out)
		}
	}
	for _, v := range command.Verbs() {
		if !asked[v.Name] {
			t.Errorf("%s is not asked: put {%q, 0} into said, above in cmd/jarvis/json_test.go", v.Name, v.Example)
		}
	}
}

// dataFits holds the first line against the operations of a verb: one of them must describe it.
func dataFits(t *testing.T, verb, out string) {
	t.Helper()
	first, _, _ := strings.Cut(out, "\n")
	doc := string(must[[]byte](t)(web.OpenAPI()))
	var why []string
	for _, v := range command.Verbs() {
		if v.Name != verb && v.Short == "" || v.Name != verb {
			continue
		}
		for _, a := range v.API {
			name := web.AnswerOf(v, a)
			if !strings.Contains(doc, name+":") {
				t.Errorf("%s is not described", name)
			}
			err := web.Conforms(name, []byte(first))
			if err == nil {
				return
			}
			why = append(why, fmt.Sprintf("%s: %v", name, err))
		}
		if len(v.API) == 0 {
			return
		}
	}
	t.Errorf("%s says %.400s, which none of its operations describes:\n%s", verb, first, strings.Join(why, "\n"))
}

// TestJSONSaysThatItWaits: `deploy --json` of what needs a second person said nothing of that, and waited for a day.
func TestJSONSaysThatItWaits(t *testing.T) {
	s := newToySite(t, "limit: {burst: 10000}\n")
	s.touch(t, "gate")
	t.Setenv("JARVIS_TOKEN", s.newToken(t, "alice"))
	if code, out, errs := jarvis(t, "", "--server", s.url, "deploy", "--json", s.good); code != 0 {
		t.Fatal(out, errs)
	}
	code, out, errs := jarvis(t, "", "--server", s.url, "redeploy", "--json", "--timeout", "1s", "loki")
	list := envelopes(t, out)
	first, last := list[0], list[len(list)-1]
	if code != 5 || first.Type != command.TypeAnswer || !strings.Contains(strings.Join(first.Lines, " "), "approve 2") || first.Run == nil || first.Run.State != "proposed" || last.Type != command.TypeWaits || last.Exit != 5 {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if !slices.ContainsFunc(list[1:len(list)-1], func(e command.Envelope) bool { return e.Type == command.TypeWaits }) {
		t.Errorf("it does not say that it waits: %s", out)
	}
	if code, out, _ := jarvis(t, "", "--server", s.url, "approve", "--json", "2"); code != 3 || envelopes(t, out)[0].Error.Kind != "denied" {
		t.Errorf("who asked approves: %d %s", code, out)
	}
	t.Setenv("JARVIS_TOKEN", s.newToken(t, "bob"))
	code, out, errs = jarvis(t, "", "--server", s.url, "approve", "--json", "2")
	list = envelopes(t, out)
	if last := list[len(list)-1]; code != 0 || last.Type != command.TypeEnd || !last.OK || last.Run.State != "ready" {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

// TestARetriedRunForgetsItsError: the error of before stood beside `running`.
func TestARetriedRunForgetsItsError(t *testing.T) {
	s := newToySite(t, "limit: {burst: 10000}\n")
	s.touch(t, "gate")
	s.touch(t, "broken")
	if code, _, _ := jarvis(t, "", "--config", s.conf, "deploy", s.good); code != exitFailed {
		t.Fatal(code)
	}
	if err := os.Remove(filepath.Join(s.dir, "gate")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"retry", "--no-wait", "--json", "loki", "from", "toy:wait"}, {"status", "--json", "loki"}, {"status", "--json"}, {"history", "--json", "loki"}, {"hosts", "--json"}, {"status", "loki"}} {
		code, out, errs := jarvis(t, "", append([]string{"--config", s.conf}, args...)...)
		if code != 0 || strings.Contains(out, "the disk is gone") {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	s.touch(t, "gate")
}

// TestAFullDiskIsSaid: `jarvis steps > /dev/full` printed nothing, and ended well.
func TestAFullDiskIsSaid(t *testing.T) {
	s := newToySite(t, "limit: {burst: 10000}\n")
	t.Chdir(s.dir)
	s.touch(t, "gate")
	for _, name := range []string{"web", "thor"} {
		writeIn(t, s.dir)(name+".yaml", "instance: {hostname: "+name+", provider: toy}\n", 0o600)
	}
	if code, out, errs := jarvis(t, "", "--config", s.conf, "deploy", s.good); code != 0 {
		t.Fatal(out, errs)
	}
	var lines []string
	for _, c := range said {
		if reads := !slices.Contains([]string{"deploy", "deny", "cancel", "help", "token", "check", "ack", "import", "forget", "hold", "release", "drain", "page"}, strings.Fields(c.line)[0]); c.code == 0 && reads && !strings.Contains(c.line, "web") && !strings.Contains(c.line, "pair") {
			lines = append(lines, c.line, strings.Replace(c.line+" ", " ", " --json ", 1))
		}
	}
	lines = append(lines, "deploy --timeout 30s web.yaml", "deploy --no-wait --json thor.yaml", "token list", "token --json new x for alice", "check stats", "--help", "status --help", "deploy --help", "config show", "config check", "completion bash", "completion zsh", "completion fish", "man", "reload", "doctor")
	for _, line := range lines {
		full := must[*os.File](t)(os.OpenFile("/dev/full", os.O_WRONLY, 0))
		var errs strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		code := run(ctx, append([]string{"--config", s.conf}, strings.Fields(line)...), strings.NewReader(""), full, &errs)
		cancel()
		_ = full.Close()
		if code == 0 || strings.Count(errs.String(), "no space left on device") != 1 {
			t.Errorf("%s = %d: %q", line, code, errs.String())
		}
	}
}

// TestAPathNeverMeansAnotherOperation: with an empty variable, `POST /v1/runs/$RUN/undo` was sent on to another
// operation.
func TestAPathNeverMeansAnotherOperation(t *testing.T) {
	s := newToySite(t, "limit: {burst: 10000}\n")
	s.token = s.newToken(t, "alice")
	var doc struct {
		Paths map[string]map[string]any
	}
	_, _, text := s.call(t, "GET", "/openapi.json", "", "")
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	param := regexp.MustCompile(`\{[^}]*\}`)
	tried := 0
	for path, methods := range doc.Paths {
		if !param.MatchString(path) {
			continue
		}
		for method := range methods {
			for _, bad := range []string{"", ".", "..", "%2e%2e", "%2E"} {
				tried++
				code, h, body := s.call(t, strings.ToUpper(method), param.ReplaceAllLiteralString(path, bad), s.token, "")
				refused := code == http.StatusNotFound || code == http.StatusBadRequest || code == http.StatusMethodNotAllowed || code == http.StatusForbidden
				plain := strings.HasPrefix(path, "/p/") && strings.HasPrefix(bad, "%")
				if !refused || h.Get("Location") != "" || h.Get("Content-Type") != "application/problem+json" && !plain {
					t.Errorf("%s %s with %q = %d %s %s %.200s", method, path, bad, code, h.Get("Content-Type"), h.Get("Location"), body)
				}
			}
		}
	}
	if tried < 50 {
		t.Errorf("only %d paths were tried", tried)
	}
}

const toyJSON = `{"clipboard":"instance: {hostname: loki, provider: toy}"}`

// TestProblemsAreAsDescribed: what the library refuses by itself (415, 422) carried members of its own.
func TestProblemsAreAsDescribed(t *testing.T) {
	s := newToySite(t, "limit: {burst: 10000}\n")
	s.token = s.newToken(t, "alice")
	for _, c := range []struct {
		method, path, body string
		header             []string
		code               int
	}{
		{"POST", "/v1/command", "<x/>", []string{"Content-Type", "application/xml"}, 415},
		{"POST", "/v1/command", "<x/>", []string{"Content-Type", "text/x-unknown"}, 415},
		{"POST", "/v1/command", `{"words": "status"}`, []string{"Content-Type", "application/json"}, 422},
		{"POST", "/v1/command", `{"words": []}`, []string{"Content-Type", "application/json"}, 422},
		{"POST", "/v1/command", `{`, []string{"Content-Type", "application/json"}, 400},
		{"GET", "/v1/runs?limit=x", "", nil, 422},
		{"GET", "/v1/runs?limit=0", "", nil, 422},
		{"GET", "/v1/runs?state=odd", "", nil, 422},
		{"GET", "/v1/events?from=then", "", nil, 422},
		// What would be left out might be what counts, as a dry run.
		{"POST", "/v1/deploy?dry_run=true", toyJSON, nil, 400},
		{"POST", "/v1/command?dry_run=true", `{"words":["status"]}`, []string{"Content-Type", "application/json"}, 400},
		{"POST", "/v1/runs/loki/undo?dry_run=true", "", nil, 400},
		{"POST", "/v1/runs/loki/undo", `{"dry_run":true}`, nil, 400},
		{"DELETE", "/v1/tokens/1?dry_run=1", "", nil, 400},
		{"GET", "/v1/runs?sate=ready", "", nil, 400},
		{"GET", "/v1/runs?state=ready&state=failed", "", nil, 400},
		{"GET", "/v1/runs?limit=%zz", "", nil, 400},
		{"GET", "/v1/runs/loki?x", "", nil, 400},
		{"POST", "/v1/deploy", toyJSON, []string{"Content-Type", "text/html"}, 415},
		{"POST", "/v1/deploy", toyJSON, []string{"Content-Type", "application/xml"}, 415},
		{"POST", "/v1/deploy", toyJSON, []string{"Content-Type", "application/json; charset=utf-16"}, 415},
		{"POST", "/v1/deploy", toyJSON, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 415},
		{"POST", "/v1/deploy", toyJSON, []string{"Content-Type", "nonsense;;"}, 415},
		{"GET", "/v1", "", nil, 404},
		{"GET", "/v1/", "", nil, 404},
		{"GET", "/alf", "", nil, 404},
		{"GET", "/alf/", "", nil, 404},
		{"DELETE", "/v1/runs", "", nil, 405},
		{"PUT", "/v1/deploy", "{}", nil, 405},
		{"GET", "/v1/none", "", nil, 404},
		{"GET", "/none", "", nil, 404},
	} {
		code, h, body := s.call(t, c.method, c.path, s.token, c.body, c.header...)
		if err := web.Conforms("Problem", []byte(body)); err != nil || code != c.code || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s = %d %s %s: %v", c.method, c.path, code, h.Get("Content-Type"), body, err)
		}
	}
	if code, _, body := s.call(t, "GET", "/v1/runs", s.token, ""); code != 200 || !strings.Contains(body, `"runs":[]`) {
		t.Errorf("what was refused was done: %d %s", code, body)
	}
	for _, scheme := range []string{"bearer", "BEARER", "Bearer "} {
		if code, _, body := s.call(t, "GET", "/v1/whoami", "", "", "Authorization", scheme+" "+s.token); code != 200 {
			t.Errorf("the scheme %q: %d %s", scheme, code, body)
		}
	}
	for _, path := range []string{"/v1/runs", "/v1/hosts", "/v1/status", "/v1/tokens", "/v1/events", "/v1/checks-actions", "/v1/checks-downtimes", "/v1/checks-results"} {
		if code, _, body := s.call(t, "GET", path, s.token, ""); code != 200 || strings.Contains(body, "null") {
			t.Errorf("%s = %d %s", path, code, body)
		}
	}
}
