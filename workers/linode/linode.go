// Package linode is the worker for Linode (Akamai): the steps that every provider has, over Linode's API v4
// (https://techdocs.akamai.com/linode-api/reference/api).
//
//	provider.Steps ── calls.go ── linodego, one attempt per call ──► api.linode.com
//	                     └─ words.go: "Debian 12", "Atlanta", 512 ──► linode/debian12, us-southeast, g6-nanode-1
//
// A machine's label is the host's full name, which Linode keeps unique in an account; so two creates of one host make
// one machine. Its tag is the run's token. linodego's own retries are off: they would sleep inside a step.
package linode

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/linode/linodego"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// Config of the worker.
type Config struct {
	Account  string           `yaml:"account" doc:"name by which a clipboard's account chooses this entry, when there are several"`
	Token    clipboard.Secret `yaml:"token" doc:"personal access token, with read/write for Linodes and read-only for the rest"`
	URL      string           `yaml:"url" doc:"the API; empty: https://api.linode.com/v4"`
	Region   string           `yaml:"region" doc:"datacenter when the clipboard names none, as in Atlanta or us-southeast"`
	Kernel   string           `yaml:"kernel" doc:"what linode:set_kernel sets; linode/grub2 boots the kernel that is installed on the machine" default:"linode/grub2"`
	Defaults provider.Wish    `yaml:"defaults" doc:"what machines are like when the clipboard does not say it, in its words"`
}

// Worker offers the steps.
type Worker struct {
	cfg    Config
	client linodego.Client
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	var wrong mistake.List
	if cfg.Token == "" {
		wrong.At("workers.linode.token", "is empty; make one at cloud.linode.com/profile/tokens")
	}
	if cfg.Kernel == "" {
		cfg.Kernel = "linode/grub2"
	}
	if cfg.URL == "" {
		cfg.URL = "https://api.linode.com/v4"
	}
	if u, err := url.Parse(cfg.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		wrong.At("workers.linode.url", "is %q; it must be like https://api.linode.com/v4", cfg.URL)
	} else if u.Scheme == "http" && !loopback.Is(u.Hostname()) {
		wrong.At("workers.linode.url", "would send the token in clear: use https")
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, client: linodego.NewClient(&http.Client{Transport: throttled{http.DefaultTransport}})}
	w.client.SetToken(string(cfg.Token)).SetRetryCount(0).SetUserAgent("jarvis")
	if _, err := w.client.UseURL(cfg.URL); err != nil {
		return nil, mistake.At("workers.linode.url", "is %q; it must be like https://api.linode.com/v4", cfg.URL)
	}
	return w, w.Calls().CheckDefaults()
}

// Steps lists what the worker offers. host reaches the machines over SSH.
func (w *Worker) Steps(host provider.Host) []pipeline.Step { return provider.Steps(w.Calls(), host) }

// Close ends nothing: there is no session.
func (w *Worker) Close() {}

// callTimeout bounds one call.
const callTimeout = 30 * time.Second

type slowKey struct{}

// throttled notes how long the API asks us to wait: linodego's errors do not tell.
type throttled struct{ http.RoundTripper }

func (t throttled) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return resp, err
	}
	_ = resp.Body.Close()
	// Both headers count seconds: Retry-After (RFC 9110 §10.2.3) from now, X-RateLimit-Reset since 1970.
	d := 10 * time.Second
	if said, ok := plain.RetryAfter(resp.Header.Get("Retry-After")); ok {
		d = said
	} else if n, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil {
		d = time.Until(time.Unix(n, 0))
	}
	if slow, ok := r.Context().Value(slowKey{}).(*time.Duration); ok {
		*slow = min(max(d, 100*time.Millisecond), 10*time.Minute)
	}
	return nil, errors.New(resp.Status)
}

// call makes one attempt and puts what went wrong into words.
func (w *Worker) call(ctx context.Context, what string, f func(context.Context) error) error {
	var slow time.Duration
	one, cancel := context.WithTimeout(context.WithValue(ctx, slowKey{}, &slow), callTimeout)
	defer cancel()
	err := f(one)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case slow > 0:
		return pipeline.Wait(slow, fmt.Sprintf("Linode asks us to slow down, for %s", slow.Round(time.Second)))
	}
	code, msg := 0, err.Error()
	var p *linodego.Error
	var v linodego.Error
	if errors.As(err, &p) {
		code, msg = p.Code, p.Message
	} else if errors.As(err, &v) {
		code, msg = v.Code, v.Message
	}
	msg = strings.TrimSuffix(msg, ".")
	switch {
	case code == http.StatusNotFound:
		return provider.ErrGone
	case code == http.StatusUnauthorized:
		return pipeline.Permanentf("%s: Linode does not take the token; make a new one and set workers.linode.token", what)
	case code == http.StatusForbidden:
		return pipeline.Permanentf("%s: the token has no right to (%s)", what, msg)
	case code == http.StatusBadRequest && strings.Contains(msg, "[label]") && strings.Contains(msg, "unique"):
		return provider.ErrTaken
	case code == http.StatusBadRequest && (strings.Contains(msg, "Linode busy") || strings.Contains(msg, "capacity")):
		return fmt.Errorf("%s: %s", what, msg) // by itself it gets better
	case code >= 400 && code < 500 && code != http.StatusRequestTimeout:
		return pipeline.Permanentf("%s: Linode refused: %s", what, msg)
	}
	return fmt.Errorf("%s: %s", what, msg)
}
