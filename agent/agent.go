package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"
	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/cafile"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config is the part of jarvis.yaml by which `jarvis agent` finds its server. It uses `workers`, `data`, `log` and
// `drain` as well.
type Config struct {
	Servers Servers          `yaml:"server" doc:"address of the HTTP API of a server, as in https://jarvis.example.org, or a list with that of each; the agent keeps a line to each of them"`
	Token   clipboard.Secret `yaml:"token" doc:"an agent's token, made by jarvis token new NAME silo SILO; as in ${JARVIS_AGENT_TOKEN}"`
	Silo    string           `yaml:"silo" doc:"the silo in which this agent stands, as the server's configuration names it"`
	Name    string           `yaml:"name" doc:"what people call this agent; one word" default:"this machine's host name"`
	CA      string           `yaml:"ca" path:"relative" check:"file" doc:"file with the certificates by which the servers prove themselves, PEM; empty: those of this machine"`
	Dial    []string         `yaml:"dial" doc:"what the servers may reach through this agent, for SSH and checks of hosts: networks and ports, as in 10.0.0.0/8:22; empty: nothing"`
}

// Servers are addresses of servers: one, or a list of several.
type Servers []string

// UnmarshalYAML reads either form.
func (s *Servers) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*s = Servers{n.Value}
		return nil
	}
	var list []string
	if err := n.Decode(&list); err != nil {
		return errors.New("must be an address, or a list of addresses")
	}
	*s = list
	return nil
}

// TextOrList tells the configuration's reference what may stand there.
func (Servers) TextOrList() {}

// Check says what is wrong with it; nil for the zero value.
func (c Config) Check() error {
	var wrong mistake.List
	if len(c.Servers) == 0 && c.Token == "" && c.Silo == "" {
		return nil
	}
	if len(c.Servers) == 0 {
		wrong.At("agent.server", "is missing; name the HTTP API of each server, as in [https://jarvis.example.org]")
	}
	known := map[string]bool{}
	for _, s := range c.Servers {
		switch to, err := lineOf(s); {
		case err != nil:
			wrong.At("agent.server", "%v", err)
		case known[to]:
			wrong.At("agent.server", "has %q twice", s)
		default:
			known[to] = true
		}
	}
	if c.Silo == "" {
		wrong.At("agent.silo", "is missing; name the silo in which this agent stands")
	}
	if _, err := parseAllowed(c.Dial); err != nil {
		wrong.At("agent.dial", "%v", err)
	}
	return wrong.Err()
}

// lineOf gives the address of the line to a server. Without TLS everybody on the way could read the token, so only this
// machine is let.
func lineOf(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("has %q; it must be like https://jarvis.example.org", server)
	}
	if u.Scheme == "http" && !loopback.Is(u.Hostname()) {
		return "", fmt.Errorf("has %q, beyond this machine, and without TLS everybody on the way could read the token; use https://", server)
	}
	return u.JoinPath(Path).String(), nil
}

// Options of an Agent. Steps must be set.
type Options struct {
	Config
	ID      string // of this agent, for ever
	Steps   []pipeline.Step
	Dir     string // for outcomes; "": they are in memory alone
	Version string
	Log     *slog.Logger
	// Drain is how long Close waits for steps whose resume is ask.
	Drain time.Duration
	// Conceal hides what must not leave this machine in a text; nil: nothing.
	Conceal func(string) string
	// Connected is called when a server, which has this version, has taken a line; nil: nobody wants to know.
	Connected func(server, version string)
}

// Agent does the steps of a silo. Line is one connection; between two of them the calls in hand go on. There may be
// lines to several servers at once: who asked last for a call is whom it is told.
type Agent struct {
	Options
	allowed allowed
	tls     *tls.Config
	seal    atomic.Pointer[string] // age1…: to whom outcomes are sealed
	steps   map[string]pipeline.Step
	boot    string

	mu       sync.Mutex
	works    map[string]*work // by number
	controls map[*link]bool   // of the lines that there are
	stopped  bool
	wg       guard.Group
}

// New makes an agent, and reads what an earlier process of it left.
func New(o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Conceal == nil {
		o.Conceal = func(s string) string { return s }
	}
	a := &Agent{Options: o, boot: rand.Text(), works: map[string]*work{}, controls: map[*link]bool{}, steps: map[string]pipeline.Step{}, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	var err error
	if a.allowed, err = parseAllowed(o.Dial); err != nil {
		return nil, err
	}
	if a.tls.RootCAs, err = cafile.Pool("agent.ca", o.CA); err != nil {
		return nil, err
	}
	for _, s := range o.Steps {
		a.steps[s.Name] = s
	}
	return a, a.recall()
}

// RefusedError is why a server does not take the agent, in words for people.
type RefusedError struct{ Why string }

// Error implements error.
func (e *RefusedError) Error() string { return e.Why }

// dialTime bounds connect, TLS, upgrade and greeting.
const dialTime = 20 * time.Second

// open dials, and greets.
func (a *Agent) open(ctx context.Context, server string, passing bool) (*yamux.Session, *link, *welcome, error) {
	to, err := lineOf(server)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("agent.server %w", err)
	}
	early, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: a.tls.Clone(), TLSHandshakeTimeout: dialTime},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ws, res, err := websocket.Dial(early, to, &websocket.DialOptions{HTTPClient: client, CompressionMode: websocket.CompressionDisabled,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + string(a.Token)}}})
	if err != nil {
		err = dialError(server, a.Version, res, err)
		client.CloseIdleConnections() // each dial has a client of its own
		return nil, nil, nil, err
	}
	session, err := yamux.Client(websocket.NetConn(context.WithoutCancel(ctx), ws, websocket.MessageBinary), muxConfig()) // a goodbye is said after ctx has ended
	if err != nil {
		_ = ws.CloseNow()
		return nil, nil, nil, err
	}
	fail := func(err error) (*yamux.Session, *link, *welcome, error) {
		_ = session.Close()
		return nil, nil, nil, err
	}
	s, err := session.OpenStream()
	if err != nil {
		return fail(err)
	}
	control := newLink(s)
	if err := control.send(frame{Hello: a.hello(passing)}); err != nil {
		return fail(err)
	}
	f, err := control.receiveWithin(dialTime)
	switch {
	case err != nil:
		return fail(fmt.Errorf("%s did not answer the greeting: %w", server, err))
	case f.Welcome == nil:
		return fail(fmt.Errorf("%s did not answer the greeting in words that I know", server))
	case f.Welcome.Refused != "":
		return fail(&RefusedError{server + " refuses: " + plain.Line(f.Welcome.Refused)})
	}
	return session, control, f.Welcome, nil
}

// dialError puts into one sentence why there is no line.
func dialError(server, version string, res *http.Response, err error) error {
	if res == nil || res.StatusCode == http.StatusSwitchingProtocols {
		var unknown x509.UnknownAuthorityError
		var host x509.HostnameError
		switch {
		case errors.As(err, &unknown):
			return fmt.Errorf("%s proves itself by a certificate of nobody known here; agent.ca names a file with its authority", server)
		case errors.As(err, &host):
			return fmt.Errorf("the certificate of %s is for another name", server)
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op
		}
		return fmt.Errorf("%s cannot be reached: %s", server, plain.Line(err.Error()))
	}
	said, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	_ = res.Body.Close()
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &RefusedError{fmt.Sprintf("%s does not take the token: %s", server, problemDetail(said))}
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return &RefusedError{fmt.Sprintf("%s answers, and knows of no agents: it is older than this agent (%s), or another program", server, version)}
	}
	return fmt.Errorf("%s answers %s: %s", server, res.Status, problemDetail(said))
}

// hello tells what the agent offers and which calls it has in hand. What only reads is left out: nobody has to wait for
// its end.
func (a *Agent) hello(passing bool) *hello {
	hi := &hello{Protocol: Protocol, Version: a.Version, ID: a.ID, Boot: a.boot, Name: a.Name, Silo: a.Silo, Passing: passing}
	for _, s := range a.Steps {
		o := offered{Name: s.Name, Aliases: s.Aliases, Doc: s.Doc, Needs: s.Needs, Gives: s.Gives, Timeout: s.Timeout, Silence: s.Silence, Resume: s.Resume.String(), Has: []string{string(fnDo)}}
		for fn, has := range map[function]bool{fnUndo: s.Undo != nil, fnRelease: s.Release != nil, fnCheck: s.Check != nil, fnPlan: s.Plan != nil, fnDrift: s.Drift != nil} {
			if has {
				o.Has = append(o.Has, string(fn))
			}
		}
		hi.Steps = append(hi.Steps, o.sorted())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.works {
		if !w.call.reads() {
			hi.Holds = append(hi.Holds, held{w.call.ID, w.call.callKey})
		}
	}
	return hi
}

// Taken is what a server says that would take the agent.
type Taken struct {
	Version string
	Expires time.Time // of the token
	Left    []string  // steps that it would not ask for: their modules are not the silo's
}

// Try says whether a server would take the agent.
func (a *Agent) Try(ctx context.Context, server string) (Taken, error) {
	session, _, w, err := a.open(ctx, server, true)
	if err != nil {
		return Taken{}, err
	}
	t := Taken{Version: short(w.Version), Expires: w.Expires}
	for _, s := range w.Left {
		t.Left = append(t.Left, short(s))
	}
	return t, session.Close()
}

// Line is one connection with a server, from dial to loss. A *RefusedError when the server does not want it.
func (a *Agent) Line(ctx context.Context, server string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session, control, w, err := a.open(ctx, server, false)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	if err := a.sealTo(server, w.Seal); err != nil {
		return err
	}
	for _, id := range w.Forget {
		a.forget(id)
	}
	if !w.Expires.IsZero() && time.Until(w.Expires) < 14*24*time.Hour {
		a.Log.Warn("the token of this agent ends soon; make a new one", "at", plain.Time(w.Expires))
	}
	a.mu.Lock()
	a.controls[control] = true
	stopped := a.stopped
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.controls, control)
		a.mu.Unlock()
	}()
	if stopped {
		_ = control.send(frame{Stopping: true})
	}
	if a.Connected != nil {
		a.Connected(server, short(w.Version))
	}
	bye := context.AfterFunc(ctx, guard.Func(guard.Count, func() {
		_ = control.send(frame{Bye: "it was told to"})
		_ = session.Close()
	}))
	defer bye()
	var streams guard.Group
	defer streams.Wait()
	defer func() { _ = session.Close() }()
	for {
		s, err := session.AcceptStream()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the line to %s was cut", server)
		}
		streams.Go(guard.Log(a.Log, "answer the server"), func() {
			defer func() { _ = s.Close() }()
			a.stream(ctx, newLink(s))
		})
	}
}

// sealTo takes the key of a server. Servers with other keys are another Jarvis: each would find outcomes that it cannot
// read, and runs under numbers of the other.
func (a *Agent) sealTo(server, key string) error {
	if key == "" || len(a.Servers) < 2 {
		if key != "" {
			a.seal.Store(&key)
		}
		return nil
	}
	if !a.seal.CompareAndSwap(nil, &key) && *a.seal.Load() != key {
		return &RefusedError{server + " seals with another key than the others of agent.server, so it is no server of the same Jarvis; take it out of the list"}
	}
	return nil
}

// stream does what the server wants on one stream.
func (a *Agent) stream(ctx context.Context, l *link) {
	f, err := l.receiveWithin(helloTime)
	switch {
	case err != nil:
	case f.Call != nil:
		a.called(l, f.Call)
	case f.Stop != nil:
		a.stop(ctx, f.Stop)
		_ = l.send(frame{Stopped: true})
	case f.Dial != "":
		a.dial(ctx, l, f.Dial)
	}
}
