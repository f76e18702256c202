package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
)

// apiSite is a world with a server that listens, and alice's token.
type apiSite struct {
	world            *lab.World
	conf, url, token string
	log              fmt.Stringer
}

func newAPISite(t *testing.T, block int, extra string) *apiSite {
	t.Helper()
	s := &apiSite{}
	s.world = must[*lab.World](t)(lab.Start(t.Context(), lab.Options{Block: block, Port: must[int](t)(freePort())}))
	t.Cleanup(s.world.Stop)
	dir := t.TempDir()
	s.conf = filepath.Join(dir, "jarvis.yaml")
	text := strings.Replace(s.world.Config(filepath.Join(dir, "data"), extra), "listen: \"\"\n", "listen: 127.0.0.1:0\n", 1) +
		"people:\n  - {name: alice, roles: [deploy, run]}\n  - {name: bob, roles: [deploy]}\n  - {name: victor, roles: [view]}\n  - {name: ada, roles: [admin]}\n"
	if strings.Contains(extra, "limit:") {
		text = strings.Replace(text, "limit: {burst: 1000}\n", "", 1)
	}
	if strings.Contains(extra, "approvals:") {
		text = strings.Replace(text, "approvals: {off: true}\n", "", 1)
	}
	if err := os.WriteFile(s.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, log := serveInProcess(t, s.conf)
	s.log = log
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatal(log)
	}
	s.url = "http://" + m[1]
	s.token = s.newToken(t, "alice")
	return s
}

func (s *apiSite) newToken(t *testing.T, person string, more ...string) string {
	t.Helper()
	code, out, errs := jarvis(t, "", append([]string{"--config", s.conf, "token", "new", "test", "for", person}, more...)...)
	if code != 0 {
		t.Fatal(errs)
	}
	return strings.Fields(out)[0]
}

// call sends a request and gives status, headers and body.
func (s *apiSite) call(t *testing.T, method, path, token, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body)))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res := must[*http.Response](t)(http.DefaultTransport.RoundTrip(req))
	defer func() { _ = res.Body.Close() }()
	b := must[[]byte](t)(io.ReadAll(res.Body))
	return res.StatusCode, res.Header, string(b)
}

const generatedMain = `package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"gen/client"
)

func main() {
	c, err := client.NewClientWithResponses(os.Args[1], client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+os.Args[2])
		return nil
	}))
	check(err)
	ctx := context.Background()
	clipboard, key := os.Args[3], "only-once"
	var first int64
	for range 2 {
		res, err := c.DeployWithResponse(ctx, &client.DeployParams{IdempotencyKey: &key}, client.DeployRequest{Clipboard: &clipboard})
		check(err)
		if res.JSON202 == nil {
			check(fmt.Errorf("%s %s", res.Status(), res.Body))
		}
		fmt.Println(res.JSON202.Lines[0])
		if first != 0 && res.JSON202.Run.Run != first {
			check(fmt.Errorf("the key did not hold: run %d", res.JSON202.Run.Run))
		}
		first = res.JSON202.Run.Run
	}
	for range 600 {
		res, err := c.GetRunWithResponse(ctx, fmt.Sprint(first))
		check(err)
		if res.JSON200.State == "ready" {
			fmt.Println("state ready")
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	check(fmt.Errorf("it did not become ready"))
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
`

// The description is valid by another program's judgement, and a client generated from it deploys a host.
func TestAGeneratedClientDeploysAHost(t *testing.T) {
	t.Parallel()
	s := newAPISite(t, 101, "")
	dir := t.TempDir()
	_, _, doc := s.call(t, "GET", "/openapi-3.0.json", "", "")
	files := map[string]string{"openapi.json": doc, "main.go": generatedMain, "go.mod": "module gen\n\ngo 1.24\n\nrequire github.com/oapi-codegen/runtime v1.1.2\n"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "client"), 0o755); err != nil {
		t.Fatal(err)
	}
	sh := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	sh("go", "run", "github.com/getkin/kin-openapi/cmd/validate@v0.133.0", "openapi.json")
	sh("go", "run", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.5.1", "-generate", "types,client", "-package", "client", "-o", "client/client.go", "openapi.json")
	sh("go", "mod", "tidy")
	out := sh("go", "run", ".", s.url, s.token, lab.Clipboard("loki"))
	if strings.Count(out, "loki.websages.com on ESX, 12 stages, run 1.") != 2 || !strings.Contains(out, "state ready") {
		t.Errorf("the client said:\n%s", out)
	}
	if got := s.world.VSphere.Machines(); !slices.Equal(got, []string{"loki"}) {
		t.Errorf("machines are %v", got)
	}
	code, _, body := s.call(t, "POST", "/v1/deploy", s.token, `{"clipboard": "instance: {hostname: thor, fqdn: thor.websages.com, provider: ESX}"}`, "Idempotency-Key", "only-once")
	if code != http.StatusBadRequest || !strings.Contains(body, "used for run 1, which asked for something else") {
		t.Errorf("a key used for something else: %d %s", code, body)
	}
}

// A stream that is cut again and again goes on behind the last event, without a gap and without a repeat.
func TestAStreamOfEventsResumesWithoutAGap(t *testing.T) {
	t.Parallel()
	s := newAPISite(t, 102, "")
	code, h, body := s.call(t, "POST", "/v1/deploy", s.token, fmt.Sprintf(`{"clipboard": %q}`, lab.Clipboard("loki")))
	if code != http.StatusAccepted || h.Get("Location") != "/v1/runs/1" {
		t.Fatalf("deploy = %d %s", code, body)
	}
	var got []string
	last, over := "", false
	for cuts := 0; !over && cuts < 200; cuts++ {
		ctx, cancel := context.WithCancel(t.Context())
		req := must[*http.Request](t)(http.NewRequestWithContext(ctx, "GET", s.url+"/v1/runs/loki/events", nil))
		req.Header.Set("Authorization", "Bearer "+s.token)
		req.Header.Set("Accept", "text/event-stream")
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		res := must[*http.Response](t)(http.DefaultTransport.RoundTrip(req))
		if res.StatusCode == http.StatusNoContent {
			over = true
		}
		sc := bufio.NewScanner(res.Body)
		for n := 0; sc.Scan(); {
			if id, ok := strings.CutPrefix(sc.Text(), "id: "); ok {
				got, last = append(got, id), id
				if n++; n == 3 {
					break // cut, in the middle of an event
				}
			}
			over = over || sc.Text() == "event: rest"
		}
		cancel()
		_ = res.Body.Close()
	}
	_, _, body = s.call(t, "GET", "/v1/runs/1/events", s.token, "")
	var page struct{ Events []struct{ ID int64 } }
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, ev := range page.Events {
		want = append(want, fmt.Sprint(ev.ID))
	}
	if !over || !slices.Equal(got, want) {
		t.Errorf("over = %v; the stream gave %v, the record has %v", over, got, want)
	}
}

// What the API answers besides: pages, both forms, problems, metrics, a person's own tokens.
func TestTheAPIAnswers(t *testing.T) {
	t.Parallel()
	s := newAPISite(t, 103, "")
	for _, name := range []string{"loki", "thor", "odin"} {
		if code, _, body := s.call(t, "POST", "/v1/deploy", s.token, fmt.Sprintf(`{"clipboard": %q}`, lab.Clipboard(name))); code != http.StatusAccepted {
			t.Fatalf("deploy %s = %d %s", name, code, body)
		}
	}
	for range 600 {
		if _, _, body := s.call(t, "GET", "/v1/runs?state=ready", s.token, ""); strings.Count(body, `"run":`) == 3 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	_, h, first := s.call(t, "GET", "/v1/runs?limit=2", s.token, "")
	next := regexp.MustCompile(`^<(.*)>; rel="next"$`).FindStringSubmatch(h.Get("Link"))
	if next == nil || !strings.Contains(first, `"run":3`) || !strings.Contains(first, `"run":2`) {
		t.Fatalf("the first page: %s %s", h.Get("Link"), first)
	}
	if _, h, second := s.call(t, "GET", next[1], s.token, ""); !strings.Contains(second, `"run":1`) || strings.Contains(second, `"run":2`) || h.Get("Link") != "" {
		t.Errorf("the second page: %s %s", h.Get("Link"), second)
	}
	own := s.newToken(t, "bob", "role", "view", "days", "3")
	for _, c := range []struct {
		method, path, token, body string
		header                    []string
		code                      int
		ctype, want               string
	}{
		{"GET", "/v1/whoami", s.token, "", nil, 200, "application/json", `"name":"alice"`},
		{"GET", "/v1/hosts", s.token, "", []string{"Accept", "application/xml"}, 200, "application/xml", "<host>loki</host>"},
		{"GET", "/v1/hosts/loki/runs", s.token, "", nil, 200, "application/json", `"run":1`},
		{"GET", "/v1/runs/loki", s.token, "", nil, 200, "application/json", `"usual_total"`},
		{"GET", "/v1/runs/loki/clipboard", s.token, "", nil, 200, "application/json", `root_password_hash: !secret •••`},
		{"GET", "/v1/runs/loki/changes", s.token, "", nil, 200, "application/json", `ipaddress: 127.`},
		{"GET", "/v1/runs/loki/log?stage=2", s.token, "", nil, 200, "application/json", `esx:deploy`},
		{"GET", "/v1/status/loki", s.token, "", nil, 200, "application/json", `loki: is ready`},
		{"GET", "/v1/events?from=now", s.token, "", nil, 200, "application/json", `"events":[],"next":`},
		{"GET", "/v1/steps?word=dns", s.token, "", nil, 200, "application/json", `dns:update_host`},
		{"GET", "/v1/pipelines", s.token, "", nil, 200, "application/json", `"redeploy"`},
		{"GET", "/v1/version", s.token, "", nil, 200, "application/json", `jarvis devel`},
		{"POST", "/v1/plan", own, fmt.Sprintf(`{"clipboard": %q}`, lab.Clipboard("hela")), nil, 200, "application/json", `esx:deploy`},
		{"POST", "/v1/commands", s.token, `{"hosts": ["loki", "thor"], "command": ["hostname"]}`, nil, 200, "application/json", `"host":"thor"`},
		{"POST", "/v1/commands", own, `{"hosts": ["loki"], "command": ["hostname"]}`, nil, 403, "application/problem+json", `needs the role \"run\"`},
		{"POST", "/v1/deploy", own, `{"source": "cn=x"}`, nil, 403, "application/problem+json", `"kind":"denied"`},
		{"GET", "/v1/runs/nobody", s.token, "", nil, 404, "application/problem+json", `there is no run or host`},
		{"GET", "/v1/nothing", s.token, "", nil, 404, "", ""},
		{"GET", "/nothing", "", "", nil, 404, "application/problem+json", "/openapi.json lists what there is"},
		{"POST", "/v1/deploy", s.token, `{"clipbord": "x"}`, nil, 400, "application/problem+json", "unexpected property"},
		{"POST", "/v1/deploy", s.token, `{`, nil, 400, "application/problem+json", "is not JSON"},
		{"POST", "/v1/deploy", s.token, ``, nil, 400, "application/problem+json", "is used as"},
		{"POST", "/v1/deploy", s.token, `{"clipboard": "` + strings.Repeat("x", 2<<20) + `"}`, nil, 413, "application/problem+json", "more than 1 MiB"},
		{"POST", "/v1/runs/loki/retry", s.token, ``, []string{"Accept", "application/xml"}, 409, "application/problem+xml", "cannot retry run 1: it is ready"},
		{"POST", "/v1/tokens", s.token, `{"name": "mine", "roles": ["admin"]}`, nil, 403, "application/problem+json", "does not have the role"},
		{"POST", "/v1/tokens", s.token, `{"name": "mine", "roles": ["view", "deploy"], "days": 2}`, nil, 200, "application/json", `"secret":"jarvis_`},
		{"POST", "/v1/tokens", s.token, `{"name": "x", "person": "bob"}`, nil, 403, "application/problem+json", `needs the role \"admin\"`},
		{"POST", "/v1/tokens", own, `{"name": "more", "roles": ["deploy"]}`, nil, 403, "application/problem+json", "does not have the role"},
		{"GET", "/v1/tokens", own, "", nil, 200, "application/json", `"person":"bob"`},
		{"DELETE", "/v1/tokens/1", own, "", nil, 404, "application/problem+json", "you have no token 1"},
		{"DELETE", "/v1/tokens/2", own, "", nil, 200, "application/json", "is revoked"},
		{"GET", "/v1/whoami", own, "", nil, 401, "application/problem+json", "was revoked"},
		{"GET", "/v1/audit", s.token, "", nil, 403, "application/problem+json", `needs the role \"admin\"`},
		{"GET", "/openapi.yaml", "", "", nil, 200, "", "openapi: 3.1"},
		{"GET", "/healthz", "", "", nil, 200, "", "ok"},
		{"GET", "/readyz", "", "", nil, 200, "", "ready"},
		{"GET", "/metrics", "", "", nil, 200, "", `jarvis_runs_ended_total{outcome="ready",pipeline="deploy/esx"} 3`},
		{"GET", "/p/guessed", "", "", nil, 404, "text/plain; charset=utf-8", "not there"},
	} {
		code, h, body := s.call(t, c.method, c.path, c.token, c.body, c.header...)
		if code != c.code || !strings.Contains(body, c.want) || c.ctype != "" && h.Get("Content-Type") != c.ctype {
			t.Errorf("%s %s = %d %s %.300s; want %d %s %s", c.method, c.path, code, h.Get("Content-Type"), body, c.code, c.ctype, c.want)
		}
	}
}

// rest waits until a host's run needs nobody, or somebody.
func (s *apiSite) rest(t *testing.T, host string) {
	t.Helper()
	for range 600 {
		if _, body, _ := jarvis(t, "", "--config", s.conf, "status", host, "--json"); regexp.MustCompile(`"state":"(ready|failed|asking|cancelled|undone)"`).MatchString(body) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not come to rest", host)
}

// settle waits until no run moves.
func (s *apiSite) settle(t *testing.T) {
	t.Helper()
	for range 1200 {
		_, body, _ := jarvis(t, "", "--config", s.conf, "status", "--json") // over the socket, nobody is too fast
		if !regexp.MustCompile(`"state":"(running|waiting|undoing)"`).MatchString(body) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the runs do not come to rest")
}

// stepKeys gives every key that some step reads.
func stepKeys(t *testing.T, s *apiSite) []string {
	t.Helper()
	_, _, body := s.call(t, "GET", "/v1/steps", s.token, "")
	var a struct {
		Data []struct{ Needs []string }
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, st := range a.Data {
		for _, k := range st.Needs {
			keys = append(keys, strings.TrimSuffix(k, "?"))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// open gives the server's database.
func (s *apiSite) open(t *testing.T) *sql.DB {
	t.Helper()
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+filepath.Join(filepath.Dir(s.conf), "data", "jarvis.db")+"?_pragma=busy_timeout(5000)"))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// count asks it for a number.
func (s *apiSite) count(t *testing.T, query string) int {
	t.Helper()
	n := 0
	if err := s.open(t).QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// expire makes a token's time pass.
func (s *apiSite) expire(t *testing.T, secret string) {
	t.Helper()
	h := sha256.Sum256([]byte(secret))
	res, err := s.open(t).ExecContext(t.Context(), "UPDATE tokens SET expires = 1 WHERE hash = ?", hex.EncodeToString(h[:]))
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := res.RowsAffected(); n != 1 {
		t.Fatalf("%d tokens", n)
	}
}

// Over HTTP, exec needs its role, reaches hosts of the record only, and counts.
func TestExecOverTheAPIReachesTheRecordOnly(t *testing.T) {
	t.Parallel()
	s := newAPISite(t, 107, "limit: {burst: 6, interval: 1h}\n")
	elsewhere := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = elsewhere.Close() })
	touched := make(chan struct{}, 100)
	go func() {
		for {
			c, err := elsewhere.Accept()
			if err != nil {
				return
			}
			touched <- struct{}{}
			_ = c.Close()
		}
	}()
	body := fmt.Sprintf(`{"hosts": [{"name": "there", "addr": %q, "user": "root", "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO"]}], "line": "true"}`, elsewhere.Addr())
	if code, _, said := s.call(t, "POST", "/v1/exec", s.newToken(t, "bob"), body); code != http.StatusForbidden || !strings.Contains(said, "needs the role") {
		t.Errorf("without the role: %d %s", code, said)
	}
	if code, _, said := s.call(t, "POST", "/v1/exec", s.token, body); code != http.StatusNotFound || !strings.Contains(said, "there is no host there on record") {
		t.Errorf("an address: %d %s", code, said)
	}
	if code, _, said := s.call(t, "POST", "/v1/exec", s.token, "rubbish"); code != http.StatusBadRequest {
		t.Errorf("rubbish: %d %s", code, said)
	}
	limited := false
	for range 10 {
		code, _, _ := s.call(t, "POST", "/v1/exec", s.token, body)
		limited = limited || code == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("nothing limits it")
	}
	select {
	case <-touched:
		t.Error("the server went to an address that somebody named")
	default:
	}
	// Of who is refused before anything is read, the record does not know the hosts.
	if n := s.count(t, "SELECT count(*) FROM audit WHERE line = 'exec' OR line LIKE 'exec there%'"); n != 13 {
		t.Errorf("%d of 13 are on record", n)
	}
}
