package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// quickScript reads a mark, a name for the environment by which all of it can be killed, and a line, again and again,
// and runs each line in a session of its own (where the host has setsid) with nothing on stdin. What the line left
// running in it is ended before the next: it would speak into that one's output. Both streams say by the mark where its
// output begins and ends: nothing else is as improbable as the mark.
const quickScript = `jarvis_setsid=; if command -v setsid > /dev/null 2>&1; then jarvis_setsid=setsid; fi
while IFS= read -r jarvis_mark && IFS= read -r jarvis_run && IFS= read -r jarvis_line; do
printf '%s\n' "$jarvis_mark"
printf '%s\n' "$jarvis_mark" >&2
( JARVIS_RUN=$jarvis_run; export JARVIS_RUN; eval "$jarvis_line" ) < /dev/null &
jarvis_pid=$!
wait "$jarvis_pid"
jarvis_status=$?
if [ "$jarvis_setsid" ]; then kill -s KILL -- "-$jarvis_pid" 2> /dev/null; fi
printf '\n%s\n' "$jarvis_mark" >&2
printf '\n%s %s\n' "$jarvis_mark" "$jarvis_status"
done`

// quickIdle is how long a shell stays open that nobody uses.
const quickIdle = 5 * time.Minute

const quickStart = 5 * time.Second // what says nothing for so long is not a shell

// Quick runs a line in a POSIX shell that stays open on the host between calls: for what is short and comes often. A
// session for each would cost the host its own sshd process and login shell, many times what the command does. Calls at
// the same time have a shell each.
//
// What the line leaves running is ended with it, unless that began a session of its own (as daemons do); nobody waits
// for what holds its streams, and the shell is not used again when that speaks up. A line with a newline, or a host
// that gives no shell, has a session of its own. Errors are as those of Run; a line that ctx ended has what it said
// until then, and the exit code -1.
// Why not a session each, or an agent there: docs/adr/0017-checks-over-ssh-in-a-shell-that-stays.md
func (c *Client) Quick(ctx context.Context, line string, env map[string]string) (Result, error) {
	request, ok := quickRequest(line, env)
	c.mu.Lock()
	ok = ok && !c.noQuick
	c.mu.Unlock()
	if !ok {
		return c.Run(ctx, Sh(line, env))
	}
	var q *quickShell
	job := newQuickJob()
	for begun := false; !begun; {
		var err error
		if q, err = c.quickShell(ctx); errors.Is(err, errNoShell) {
			return c.Run(ctx, Sh(line, env))
		} else if err != nil {
			return Result{}, err
		}
		begun = q.begin(job, request) // a shell that has ended since took no whole line, and ran nothing
	}
	select {
	case <-job.done:
		c.quickDone(q)
		return job.result(), nil
	case <-q.dead:
		return Result{}, fmt.Errorf("%w: the shell has ended", ErrLost)
	case <-ctx.Done():
	}
	c.quickKill(q, job)
	return q.soFar(job), context.Cause(ctx)
}

// Quick runs a line as Client.Quick does. When the connection is dead before it began, it is opened once more.
func (p *Pool) Quick(ctx context.Context, t Target, line string, env map[string]string) (Result, error) {
	for again := false; ; again = true {
		c, release, err := p.Get(ctx, t)
		if err != nil {
			return Result{}, err
		}
		res, err := c.Quick(ctx, line, env)
		release()
		if again || !errors.Is(err, errNotOpened) {
			return res, err
		}
		p.Drop(t, c)
	}
}

// plainLine is a program with arguments that no shell would change: it needs none.
var plainLine = pattern.New(`^/[A-Za-z0-9_./-]+( [A-Za-z0-9_./:,=%+@-]+)*$`)

// A line that sh runs is in its environment, and on no command line: pgrep -f and pkill -f, which many lines are, would
// find it there.
const (
	lineVar  = "JARVIS_LINE"
	evalLine = `jarvis_line=$JARVIS_LINE; unset JARVIS_LINE; eval "$jarvis_line"`
)

// Sh gives a command that has sh run a line, as Quick does, in a session of its own.
func Sh(line string, env map[string]string) Command {
	with := maps.Clone(env)
	if with == nil {
		with = map[string]string{}
	}
	with[lineVar] = line
	return Command{Args: []string{"sh", "-c", evalLine}, Env: with}
}

// quickRequest writes a line as the script wants it: one line.
func quickRequest(line string, env map[string]string) (string, bool) {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "%s=%s; export %s; ", k, quoteValue(env[k]), k)
	}
	if plainLine.MatchString(line) {
		b.WriteString("exec $jarvis_setsid " + line)
	} else {
		fmt.Fprintf(&b, "%s=%s; export %s; exec $jarvis_setsid sh -c %s", lineVar, quoteValue(line), lineVar, Quote(evalLine))
	}
	text := b.String()
	return text, !strings.ContainsAny(text, "\n\x00")
}

// quoteValue is Quote for what is assigned. The shell of the demo's hosts keeps the backslash of \' there.
func quoteValue(v string) string { return strings.ReplaceAll(Quote(v), `'\''`, `'"'"'`) }

// errNoShell: the host gives no shell that stays open.
var errNoShell = errors.New("the host gives no shell")

// quickShell is a shell that stays open. It has at most one job.
type quickShell struct {
	session *gossh.Session
	stdin   io.WriteCloser
	dead    chan struct{} // closed when it has ended
	since   time.Time     // when its last job ended; Client.mu guards it

	mu    sync.Mutex
	job   *quickJob
	ready bool // it has answered
	stray bool // something wrote while nothing ran
}

// quickShell gives one that is free, or opens one.
func (c *Client) quickShell(ctx context.Context) (*quickShell, error) {
	c.mu.Lock()
	for n := len(c.quick); n > 0; n = len(c.quick) {
		q := c.quick[n-1]
		c.quick = c.quick[:n-1]
		select {
		case <-q.dead:
			continue
		default:
		}
		c.mu.Unlock()
		return q, nil
	}
	c.mu.Unlock()
	s, owner, err := c.session(ctx, false)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	q := &quickShell{session: s, dead: make(chan struct{})}
	s.Stdout, s.Stderr = quickStream{q, 0}, quickStream{q, 1}
	if q.stdin, err = s.StdinPipe(); err == nil {
		err = s.Start(commandLine("sh", "-c", quickScript))
	}
	if err != nil {
		_ = s.Close()
		owner.free(false)
		return nil, fmt.Errorf("%w: %s", errNotOpened, reason(err))
	}
	guard.Go(guard.Count, func() {
		defer owner.free(false)
		defer close(q.dead)
		_ = s.Wait()
	})
	if err := q.greet(ctx); err != nil {
		q.close()
		if errors.Is(err, errNoShell) {
			c.mu.Lock()
			c.noQuick = true
			c.mu.Unlock()
		}
		return nil, err
	}
	return q, nil
}

// greet has the shell do nothing, before it is given anything to do: what it was given late, it would run late.
func (q *quickShell) greet(ctx context.Context) error {
	job := newQuickJob()
	if !q.begin(job, ":") {
		return errNoShell
	}
	t := time.NewTimer(quickStart)
	defer t.Stop()
	select {
	case <-job.done:
	case <-q.dead:
		return errNoShell
	case <-t.C:
		return errNoShell
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready, q.job = true, nil
	return nil
}

// quickDone keeps a shell for the next.
func (c *Client) quickDone(q *quickShell) {
	q.mu.Lock()
	q.job = nil
	stray := q.stray
	q.mu.Unlock()
	if stray {
		q.close()
		return
	}
	now := time.Now()
	c.mu.Lock()
	q.since = now
	c.quick = append(c.quick, q)
	// The one that was used last is taken first, so what a peak needed, and nobody since, is at the head.
	n := 0
	for n < len(c.quick) && now.Sub(c.quick[n].since) > c.quickIdle {
		n++
	}
	idle := slices.Clone(c.quick[:n])
	c.quick = slices.Delete(c.quick, 0, n)
	c.mu.Unlock()
	for _, q := range idle {
		q.close()
	}
}

// closeQuick gives back the sessions of shells that nobody uses, and reports whether there were any.
func (c *Client) closeQuick() bool {
	c.mu.Lock()
	list := c.quick
	c.quick = nil
	c.mu.Unlock()
	for _, q := range list {
		q.close()
	}
	return len(list) > 0
}

// quickKill ends a job on the host. When its shell survives, it is closed all the same: what is left may still write.
func (c *Client) quickKill(q *quickShell, job *quickJob) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*killGrace)
	kill := Command{Args: killArgs(runMark + job.run)}
	guard.Go(guard.Count, func() {
		defer cancel()
		_, _ = c.Run(ctx, kill)
	})
	select {
	case <-job.done:
	case <-q.dead:
	case <-time.After(killGrace + killGrace/2):
	}
	q.close()
}

// close ends the shell: it reads the end of its input.
func (q *quickShell) close() {
	_ = q.stdin.Close()
	_ = q.session.Close()
}

// begin hands a job over; false when the shell has ended before.
func (q *quickShell) begin(j *quickJob, request string) bool {
	q.mu.Lock()
	q.job = j
	q.mu.Unlock()
	_, err := io.WriteString(q.stdin, j.mark+"\n"+j.run+"\n"+request+"\n")
	return err == nil
}

// quickJob is a line that runs.
type quickJob struct {
	mark string // where its output begins and ends
	run  string // in the environment of all it starts
	done chan struct{}

	streams [2]quickText // stdout, stderr
	status  int
}

func newQuickJob() *quickJob {
	return &quickJob{mark: rand.Text(), run: rand.Text(), done: make(chan struct{})}
}

// quickText is one stream of a job: the beginning of what it says, and the end to find the mark in.
type quickText struct {
	kept         []byte // at most MaxOutputBytes
	tail         []byte
	begun, ended bool
}

const quickTail = 4 << 10

// add holds back the last quickTail bytes: they may be the beginning of the mark.
func (t *quickText) add(p []byte) {
	t.tail = append(t.tail, p...)
	if extra := len(t.tail) - quickTail; extra > 0 {
		t.keep(t.tail[:extra])
		t.tail = append(t.tail[:0], t.tail[extra:]...)
	}
}

// keep drops what is more than MaxOutputBytes.
func (t *quickText) keep(p []byte) {
	t.kept = append(t.kept, p[:min(len(p), MaxOutputBytes-len(t.kept))]...)
}

// begin looks for the mark after which a job's output stands, and reports what is before that.
func (t *quickText) begin(mark string) (before int, ok bool) {
	i := bytes.Index(t.tail, []byte(mark+"\n"))
	if i < 0 {
		return 0, false
	}
	before = len(t.kept) + i
	t.tail, t.kept, t.begun = t.tail[i+len(mark)+1:], nil, true
	return before, true
}

// end looks for the mark at which a job's output ends, with what stands beside it on its line.
func (t *quickText) end(mark string) (beside string, ok bool) {
	head := []byte("\n" + mark)
	i := bytes.Index(t.tail, head)
	if i < 0 {
		return "", false
	}
	line, _, whole := bytes.Cut(t.tail[i+len(head):], []byte("\n"))
	if !whole {
		return "", false
	}
	beside = string(line)
	t.keep(t.tail[:i])
	t.tail, t.ended = nil, true
	return beside, true
}

// quickStream is one stream of a shell.
type quickStream struct {
	q *quickShell
	n int // of quickJob.streams
}

func (w quickStream) Write(p []byte) (int, error) {
	q := w.q
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.job
	if j == nil || j.streams[w.n].ended {
		q.stray = q.stray || q.ready // what a login shell says before all else is nobody's
		return len(p), nil
	}
	t := &j.streams[w.n]
	t.add(p)
	if !t.begun {
		before, ok := t.begin(j.mark)
		if !ok {
			return len(p), nil
		}
		q.stray = q.stray || q.ready && before > 0 // of something that an earlier job left
	}
	if beside, ok := t.end(j.mark); ok {
		if w.n == 0 {
			j.status, _ = strconv.Atoi(strings.TrimSpace(beside))
		}
		if j.streams[0].ended && j.streams[1].ended {
			close(j.done)
		}
	}
	return len(p), nil
}

// ReadFrom keeps an open shell from costing the 32 KiB of io.Copy for each stream.
func (w quickStream) ReadFrom(r io.Reader) (n int64, err error) {
	buf := make([]byte, 1<<10)
	for {
		k, err := r.Read(buf)
		n += int64(k)
		if k > 0 {
			_, _ = w.Write(buf[:k])
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

// soFar gives what a job has said that was ended.
func (q *quickShell) soFar(j *quickJob) Result {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := Result{Exit: -1}
	for i, to := range []*string{&r.Stdout, &r.Stderr} {
		t := &j.streams[i]
		if t.begun && !t.ended {
			t.keep(t.tail)
			t.tail = nil
		}
		if t.begun {
			*to = string(t.kept)
		}
	}
	return r
}

// firstSignal is how a shell says that a signal ended a command: 128 and its number.
const firstSignal = 128

var signalNames = map[int]string{1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE", 14: "ALRM", 15: "TERM"}

func (j *quickJob) result() Result {
	r := Result{Exit: j.status, Stdout: string(j.streams[0].kept), Stderr: string(j.streams[1].kept)}
	if name := signalNames[j.status-firstSignal]; name != "" {
		r.Signal = name
	}
	return r
}
