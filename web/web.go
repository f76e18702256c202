// Package web is the way in for programs: the same verbs as in chat, over HTTP. The command line is one of its clients.
//
//	DATA/run/jarvis.sock   who asks is told by the kernel (SO_PEERCRED)
//	listen                 who asks is told by a bearer token (RFC 6750)
//
//	request ──► person ──► operation made of a verb's API ──► command.Table ──► Answer, as JSON or XML
//	                  └──► reads beside the verbs: runs by pages, one run, its events (JSON, or server-sent)
//	                  └──► /v1/exec, /v1/files ──► fleet.Work over the Pool ──► frames: a JSON value a line (frames.go)
//	/openapi.json, /openapi.yaml describe it; /metrics, /healthz and /readyz are for machines; /p/KEY is a long answer
//
// Of the output of commands nothing is kept. The audit record has a row when they begin and one when they end; the
// table audit_open holds what has not ended, so that another server can write the end.
//
// Errors are application/problem+json (RFC 9457). A rule about who may do what, or what an answer says, is not here:
// it is in the verb. Run owns all goroutines and ends them before it returns.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// HTTP is the part of jarvis.yaml about the API, beside `listen`.
type HTTP struct {
	URL   string `yaml:"url" doc:"address at which people reach the pages and the API, as in https://jarvis.example.org; a path after it is that of a proxy. Long answers in chat then link to a page"`
	TLS   TLS    `yaml:"tls" doc:"encrypt what listen serves"`
	Plain bool   `yaml:"plain" doc:"listen beyond this machine without TLS: only behind a proxy that encrypts"`

	TrustedProxies []string `yaml:"trusted_proxies" doc:"addresses or networks (10.0.0.0/8) of the proxies before listen: what they write into X-Forwarded-For or Forwarded says who asks; empty: those headers are ignored"`

	OIDC *access.OIDC `yaml:"oidc" doc:"sign-in to the pages by the company's login: a provider of OpenID Connect (docs/howto/pages.md)"`
}

// TLS names a certificate.
type TLS struct {
	Cert string `yaml:"cert" path:"relative" check:"file" doc:"file with the certificate and its chain, PEM"`
	Key  string `yaml:"key" path:"relative" check:"file" doc:"file with its key, PEM"`
}

// Config of a Server. Table, Engine and Access must be set.
type Config struct {
	Socket  Socket // without a path: none
	Listen  string // host:port; "": none
	HTTP    HTTP
	Table   *command.Table
	Engine  *pipeline.Engine
	Access  *access.Access
	Limiter *access.Limiter
	Metrics *Metrics // nil: none are served
	Pages   *Pages   // nil: none are served
	// Hosts and Pool are for POST /v1/exec; nil: there is none.
	Hosts  func(context.Context, []ExecHost) ([]fleet.Host, error)
	Pool   *remote.Pool
	Checks *checks.Monitor // for Alf's clients, and for Prometheus; nil: neither is served
	// Reload reads the configuration again; nil: it cannot be.
	Reload  func(context.Context) (Reloaded, error)
	Hook    http.Handler // of /hooks/git; nil: there is none
	Agents  Agents       // nil: no agent is let in
	Site    Site         // the pages; nil: there are none
	Version string
	Log     *slog.Logger
	// Healthy says within a second whether the database takes writes; nil: /readyz asks for nothing.
	Healthy  func(context.Context) error
	Listened func(addr string) // told the address when it is served: with port 0 nobody else knows
}

// Server serves the socket and the address.
type Server struct {
	Config
	handler  http.Handler
	proxies  proxies
	patterns []string // that are served

	failures *failures
	kept     *budget
	requests *seats // by person
	streams  *seats // by person
	hooks    *seats // by place
	pages    *seats // by place
}

// New checks the configuration; Run serves.
func New(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Limiter == nil {
		c.Limiter = access.NewLimiter(access.LimitConfig{})
	}
	trusted, err := parseProxies(c.HTTP.TrustedProxies)
	if err := errors.Join(c.HTTP.check(c.Listen), err); err != nil {
		return nil, err
	}
	s := &Server{Config: c, proxies: trusted, kept: newBudget(keptBytes, keptEach), requests: newSeats(0, personRequests), streams: newSeats(0, personStreams),
		hooks: newSeats(hookRequests, hookEach), pages: newSeats(pageRequests, pageEach)}
	s.failures = newFailures(func(r access.Record) { s.Table.Record(context.Background(), r) })
	s.handler = s.routes()
	return s, nil
}

// check refuses to send tokens in clear over a network.
func (h HTTP) check(listen string) error {
	var wrong mistake.List
	if (h.TLS.Cert == "") != (h.TLS.Key == "") {
		wrong.At("http.tls", "needs both cert and key")
	}
	if h.URL != "" {
		if u, err := url.Parse(h.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			wrong.At("http.url", "is %q; it must be like https://jarvis.example.org", h.URL)
		}
	}
	if h.OIDC != nil {
		wrong.Add(h.OIDC.Check(h.URL))
	}
	if listen == "" {
		return wrong.Err()
	}
	host, port, err := net.SplitHostPort(listen)
	if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil {
		wrong.At("listen", "is %q; it must be host:port, as in 127.0.0.1:8080", listen)
		return wrong.Err()
	}
	if !loopback.Is(host) && h.TLS.Cert == "" && !h.Plain {
		wrong.At("listen", "is %q, beyond this machine, and without TLS everybody on the way could read the tokens; set http.tls, or http.plain: true behind a proxy that encrypts", listen)
	}
	return wrong.Err()
}

// Run serves until ctx ends, then lets answers under way finish for a moment.
func (s *Server) Run(ctx context.Context) error {
	var listeners []net.Listener
	if s.Socket.Path != "" {
		l, err := s.Socket.listen()
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
	}
	if s.Listen != "" {
		l, err := s.listenTCP(ctx)
		if err != nil {
			for _, l := range listeners {
				_ = l.Close()
			}
			return err
		}
		listeners = append(listeners, l)
		if s.Listened != nil {
			s.Listened(l.Addr().String())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Without a ReadTimeout: intake gives each body its time. ReadHeaderTimeout bounds the handshake of TLS as well.
	srv := &http.Server{Handler: s.guard(s.handler), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, HTTP2: http2Bounds(),
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // what clients do wrong
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return withGuest(withPeer(ctx, c), c) }}
	counted := make(chan struct{})
	guard.Go(guard.Log(s.Log, "count failed tokens"), func() { defer close(counted); s.failures.run(ctx) })
	done := make(chan error, len(listeners))
	for _, l := range listeners {
		guard.Send(done, func() error { return srv.Serve(l) })
	}
	var err error
	ended := 0
	select {
	case err = <-done:
		ended++
	case <-ctx.Done():
	}
	cancel() // streams end with it
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer stop()
	if srv.Shutdown(end) != nil {
		_ = srv.Close()
	}
	for ; ended < len(listeners); ended++ {
		<-done
	}
	<-counted
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}

// http2Bounds are what one connection may make us hold: buffers of what no handler has read, and handlers.
func http2Bounds() *http.HTTP2Config {
	return &http.HTTP2Config{MaxConcurrentStreams: personRequests, MaxReadFrameSize: 16 << 10, MaxDecoderHeaderTableSize: 4 << 10,
		MaxReceiveBufferPerConnection: 128 << 10, MaxReceiveBufferPerStream: 64 << 10, WriteByteTimeout: writeWithin}
}

// listenTCP bounds the connections before TLS. A certificate that cannot be read is found here, and not at the first
// client.
func (s *Server) listenTCP(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.Listen)
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return nil, fmt.Errorf("somebody else serves %s already; choose another address for `listen`, or \"\" for none", s.Listen)
		}
		return nil, fmt.Errorf("listen: %w", err)
	}
	l = newDoor(l, s.proxies.trusts)
	if s.HTTP.TLS.Cert == "" {
		return l, nil
	}
	certs := &certificate{files: s.HTTP.TLS, log: s.Log}
	if _, err := certs.get(); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("http.tls: %w", err)
	}
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certs.get() }}), nil
}

// certificate is read again when its file is another, so that a renewed one counts without a restart, and a handshake
// costs a stranger more than it costs us.
type certificate struct {
	files TLS
	log   *slog.Logger

	mu     sync.Mutex
	cert   *tls.Certificate // the last pair that was whole
	of     [2]time.Time
	failed bool // to read what is there now, and the log has it
}

// get looks at both files at each handshake. While a new pair is not whole, as one file is written after the other, the
// last one holds. It fails where there was none.
func (c *certificate) get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.read()
	switch {
	case err != nil && c.cert == nil:
		return nil, err
	case err != nil && !c.failed:
		c.log.Warn("the certificate of the API cannot be read; the last one is served on", "cert", c.files.Cert, "key", c.files.Key, "err", err)
	case err == nil && c.failed:
		c.log.Info("the certificate of the API is read again", "cert", c.files.Cert)
	}
	c.failed = err != nil
	return c.cert, nil
}

// read takes the pair when it is another. c.mu is held.
func (c *certificate) read() error {
	var of [2]time.Time
	for i, f := range []string{c.files.Cert, c.files.Key} {
		st, err := os.Stat(f)
		if err != nil {
			return err
		}
		of[i] = st.ModTime()
	}
	if c.cert == nil || of != c.of {
		cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
		if err != nil {
			return err
		}
		c.cert, c.of = &cert, of
	}
	return nil
}
