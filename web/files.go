package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// filesHeader is in every answer of POST /v1/files, so that a client tells an older server from a host that is not on
// record.
const filesHeader = "Jarvis-Files"

// files brings files to hosts and from them over the server's open connections.
func (s *Server) files(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w.Header().Set(filesHeader, "1")
	rec := s.admit(w, r, "files", "`upload`, `sync` and `fetch` by the server's connections need")
	if rec == nil {
		return
	}
	const what = "a command, hosts, and a root or paths"
	var q FilesRequest
	in, err := readHead(r.Body, what, &q)
	if err == nil && (len(q.Hosts) == 0 || filesSteps[q.Command] == nil) {
		err = &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: "the first line is not JSON with " + what}
	}
	if err == nil && q.Of != nil && len(q.Paths) > 0 {
		err = &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: "paths are wanted either of every host or of each by its name: give `paths` or `of`"}
	}
	if err != nil {
		s.turnDown(w, r, rec, err)
		return
	}
	rec.line = q.line()
	hosts, err := s.hostsOf(ctx, rec.c, q.Hosts)
	if err == nil {
		err = q.known(hosts)
	}
	if err != nil {
		s.turnDown(w, r, rec, err)
		return
	}
	rec.line = q.line() // with the addresses that are gone to
	out := s.beginFrames(w, r, cancel)
	defer out.close()
	rec.begin()
	d := &filesWork{q: q, out: out, steps: make(chan filesTodo), dropped: make([]atomic.Bool, len(hosts))}
	if q.Sudo {
		d.sudo = &remote.Sudo{}
	}
	guard.Go(guard.Log(s.Log, "read the steps of files"), func() {
		defer cancel() // with the client everything ends
		if d.listen(ctx, in) {
			<-ctx.Done()
		}
	})
	_ = out.emit(d.work(ctx, s.Pool, hosts, rec), nil)
}

// line is what goes on record.
func (q *FilesRequest) line() string {
	line := q.Command + " " + namesOf(q.Hosts) + ":"
	switch {
	case q.Entries == 1:
		line += " 1 entry to " + q.Root
	case q.Entries > 1:
		line += fmt.Sprintf(" %d entries to %s", q.Entries, q.Root)
	}
	if q.DryRun {
		line += ", only asked (dry run)"
	}
	if len(q.Paths) > 0 {
		line += " " + strings.Join(q.Paths, " ")
	}
	for _, name := range slices.Sorted(maps.Keys(q.Of)) { // all of it: a host may be called otherwise in Hosts
		for _, p := range q.Of[name] {
			line += " " + name + ":" + p
		}
	}
	if q.Tool != "" {
		line += " runs " + q.Tool
	}
	return line
}

// known refuses paths of what is none of the hosts: the record would name files that nobody fetches.
func (q *FilesRequest) known(hosts []fleet.Host) error {
	for _, name := range slices.Sorted(maps.Keys(q.Of)) {
		if !slices.ContainsFunc(hosts, func(h fleet.Host) bool { return h.Name == name }) {
			return &command.UserError{Msg: fmt.Sprintf("`of` names %q, which is none of the hosts; `POST /v1/exec/hosts` says what they are called", name), Kind: command.ErrUsage}
		}
	}
	return nil
}

// filesSteps says which steps a command may take: what is on record is what was done.
var filesSteps = map[string][]string{"upload": {"ask", "unpack"}, "sync": {"ask", "unpack", "has", "run"}, "fetch": {"pack"}}

// may reports whether the request may take such a step.
func (q *FilesRequest) may(step string) bool {
	return slices.Contains(filesSteps[q.Command], step) && (!q.DryRun || step == "ask")
}

// name gives the step's word in filesSteps; "" for what is no step, which no command may take.
func (st *FilesStep) name() string {
	switch {
	case st.Ask != nil:
		return "ask"
	case st.Unpack != nil:
		return "unpack"
	case st.Pack != nil:
		return "pack"
	case st.Has:
		return "has"
	case st.Run != nil:
		return "run"
	}
	return ""
}

// filesWork is one request. One goroutine listens to the client, and the other does the steps.
type filesWork struct {
	q       FilesRequest
	sudo    *remote.Sudo
	out     *frames
	steps   chan filesTodo
	dropped []atomic.Bool // by host: the client does not take what it sends
	failed  int           // hosts, of the one that does the steps
}

// filesTodo is a step with its stream.
type filesTodo struct {
	FilesStep
	in *io.PipeReader
}

// listen reads what the client says until it says that all is done; false: it broke off.
func (d *filesWork) listen(ctx context.Context, in *bufio.Reader) (bye bool) {
	defer close(d.steps)
	var to *io.PipeWriter // of the step that is under way; nil: none
	broke := errors.New("the client went away")
	defer func() {
		if to != nil {
			_ = to.CloseWithError(broke)
		}
	}()
	for {
		line, err := readLine(in)
		var st FilesStep
		if err != nil || contract.Unmarshal(line, &st) != nil {
			return false
		}
		switch {
		case st.Bye:
			return true
		case st.Bytes > 0:
			if _, err := io.CopyN(&untilClosed{w: to}, in, st.Bytes); err != nil {
				return false
			}
		case st.End && to != nil:
			err = nil
			if st.Broke != "" {
				err = errors.New(st.Broke)
			}
			_ = to.CloseWithError(err)
		case st.Drop != nil && *st.Drop >= 0 && *st.Drop < len(d.dropped):
			d.dropped[*st.Drop].Store(true)
		case st.name() != "":
			if to != nil { // or whoever reads the one before it would wait for ever
				_ = to.CloseWithError(errors.New("the client began another step"))
			}
			var r *io.PipeReader
			r, to = io.Pipe()
			select {
			case d.steps <- filesTodo{st, r}:
			case <-ctx.Done():
				return false
			}
		}
	}
}

// maxStep bounds a line of a FilesStep.
const maxStep = 1 << 20

// readLine bounds a line before it is read to its end.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxStep {
			return nil, errors.New("a line is too long")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// untilClosed passes over what its reader does not want any more.
type untilClosed struct {
	w    *io.PipeWriter
	shut bool
}

func (u *untilClosed) Write(b []byte) (int, error) {
	if u.w == nil || u.shut {
		return len(b), nil
	}
	if _, err := u.w.Write(b); err != nil {
		u.shut = true
	}
	return len(b), nil
}

// work reaches and locks the hosts, does the steps, and gives the last frame.
func (d *filesWork) work(ctx context.Context, pool *remote.Pool, hosts []fleet.Host, rec *recorder) FilesFrame {
	q := d.q
	o := fleet.WorkOptions{Options: fleet.Options{Connect: pool, Dials: q.Dials, Skip: q.Skip, KeepAlive: q.KeepAlive, Answer: q.Answer}, MayLock: q.MayLock}
	o.Note = func(what string) { _ = d.out.emit(FilesFrame{Note: what}, nil) }
	if q.Lock {
		o.Lock = &fleet.LockOptions{File: q.LockFile, Sudo: d.sudo, Answer: q.KeepAlive}
		if q.LockFile == "" {
			o.Lock.Dir, o.Lock.MakeDir = q.LockDir, q.MakeDir
		}
	}
	cut := false
	var refused error
	err := fleet.Work(ctx, hosts, o, func(ctx context.Context, f *fleet.Fleet) {
		refused = d.serve(ctx, f)
		cut = ctx.Err() != nil
	})
	rec.ended(ctx, workEnd{err: err, refused: refused, cut: cut, failed: d.failed, all: len(hosts)})
	var stopped *fleet.StoppedError
	var undone *fleet.NothingDoneError
	switch {
	case err != nil && ctx.Err() == nil:
		return FilesFrame{Error: err.Error(), Stop: errors.As(err, &stopped), Unknown: errors.Is(err, remote.ErrUnknownHost), Locked: fleet.Held(err), Reached: !errors.As(err, &undone) || undone.Reached}
	case err == nil && refused != nil:
		return FilesFrame{Error: refused.Error(), Reached: true}
	}
	return FilesFrame{End: true}
}

// serve does the steps. The error is a step that the command does not have.
func (d *filesWork) serve(ctx context.Context, f *fleet.Fleet) error {
	names := make([]string, len(f.Hosts))
	for i, h := range f.Hosts {
		names[i] = h.Name
	}
	_ = d.out.emit(FilesFrame{Hosts: names, Near: f.Near()}, nil)
	for _, l := range f.Lost {
		_ = d.out.emit(FilesFrame{Lost: &ExecResult{Name: l.Host.Name, Error: l.Err.Error()}}, nil)
	}
	bad := make([]atomic.Bool, len(f.Hosts))
	defer func() {
		d.failed = len(f.Lost)
		for i := range bad {
			if bad[i].Load() {
				d.failed++
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case st, more := <-d.steps:
			if !more {
				return nil
			}
			if !d.q.may(st.name()) || !st.fits(len(f.Hosts)) {
				_ = st.in.Close()
				return fmt.Errorf("everything was stopped: %q takes no such step as %q", d.q.Command, st.name())
			}
			d.do(ctx, f, st, bad)
			_ = st.in.Close()
			_ = d.out.emit(FilesFrame{Done: true}, nil)
		}
	}
}

// fits reports whether a step speaks of as many hosts as there are.
func (st *FilesStep) fits(hosts int) bool {
	switch {
	case st.Unpack != nil:
		return len(st.Unpack.Hosts) == hosts && (st.Unpack.Within == "" || filepath.IsLocal(st.Unpack.Within)) && (st.Unpack.How == "tar" || st.Unpack.How == "zstd")
	case st.Pack != nil:
		return len(st.Pack.Hosts) == hosts
	}
	return true
}

// do takes one step, and marks in bad the hosts on which something failed; they stay so, whatever goes well after that.
// An exit of 1 is tar's word for files that changed meanwhile.
func (d *filesWork) do(ctx context.Context, f *fleet.Fleet, st filesTodo, bad []atomic.Bool) {
	end := func(i int, res remote.Result, err error) {
		e := &FilesEnded{Host: i, Exit: res.Exit, Signal: res.Signal, Stderr: res.Stderr}
		if err != nil {
			e.Error = err.Error()
		}
		if err != nil || res.Exit > 1 {
			bad[i].Store(true)
		}
		_ = d.out.emit(FilesFrame{Ended: e}, nil)
	}
	ended := func(i int, err error) { end(i, remote.Result{}, err) }
	to := func(i int) io.Writer { return &fromHost{d, i} }
	at := fleet.Place{Root: d.q.Root, Sudo: d.sudo, Stall: d.q.Stall}
	switch {
	case st.Ask != nil:
		f.Ask(ctx, fleet.Question{Place: at, Owned: st.Ask.Owned, Plain: st.Ask.Plain, Tops: st.Ask.Tops}, st.in, to, ended)
	case st.Unpack != nil:
		f.Unpack(ctx, fleet.Unpacking{Place: at, How: st.Unpack.How, Within: st.Unpack.Within, GNU: st.Unpack.GNU}, st.Unpack.Hosts, st.in, ended)
	case st.Pack != nil:
		paths := make([][]string, len(f.Hosts))
		for i, h := range f.Hosts {
			if st.Pack.Hosts[i] {
				if paths[i] = d.q.Paths; d.q.Of != nil {
					paths[i] = d.q.Of[h.Name]
				}
			}
		}
		f.Pack(ctx, d.sudo, paths, to, end)
	case st.Has:
		for i, r := range f.Has(ctx, d.q.Root, d.sudo) {
			if !r.OK() {
				bad[i].Store(true)
			}
			_ = d.out.emit(FilesFrame{Result: execResult(i, r)}, nil)
		}
	case st.Run != nil:
		d.run(ctx, f, st, bad)
	}
}

// fromHost takes what a host sends to the client.
type fromHost struct {
	d    *filesWork
	host int
}

var errDropped = errors.New("the client takes no more of it")

func (t *fromHost) Write(b []byte) (int, error) {
	if t.d.dropped[t.host].Load() {
		return 0, errDropped
	}
	if err := t.d.out.emit(FilesFrame{Data: &FilesData{t.host, len(b)}}, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// run has the tool run on all hosts.
func (d *filesWork) run(ctx context.Context, f *fleet.Fleet, st filesTodo, bad []atomic.Bool) {
	o := fleet.ExecOptions{Serial: st.Run.Serial, MaxStdin: maxSerialStdin, Timeout: d.q.Timeout, Stall: d.q.Stall, Raw: st.Run.Raw}
	if st.Run.Stdin {
		o.Stdin = st.in
	}
	o.Done = func(i int, r fleet.Result) {
		if !r.OK() {
			bad[i].Store(true)
		}
		_ = d.out.emit(FilesFrame{Result: execResult(i, r)}, nil)
	}
	tool := remote.Command{Line: d.q.Tool, Dir: d.q.Root, Sudo: d.sudo}
	line := func(l fleet.Line) { _ = d.out.emit(FilesFrame{Line: execLine(l, st.Run.Raw)}, nil) }
	if st.Run.Together {
		f.Sync(ctx, tool, o, line)
		return
	}
	f.Exec(ctx, tool, o, line)
}

// execResult writes a result for a client.
func execResult(i int, r fleet.Result) *ExecResult {
	x := &ExecResult{Host: i, Exit: r.Exit, Signal: r.Signal, Took: r.Took}
	if r.Err != nil {
		x.Error = r.Err.Error()
	}
	var waited *fleet.WaitedError
	if errors.As(r.Err, &waited) {
		x.WaitedFor = waited.For
	}
	return x
}

// Result gives it back.
func (x *ExecResult) Result(h fleet.Host) fleet.Result {
	r := fleet.Result{Host: h, Exit: x.Exit, Signal: x.Signal, Took: x.Took}
	switch {
	case x.WaitedFor != "":
		r.Err = &fleet.WaitedError{For: x.WaitedFor}
	case x.Error != "":
		r.Err = errors.New(x.Error)
	}
	return r
}
