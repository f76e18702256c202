package converge

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// message is a line of the protocol between a program and whoever has the connection to the host, one JSON object each:
//
//	program:  {"id":1,"sh":"…"}   {"log":"…"}   {"report":{…}}
//	driver:   {"host":{"name":"loki","groups":["web"],"props":{…}}}   {"id":1,"stdout":"…","stderr":"…","exit":0,"error":"…"}
//
// A driver that only wants to know what is missing says "look" in place of "host". A program that was built before
// there was that word finds no host, and ends: it never takes a look for an order.
type message struct {
	ID     int         `json:"id,omitempty"`
	Sh     string      `json:"sh,omitempty"`
	Stdout string      `json:"stdout,omitempty"`
	Stderr string      `json:"stderr,omitempty"`
	Exit   int         `json:"exit,omitempty"`
	Error  string      `json:"error,omitempty"`
	Log    string      `json:"log,omitempty"`
	Host   *hostFacts  `json:"host,omitempty"`
	Look   *hostFacts  `json:"look,omitempty"`
	Report *HostReport `json:"report,omitempty"`
}

type hostFacts struct {
	Name   string            `json:"name"`
	Groups []string          `json:"groups,omitempty"`
	Props  map[string]string `json:"props,omitempty"`
	Values map[string]any    `json:"values,omitempty"` // what is no text; a program that was built before there was that does not see it
	// Secrets are the properties that are one.
	Secrets map[string]string `json:"secrets,omitempty"`
}

// factsOf gives what a program is told of a host. Secrets go in a field of their own: as values they would be masked.
func factsOf(t Target) (*hostFacts, error) {
	f := &hostFacts{Name: t.Name, Groups: t.Groups, Props: map[string]string{}, Values: map[string]any{}, Secrets: map[string]string{}}
	for k, v := range t.Props {
		switch v := v.(type) {
		case string:
			f.Props[k] = v
		case Secret:
			f.Secrets[k] = string(v)
		default:
			inner := false
			if reveal(v, func(string) { inner = true }); inner { // as JSON it would be •••
				return nil, fmt.Errorf("the property %q of %s has a secret within it, which a program cannot be told; make that a property of its own", k, t.Name)
			}
			f.Values[k] = v
		}
	}
	return f, nil
}

// props puts together what factsOf took apart.
func (f *hostFacts) props() map[string]any {
	out := map[string]any{}
	for k, v := range f.Props {
		out[k] = v
	}
	for k, v := range f.Values {
		out[k] = v
	}
	for k, v := range f.Secrets {
		out[k] = Secret(v)
	}
	return out
}

// ErrNoReport is what Drive and Look give when the program ended without a report.
var ErrNoReport = errors.New("the program ended without a report")

// maxMessage bounds one line of the protocol.
const maxMessage = 64 << 20

// lineReader takes lines up to maxMessage; a Scanner alone gives up at 64 KiB.
func lineReader(r io.Reader) *bufio.Scanner {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxMessage)
	return sc
}

// Main is the whole program of the pipeline step converge:apply: it brings the one host that it is told of on stdin to
// where configure wants it, over whoever started it. It does not return.
func Main(configure Configurator) { MainWith(configure, Options{}) }

// MainWith is Main with facts of your own (Facts, FactsDir), or other bounds than the usual ones (Cycles, Timeout,
// TrustReads). The rest of the options is not for a program that one host is told to.
func MainWith(configure Configurator, o Options) {
	if err := serve(context.Background(), os.Stdin, os.Stdout, configure, o); err != nil {
		fmt.Fprintln(os.Stderr, err) //nolint:errcheck // there is nobody else to tell
		os.Exit(1)
	}
	os.Exit(0)
}

// serve brings one host to where it shall be, or with "look" only looks. The driver at the other end runs its scripts.
func serve(ctx context.Context, in io.Reader, out io.Writer, configure Configurator, o Options) error {
	h := &stdioHost{in: lineReader(in), out: json.NewEncoder(out)}
	first, err := h.read()
	if err != nil {
		return err
	}
	facts := first.Host
	if first.Look != nil {
		facts = first.Look
	}
	if facts == nil {
		return errors.New("this program is started by the step converge:apply, which tells it the host")
	}
	t := Target{Name: facts.Name, Groups: facts.Groups, Props: facts.props(), Dial: func(context.Context) (Host, func(), error) { return h, func() {}, nil }}
	o.Check, o.Limit, o.Confirm = first.Look != nil, nil, nil
	o.Progress = func(e Event) {
		if e.Kind == "done" {
			h.send(message{Log: e.Action.Desc + "\n" + e.Action.Diff})
		}
	}
	report, err := Run(ctx, []Target{t}, configure, o)
	if err != nil {
		return err
	}
	h.send(message{Report: &report.Hosts[0]})
	return h.err
}

// stdioHost is a host that somebody else has the connection to.
type stdioHost struct {
	mu  sync.Mutex
	in  *bufio.Scanner
	out *json.Encoder
	id  int
	err error
}

// send keeps the first error, for serve to give at its end.
func (h *stdioHost) send(m message) {
	if err := h.out.Encode(m); err != nil && h.err == nil {
		h.err = err
	}
}

// read gives io.ErrUnexpectedEOF when the driver has gone.
func (h *stdioHost) read() (message, error) {
	var m message
	if !h.in.Scan() {
		if err := h.in.Err(); err != nil {
			return m, err
		}
		return m, io.ErrUnexpectedEOF
	}
	return m, json.Unmarshal(h.in.Bytes(), &m)
}

// Sh implements Host.
func (h *stdioHost) Sh(_ context.Context, script string) (stdout, stderr string, exit int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id++
	h.send(message{ID: h.id, Sh: script})
	if h.err != nil {
		return "", "", 0, h.err
	}
	m, err := h.read()
	if err != nil {
		return "", "", 0, err
	}
	if m.ID != h.id {
		return "", "", 0, fmt.Errorf("the answer %d is not for the question %d", m.ID, h.id)
	}
	if m.Error != "" {
		return "", "", 0, errors.New(m.Error)
	}
	return m.Stdout, m.Stderr, m.Exit, nil
}

// Drive is the other side of Main: it tells a program the host, runs its scripts there, and gives its report. Lines of
// its log go to log.
func Drive(ctx context.Context, in io.Reader, out io.Writer, t Target, h Host, log func(string)) (HostReport, error) {
	f, err := factsOf(t)
	if err != nil {
		return HostReport{}, err
	}
	return drive(ctx, in, out, message{Host: f}, h, log)
}

// Look is Drive for a program that is to change nothing: its report says what is missing. A program that was built with
// a library that does not know this ends with an error.
func Look(ctx context.Context, in io.Reader, out io.Writer, t Target, h Host, log func(string)) (HostReport, error) {
	f, err := factsOf(t)
	if err != nil {
		return HostReport{}, err
	}
	return drive(ctx, in, out, message{Look: f}, h, log)
}

// drive runs a program's scripts on the host until it reports; ErrNoReport: it ended before.
func drive(ctx context.Context, in io.Reader, out io.Writer, first message, h Host, log func(string)) (HostReport, error) {
	enc, sc := json.NewEncoder(out), lineReader(in)
	// A program that reads no more has ended, or will; what it says until then counts.
	if err := enc.Encode(first); errors.As(err, new(*json.UnsupportedTypeError)) {
		return HostReport{}, fmt.Errorf("a property of the host is no JSON: %w", err)
	}
	for sc.Scan() {
		var m message
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			return HostReport{}, fmt.Errorf("the program said %q, which is no message: it must print nothing itself", clip(sc.Text()))
		}
		switch {
		case m.Report != nil:
			return *m.Report, nil
		case m.Log != "":
			log(m.Log)
		case m.Sh != "":
			a := message{ID: m.ID}
			var err error
			if a.Stdout, a.Stderr, a.Exit, err = h.Sh(ctx, m.Sh); err != nil {
				a.Error = err.Error()
			}
			_ = enc.Encode(a)
		}
	}
	if err := sc.Err(); err != nil {
		return HostReport{}, err
	}
	return HostReport{}, ErrNoReport
}
