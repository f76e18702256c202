package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// ErrOlder: the server knows no files.
var ErrOlder = errors.New("the server is older than this program, and carries no files")

// NotBegunError: the server did nothing, or stopped everything.
type NotBegunError struct {
	Msg     string
	Stop    bool // the lock was lost
	Unknown bool // nothing vouches for host keys
	Locked  bool // somebody else holds the lock
	Reached bool // the server reached the hosts
}

// Error implements error.
func (e *NotBegunError) Error() string { return e.Msg }

// ErrServerGone ends what is under way when the server does.
var ErrServerGone = errors.New("the server went away in the middle; each file is as it was or whole and new, so the same command again does the rest")

// answersBy bounds how long a server may take to begin its answer. One that gets the first line does so at once.
const answersBy = 30 * time.Second

// Files is work on hosts by the server's connections. It is a fleet.Carrier, and does what else sync needs. Its methods
// are called one after the other; Close it. One goroutine reads the frames, and one at a time sends a step's stream.
type Files struct {
	cancelled <-chan struct{} // by who asked
	cause     func() error    // of that; nil while they have not
	end       context.CancelFunc

	hosts []fleet.Host
	near  bool
	lost  []*fleet.HostError

	mu   sync.Mutex // a line and its bytes stay together
	body *io.PipeWriter

	told FilesTold
	cur  chan *filesCall // the step that hears what comes
	over chan struct{}   // nothing more comes
	last FilesFrame      // when it is over
	err  error           // when it is over, and no last frame came
}

// FilesTold is who is told what comes before and between the steps. None may be nil.
type FilesTold struct {
	Note func(string)
	Lost func(fleet.Host, error)
}

// filesCall is a step that is under way. Only who reads the frames touches it until done, or until nothing more comes.
type filesCall struct {
	waits map[int]bool // hosts that have not ended
	data  func(host int) io.Writer
	ended func(FilesEnded)
	line  func(fleet.Line)
	res   func(*ExecResult)
	raw   bool
	done  chan struct{}
}

// Files has the server reach and lock hosts. What it refuses before anything was done is a *command.UserError or a
// *NotBegunError; ErrOlder is a server that does not know this.
func (c *Client) Files(ctx context.Context, q FilesRequest, told FilesTold) (*Files, error) {
	head, err := contract.Marshal(q)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	f := &Files{cancelled: ctx.Done(), cause: func() error { return context.Cause(ctx) }, body: w, told: told, cur: make(chan *filesCall), over: make(chan struct{})}
	own, end := context.WithCancel(ctx)
	f.end = end
	// Until its body ends, net/http waits for it, also when the request is given up.
	context.AfterFunc(own, guard.Func(guard.Count, func() { _ = r.CloseWithError(io.ErrClosedPipe) }))
	req, err := http.NewRequestWithContext(own, http.MethodPost, c.base+"/v1/files", io.MultiReader(strings.NewReader(string(head)+"\n"), r))
	if err != nil {
		end()
		return nil, err
	}
	silent := time.AfterFunc(answersBy, guard.Func(guard.Count, end))
	res, err := c.send(own, req)
	if !silent.Stop() {
		err = fmt.Errorf("%s does not answer within %s: is there a proxy that keeps back what is sent until all of it is there? --direct asks no server", c.where, answersBy)
	}
	switch {
	case err == nil && res.StatusCode == http.StatusNotFound && res.Header.Get(filesHeader) == "":
		_ = res.Body.Close()
		err = ErrOlder
	case err == nil && res.StatusCode != http.StatusOK:
		err = decode(res, nil)
	}
	if err != nil {
		end()
		_ = w.Close()
		return nil, err
	}
	begun := make(chan struct{})
	guard.Go(func(p *guard.Panic) {
		f.err = p
		end()
		close(f.over)
	}, func() {
		f.err = f.listen(bufio.NewReaderSize(res.Body, 128<<10), begun)
		_ = res.Body.Close()
		_ = w.CloseWithError(io.ErrClosedPipe)
		close(f.over)
	})
	select {
	case <-begun:
		return f, nil
	case <-f.over:
		end()
		return nil, f.failure()
	}
}

// failure says why it is over.
func (f *Files) failure() error {
	switch {
	case f.last.Error != "":
		return &NotBegunError{f.last.Error, f.last.Stop, f.last.Unknown, f.last.Locked, f.last.Reached}
	case f.err != nil && f.cause() != nil:
		return f.cause()
	case f.err != nil:
		return f.err
	}
	return nil
}

// listen reads the frames until the last.
func (f *Files) listen(in *bufio.Reader, begun chan struct{}) error {
	var call *filesCall
	for {
		line, err := readLine(in)
		var fr FilesFrame
		if err != nil || contract.Unmarshal(line, &fr) != nil {
			return ErrServerGone
		}
		if call == nil && (fr.Data != nil || fr.Ended != nil || fr.Line != nil || fr.Result != nil || fr.Done) {
			select {
			case call = <-f.cur:
			case <-f.cancelled:
				return ErrServerGone
			}
		}
		switch {
		case fr.Hosts != nil:
			for _, n := range fr.Hosts {
				f.hosts = append(f.hosts, fleet.Host{Name: n})
			}
			f.near = fr.Near
			close(begun)
		case fr.Note != "":
			f.told.Note(fr.Note)
		case fr.Lost != nil:
			e := &fleet.HostError{Host: fleet.Host{Name: fr.Lost.Name}, Err: errors.New(fr.Lost.Error)}
			f.lost = append(f.lost, e)
			f.told.Lost(e.Host, e.Err)
		case fr.Data != nil:
			if err := f.take(in, fr.Data, call); err != nil {
				return err
			}
		case fr.Line != nil:
			call.line(fr.Line.Line(call.raw))
		case fr.Result != nil:
			delete(call.waits, fr.Result.Host)
			call.res(fr.Result)
		case fr.Ended != nil:
			delete(call.waits, fr.Ended.Host)
			call.ended(*fr.Ended)
		case fr.Done:
			close(call.done)
			call = nil
		case fr.Error != "" || fr.End:
			f.last = fr
			return nil
		}
	}
}

// take gives what a host sends to who wants it. When they do not take it, the server is told to end that host.
func (f *Files) take(in *bufio.Reader, d *FilesData, call *filesCall) error {
	to := &refusing{w: call.data(d.Host)}
	if _, err := io.CopyN(to, in, int64(d.Bytes)); err != nil {
		return ErrServerGone
	}
	if to.err != nil {
		guard.Go(guard.Count, func() { _ = f.say(FilesStep{Drop: &d.Host}, nil) }) // whoever reads must not wait for the server to read
	}
	return nil
}

// refusing keeps the error of a writer, and reads on.
type refusing struct {
	w   io.Writer
	err error
}

func (r *refusing) Write(b []byte) (int, error) {
	if r.err == nil {
		_, r.err = r.w.Write(b)
	}
	return len(b), nil
}

// say sends a line, and the bytes that it announces.
func (f *Files) say(st FilesStep, bytes []byte) error {
	head, err := contract.Marshal(st)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err = f.body.Write(append(append(head, '\n'), bytes...)); err != nil {
		return ErrServerGone
	}
	return nil
}

// do has the server take a step, and returns when it has ended on all hosts. missing is called for each that never told
// how.
func (f *Files) do(st FilesStep, stream io.Reader, wait bool, call *filesCall, missing func(host int, err error)) {
	call.done = make(chan struct{})
	err := f.say(st, nil)
	sent := make(chan struct{})
	if err == nil && stream != nil {
		guard.Go(guard.Count, func() {
			defer close(sent)
			f.stream(stream)
		})
	} else {
		close(sent)
	}
	select {
	case f.cur <- call:
	case <-f.over:
	}
	select {
	case <-call.done:
	case <-f.over:
	}
	if wait {
		if c, ok := stream.(io.Closer); ok {
			_ = c.Close()
		}
		<-sent
	}
	if len(call.waits) == 0 {
		return
	}
	err = errors.New("the server does not say what became of it")
	select {
	case <-call.done:
	default:
		if why := f.failure(); why != nil {
			err = why
		}
	}
	for host := range call.waits {
		missing(host, err)
	}
}

const filesChunk = 64 << 10

// stream sends a step's stream.
func (f *Files) stream(r io.Reader) {
	buf := make([]byte, filesChunk)
	for {
		n, err := r.Read(buf)
		if n > 0 && f.say(FilesStep{Bytes: int64(n)}, buf[:n]) != nil {
			return
		}
		if err == nil {
			continue
		}
		end := FilesStep{End: true}
		if !errors.Is(err, io.EOF) {
			end.Broke = err.Error()
		}
		_ = f.say(end, nil)
		return
	}
}

func marked(hosts []bool) map[int]bool {
	out := map[int]bool{}
	for i, y := range hosts {
		if y {
			out[i] = true
		}
	}
	return out
}

func (f *Files) all() []bool {
	out := make([]bool, len(f.hosts))
	for i := range out {
		out[i] = true
	}
	return out
}

var _ fleet.Carrier = (*Files)(nil)

// Reached implements fleet.Carrier.
func (f *Files) Reached() []fleet.Host { return f.hosts }

// Lost are the hosts that the server went on without.
func (f *Files) Lost() []*fleet.HostError { return f.lost }

// Near implements fleet.Carrier: as the server sees it, unless the files are Away from it.
func (f *Files) Near() bool { return f.near }

// Away says that the server is on another machine than the files: between them, too, compressing saves.
func (f *Files) Away() { f.near = false }

func said(e FilesEnded) error {
	if e.Error == "" {
		return nil
	}
	return errors.New(e.Error)
}

// Ask implements fleet.Carrier. The place is that of the request.
func (f *Files) Ask(_ context.Context, q fleet.Question, names io.Reader, answer func(int) io.Writer, ended func(int, error)) {
	call := &filesCall{waits: marked(f.all()), data: answer, ended: func(e FilesEnded) { ended(e.Host, said(e)) }}
	f.do(FilesStep{Ask: &FilesAsk{q.Owned, q.Plain, q.Tops}}, names, true, call, ended)
}

// Unpack implements fleet.Carrier. The place is that of the request.
func (f *Files) Unpack(_ context.Context, u fleet.Unpacking, hosts []bool, stream io.Reader, ended func(int, error)) {
	call := &filesCall{waits: marked(hosts), ended: func(e FilesEnded) { ended(e.Host, said(e)) }}
	f.do(FilesStep{Unpack: &FilesUnpack{u.How, u.Within, u.GNU, hosts}}, stream, true, call, ended)
}

// Pack implements fleet.Carrier. The paths are those of the request; who has none here is left out.
func (f *Files) Pack(_ context.Context, _ *remote.Sudo, paths [][]string, to func(int) io.Writer, ended func(int, remote.Result, error)) {
	hosts := make([]bool, len(paths))
	for i, p := range paths {
		hosts[i] = len(p) > 0
	}
	var wg guard.Group
	end := func(host int, res remote.Result, err error) {
		wg.Go(guard.Count, func() { ended(host, res, err) }) // putting files into place takes time
	}
	call := &filesCall{waits: marked(hosts), data: to, ended: func(e FilesEnded) {
		end(e.Host, remote.Result{Exit: e.Exit, Signal: e.Signal, Stderr: e.Stderr}, said(e))
	}}
	f.do(FilesStep{Pack: &FilesPack{hosts}}, nil, true, call, func(host int, err error) { end(host, remote.Result{}, err) })
	wg.Wait()
}

// Has is as fleet.Fleet's; the directory is the request's root.
func (f *Files) Has(context.Context, string, *remote.Sudo) []fleet.Result {
	return f.results(FilesStep{Has: true}, fleet.ExecOptions{}, nil)
}

// Exec is as fleet.Fleet's; the command is the request's tool.
func (f *Files) Exec(_ context.Context, _ remote.Command, o fleet.ExecOptions, out func(fleet.Line)) []fleet.Result {
	return f.results(FilesStep{Run: &FilesRun{Stdin: o.Stdin != nil, Serial: o.Serial, Raw: o.Raw}}, o, out)
}

// Sync is as fleet.Fleet's; the command is the request's tool.
func (f *Files) Sync(_ context.Context, _ remote.Command, o fleet.ExecOptions, out func(fleet.Line)) []fleet.Result {
	return f.results(FilesStep{Run: &FilesRun{Together: true}}, o, out)
}

// results does one step on all hosts. Each has a result, also when the line to the server breaks.
func (f *Files) results(st FilesStep, o fleet.ExecOptions, out func(fleet.Line)) []fleet.Result {
	results := fleet.Untold(f.hosts)
	done := func(host int, r fleet.Result) {
		results[host] = r
		if o.Done != nil {
			o.Done(host, r)
		}
	}
	call := &filesCall{waits: marked(f.all()), line: out, raw: o.Raw, res: func(x *ExecResult) { done(x.Host, x.Result(f.hosts[x.Host])) }}
	f.do(st, o.Stdin, false, call, func(host int, err error) { done(host, fleet.Result{Host: f.hosts[host], Err: err}) })
	return results
}

// Close says that all is done, and waits until the server has let go of the locks. The error is a *NotBegunError, or
// that the server went away.
func (f *Files) Close() error {
	defer f.end()
	if f.say(FilesStep{Bye: true}, nil) == nil {
		_ = f.body.Close()
	}
	<-f.over
	return f.failure()
}
