package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// ExecHost is a host that a command is to run on: one of the record by its name, or one by its address.
type ExecHost struct {
	Name string   `json:"name"`           // a name on record, @CLUSTER, or how output calls the host
	FQDN string   `json:"fqdn,omitempty"` // in an answer: its full name on record
	Addr string   `json:"addr,omitempty"` // host:port; "": the record knows it
	User string   `json:"user,omitempty"`
	Keys []string `json:"keys,omitempty"` // host keys that the caller knows, as in known_hosts without the names
	Way  string   `json:"way,omitempty"`  // "silo NAME" in an answer: the server has a way there, and who asks may have none
}

// ExecRequest is the first line of the body of POST /v1/exec; stdin for the command follows it, if Stdin says so.
type ExecRequest struct {
	Hosts    []ExecHost        `json:"hosts"`
	Line     string            `json:"line"`
	Dir      string            `json:"dir,omitempty"`
	Env      map[string]string `json:"env,omitempty"`
	Sudo     bool              `json:"sudo,omitempty"`
	TTY      bool              `json:"tty,omitempty"`
	Stdin    bool              `json:"stdin,omitempty"`
	Serial   bool              `json:"serial,omitempty"`
	Skip     bool              `json:"skip,omitempty"`
	Timeout  time.Duration     `json:"timeout,omitempty"`
	Stall    time.Duration     `json:"stall,omitempty"`
	Dials    int               `json:"dials,omitempty"`
	Lock     bool              `json:"lock,omitempty"`
	LockFile string            `json:"lock_file,omitempty"`
	LockDir  string            `json:"lock_dir,omitempty"` // without LockFile: locked as fleet.LockOptions.Dir
	Raw      bool              `json:"raw,omitempty"`      // lines keep their ends, byte for byte (ExecLine.Raw)
	MayLock  bool              `json:"may_lock,omitempty"`
}

// ExecFrame is one line of the answer. The field that is set says what it is about.
type ExecFrame struct {
	Hosts  []string    `json:"hosts,omitempty"` // first: whom later frames mean by their index
	Line   *ExecLine   `json:"line,omitempty"`
	Result *ExecResult `json:"result,omitempty"`
	Lost   *ExecResult `json:"lost,omitempty"`  // not reached; the others go on
	Note   string      `json:"note,omitempty"`  // for the person
	Error  string      `json:"error,omitempty"` // last: nothing was done, or everything was stopped
	Stop   bool        `json:"stop,omitempty"`  // with Error: the lock was lost
	// Unknown: with Error, because nothing vouches for host keys; the caller may know them, or write them down.
	Unknown bool `json:"unknown,omitempty"`
	Locked  bool `json:"locked,omitempty"` // with Error, because somebody else holds the lock
	End     bool `json:"end,omitempty"`    // last, when all went its way
}

// ExecLine is one line of output.
type ExecLine struct {
	Host   int    `json:"host"`
	Stderr bool   `json:"stderr,omitempty"`
	Text   string `json:"text"`
	Raw    []byte `json:"raw,omitempty"` // instead of Text, when the request asked for it
}

// Line gives the line for whoever asked for raw ones or not. A server of an older version gives none that are raw.
func (l *ExecLine) Line(raw bool) fleet.Line {
	text := l.Text
	switch {
	case raw && len(l.Raw) > 0:
		text = string(l.Raw)
	case raw:
		text += "\n"
	}
	return fleet.Line{Host: l.Host, Stderr: l.Stderr, Text: text}
}

func execLine(l fleet.Line, raw bool) *ExecLine {
	if raw {
		return &ExecLine{Host: l.Host, Stderr: l.Stderr, Raw: []byte(l.Text)}
	}
	return &ExecLine{Host: l.Host, Stderr: l.Stderr, Text: l.Text}
}

// ExecResult is how a command ended on a host.
type ExecResult struct {
	Host   int           `json:"host"`
	Name   string        `json:"name,omitempty"`
	Exit   int           `json:"exit"`
	Signal string        `json:"signal,omitempty"`
	Took   time.Duration `json:"took"`
	Error  string        `json:"error,omitempty"`
	// WaitedFor: with Error, the host whose tool had died, for which this one waited.
	WaitedFor string `json:"waited_for,omitempty"`
}

// exec runs a command over the server's open connections, as the verb `run` does, with the streams that `jarvis exec`
// has.
func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	rec := s.admit(w, r, "exec", "`exec` needs")
	if rec == nil {
		return
	}
	q, in, err := readExec(r.Body)
	if err != nil {
		s.turnDown(w, r, rec, err)
		return
	}
	rec.line = "exec " + namesOf(q.Hosts) + ": " + q.Line
	hosts, err := s.hostsOf(ctx, rec.c, q.Hosts)
	if err != nil {
		s.turnDown(w, r, rec, err)
		return
	}
	rec.line = "exec " + namesOf(q.Hosts) + ": " + q.Line // with the addresses that are gone to
	out := s.beginFrames(w, r, cancel)
	defer out.close()
	emit := func(f ExecFrame) { _ = out.emit(f, nil) }
	rec.begin()
	emit(s.run(ctx, q, hosts, in, emit, rec))
}

// readExec reads the first line of the body, and gives it with what follows it. The error is a *Problem.
func readExec(body io.Reader) (q ExecRequest, in io.Reader, err error) {
	const what = "hosts and a command"
	in, err = readHead(body, what, &q)
	if err == nil && (q.Line == "" || len(q.Hosts) == 0) {
		err = &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: "the first line is not JSON with " + what}
	}
	return q, in, err
}

// who names the caller for the audit record, so that a stranger cannot pass for a person of the same name.
func who(c caller) string {
	if c.person.Name != "" {
		return c.person.Name
	}
	return "stranger " + c.asker
}

// run does the work, and gives the last frame.
func (s *Server) run(ctx context.Context, q ExecRequest, hosts []fleet.Host, in io.Reader, emit func(ExecFrame), rec *recorder) ExecFrame {
	o := fleet.WorkOptions{Options: fleet.Options{Connect: s.Pool, Dials: q.Dials, Skip: q.Skip}, MayLock: q.MayLock}
	o.Note = func(what string) { emit(ExecFrame{Note: what}) }
	var sudo *remote.Sudo
	if q.Sudo {
		sudo = &remote.Sudo{}
	}
	if q.Lock {
		o.Lock = &fleet.LockOptions{File: q.LockFile, Sudo: sudo}
		if q.LockFile == "" {
			o.Lock.Dir = q.LockDir
		}
	}
	failed, cut := 0, false // cut: in the middle of the work
	err := fleet.Work(ctx, hosts, o, func(ctx context.Context, f *fleet.Fleet) {
		failed = s.runOn(ctx, f, q, sudo, in, emit)
		cut = ctx.Err() != nil
	})
	rec.ended(ctx, workEnd{err: err, cut: cut, failed: failed, all: len(hosts)})
	if err != nil && ctx.Err() == nil {
		var stopped *fleet.StoppedError
		return ExecFrame{Error: err.Error(), Stop: errors.As(err, &stopped), Unknown: errors.Is(err, remote.ErrUnknownHost), Locked: fleet.Held(err)}
	}
	return ExecFrame{End: true}
}

// maxSerialStdin bounds the stdin that the server keeps in a file, without a name, until the last host has read it.
const maxSerialStdin = 1 << 30

// runOn runs the command on hosts that are reached and locked, and gives how many failed, with those that were not
// reached.
func (s *Server) runOn(ctx context.Context, f *fleet.Fleet, q ExecRequest, sudo *remote.Sudo, in io.Reader, emit func(ExecFrame)) (failed int) {
	names := make([]string, len(f.Hosts))
	for i, h := range f.Hosts {
		names[i] = h.Name
	}
	emit(ExecFrame{Hosts: names})
	for _, l := range f.Lost {
		emit(ExecFrame{Lost: &ExecResult{Name: l.Host.Name, Error: fleet.Why(l.Err)}})
	}
	failed = len(f.Lost)
	o := fleet.ExecOptions{Serial: q.Serial, MaxStdin: maxSerialStdin, Timeout: q.Timeout, Stall: q.Stall, Raw: q.Raw}
	if q.Stdin {
		o.Stdin = in
	}
	o.Done = func(host int, r fleet.Result) {
		if !r.OK() {
			failed++
		}
		emit(ExecFrame{Result: execResult(host, r)})
	}
	f.Exec(ctx, remote.Command{Line: q.Line, Dir: q.Dir, Env: q.Env, Sudo: sudo, PTY: q.TTY}, o, func(l fleet.Line) { emit(ExecFrame{Line: execLine(l, q.Raw)}) })
	return failed
}

// whileAsked reads from r until ctx ends. net/http waits for the body of a request, also of one that is given up, and
// whoever types it may never end.
func whileAsked(ctx context.Context, r io.Reader) io.Reader {
	body, in := io.Pipe()
	guard.Go(guard.Count, func() {
		_, err := io.Copy(in, r)
		_ = in.CloseWithError(err)
	})
	context.AfterFunc(ctx, guard.Func(guard.Count, func() { _ = body.CloseWithError(io.ErrClosedPipe) }))
	return body
}

// Exec runs a command through the server, and calls f for each frame. When ctx ends, the commands end on the hosts.
func (c *Client) Exec(ctx context.Context, q ExecRequest, stdin io.Reader, f func(ExecFrame)) error {
	head, err := contract.Marshal(q)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var body io.Reader = strings.NewReader(string(head) + "\n")
	if q.Stdin {
		body = io.MultiReader(body, whileAsked(ctx, stdin))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/exec", body)
	if err != nil {
		return err
	}
	res, err := c.send(ctx, req)
	if err != nil && ctx.Err() != nil { // the body ends with ctx, and may be the first to be noticed
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return decode(res, nil)
	}
	defer func() { _ = res.Body.Close() }()
	dec := contract.NewReader(res.Body)
	for {
		var frame ExecFrame
		if err := dec.Read(&frame); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return errors.New("the server went away; what ran on the hosts was ended, or nobody knows")
		}
		f(frame)
		if frame.End || frame.Error != "" {
			return nil
		}
	}
}
