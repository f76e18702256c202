// Package monitor is the worker that keeps monitoring quiet while a host is being redeployed: a downtime in Icinga 2
// (https://icinga.com/docs/icinga-2/latest/doc/12-icinga2-api/), a silence in Alertmanager
// (https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml), or both.
//
//	monitor:suppress ── comment "jarvis-…: redeploy of loki" ──► downtime, silence     found again by the run's token
//	monitor:resume, Undo ──────────────────────────────────────► removed
//
// Each has an end of its own, so that a run which stays failed for long does not keep a host quiet for ever.
package monitor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/cafile"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of the worker.
type Config struct {
	Icinga       Icinga        `yaml:"icinga" doc:"Icinga 2"`
	Alertmanager Alertmanager  `yaml:"alertmanager" doc:"Prometheus Alertmanager"`
	Host         string        `yaml:"host" doc:"the name by which monitoring knows a host; HOSTNAME and FQDN are replaced. HOSTNAME only where no two domains share a short name" default:"FQDN"`
	Longest      time.Duration `yaml:"longest" doc:"monitoring wakes up by itself after so long" default:"4h"`
}

// Icinga says where its API is.
type Icinga struct {
	URL      string           `yaml:"url" doc:"as in https://icinga.example.org:5665"`
	User     string           `yaml:"user" doc:"ApiUser with the permissions actions/schedule-downtime, actions/remove-downtime, objects/query/Host, objects/query/Downtime and, from Icinga 2.16.2 on, filter-expression"`
	Password clipboard.Secret `yaml:"password" doc:"of user"`
	CA       string           `yaml:"ca" path:"relative" doc:"file of the CA that signed its certificate; empty: the system's"`
}

// Alertmanager says where its API is.
type Alertmanager struct {
	URL   string           `yaml:"url" doc:"as in https://alerts.example.org"`
	User  string           `yaml:"user" doc:"for basic authentication; empty: none"`
	Pass  clipboard.Secret `yaml:"password" doc:"of user"`
	CA    string           `yaml:"ca" path:"relative" doc:"file of the CA that signed its certificate; empty: the system's"`
	Label string           `yaml:"label" doc:"label that names the host in alerts, by name or as name:port" default:"instance"`
}

// Worker offers the steps.
type Worker struct {
	cfg   Config
	quiet []quieter
}

// quieter is one monitoring system.
type quieter interface {
	// Suppress keeps the host quiet until end under the run's mark; it gives what it found or made.
	Suppress(ctx context.Context, in clipboard.Instance, m mark, end time.Time) (said string, changed bool, err error)
	// Resume removes what is ours of the host, also what an earlier run left.
	Resume(ctx context.Context, in clipboard.Instance, m mark) (said string, changed bool, err error)
	// Left names what is ours of the host and keeps it quiet; "" when nothing does. It only reads.
	Left(ctx context.Context, in clipboard.Instance, m mark) (what string, err error)
	// probe reads what the others will read, and gives the server's name.
	probe(ctx context.Context) (name string, err error)
}

// named gives the name by which monitoring knows the host.
func named(pattern string, in clipboard.Instance) string {
	return strings.NewReplacer("HOSTNAME", in.Hostname, "FQDN", in.FQDN).Replace(pattern)
}

// mark is what the comments of our downtimes and silences carry: the token of the run, and the installation that made
// it.
type mark struct{ token, install string }

// markOf has a mark also for what is called by hand, without a run: always the same, so that a later call finds it.
func markOf(ctx context.Context) mark {
	f := pipeline.FactsOf(ctx)
	m := mark{token: f.Token}
	if install, _, ok := strings.Cut(f.Owner, ":"); ok {
		m.install = install
	}
	if m.token == "" {
		m.token = "jarvis-by-hand"
	}
	return m
}

// end is how the comments about a host end, whichever run of ours made them.
func end(in clipboard.Instance) string { return ": " + in.FQDN + " is being redeployed" }

// comment is that of a downtime or silence of this run.
func (m mark) comment(in clipboard.Instance) string { return m.token + end(in) }

// ours reports whether a comment is of this run, or of another run of this installation about the host.
func (m mark) ours(comment string, in clipboard.Instance) bool {
	return comment == m.comment(in) || m.install != "" && strings.HasPrefix(comment, m.install+"-") && strings.HasSuffix(comment, end(in))
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	if cfg.Longest == 0 {
		cfg.Longest = 4 * time.Hour
	}
	if cfg.Host == "" {
		cfg.Host = "FQDN"
	}
	w := &Worker{cfg: cfg}
	var wrong mistake.List
	if !strings.Contains(cfg.Host, "FQDN") && !strings.Contains(cfg.Host, "HOSTNAME") {
		wrong.At("workers.monitor.host", "is %q, one name for all hosts; write FQDN or HOSTNAME where a host's own name belongs", cfg.Host)
	}
	if cfg.Icinga.URL != "" {
		c, err := newClient("workers.monitor.icinga", cfg.Icinga.URL, cfg.Icinga.User, cfg.Icinga.Password, cfg.Icinga.CA)
		wrong.Add(err)
		w.quiet = append(w.quiet, icinga{c, cfg.Host})
	}
	if cfg.Alertmanager.URL != "" {
		c, err := newClient("workers.monitor.alertmanager", cfg.Alertmanager.URL, cfg.Alertmanager.User, cfg.Alertmanager.Pass, cfg.Alertmanager.CA)
		wrong.Add(err)
		label := cfg.Alertmanager.Label
		if label == "" {
			label = "instance"
		}
		w.quiet = append(w.quiet, alertmanager{c, cfg.Host, label})
	}
	if len(w.quiet) == 0 {
		wrong.At("workers.monitor", "names neither icinga.url nor alertmanager.url")
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	return w, nil
}

// Steps lists what the worker offers.
func (w *Worker) Steps() []pipeline.Step { return []pipeline.Step{w.suppress(), w.resume()} }

// client speaks JSON over HTTP with one server.
type client struct {
	name, base, user string
	password         clipboard.Secret
	http             *http.Client
}

// newClient refuses to send a password in clear to another machine.
func newClient(key, base, user string, password clipboard.Secret, ca string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, mistake.At(key+".url", "is %q; it must be like https://host:port", base)
	}
	if u.Scheme == "http" && password != "" && !loopback.Is(u.Hostname()) {
		return nil, mistake.At(key+".url", "would send its password in clear: use https")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	pool, err := cafile.Pool(key+".ca", ca)
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &client{name: u.Host, base: strings.TrimSuffix(base, "/"), user: user, password: password, http: &http.Client{Transport: t, Timeout: 20 * time.Second}}, nil
}

// asGET is a POST that means GET.
const asGET = "POST as GET"

// call makes one request. What no retry can cure is marked so; status is there for refusals that mean something. A 404
// is an error too: it may mean that something is gone, or that the URL is wrong, and only who calls can tell. out is
// filled in of refusals as well, where they have its form.
func (c *client) call(ctx context.Context, method, path string, in, out any) (status int, err error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(b)
	}
	override := ""
	if method == asGET {
		method, override = http.MethodPost, http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return 0, err
	}
	if override != "" {
		req.Header.Set("X-HTTP-Method-Override", override)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	if c.user != "" {
		req.SetBasicAuth(c.user, string(c.password))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var uerr *url.Error
		if errors.As(err, &uerr) {
			err = uerr.Err
		}
		var unknown x509.UnknownAuthorityError
		if errors.As(err, &unknown) {
			return 0, pipeline.Permanentf("the certificate of %s is not signed by a CA we know; set `ca`", c.name)
		}
		return 0, fmt.Errorf("%s does not answer: %w", c.name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return resp.StatusCode, fmt.Errorf("read the answer of %s: %w", c.name, err)
	}
	if out != nil && resp.StatusCode >= 400 {
		_ = json.Unmarshal(b, out)
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return resp.StatusCode, pipeline.Permanentf("%s refuses the user %q (%s)", c.name, c.user, resp.Status)
	case resp.StatusCode == http.StatusNotFound:
		return resp.StatusCode, pipeline.Permanentf("%s has no %s (%s): is its url in workers.monitor right?", c.name, path, resp.Status)
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return resp.StatusCode, fmt.Errorf("%s says %s", c.name, resp.Status)
	case resp.StatusCode >= 400:
		return resp.StatusCode, pipeline.Permanentf("%s refused: %s: %s", c.name, resp.Status, plain.Clip(plain.Joined(string(b)), 200))
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			return resp.StatusCode, fmt.Errorf("the answer of %s is not what its API says: %w", c.name, err)
		}
	}
	return resp.StatusCode, nil
}
