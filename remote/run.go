package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/internal/guard"
)

// Command to run on the host.
type Command struct {
	Args []string // each is quoted: nothing in them reaches a shell
	Line string   // instead of Args: a line for the login shell on the host, as with ssh(1)
	Sudo *Sudo    // nil: as the login user
	Dir  string   // working directory; "": the login directory
	// Env is added to the environment. Who may list processes on the host can read it: a secret goes to Stdin.
	Env map[string]string
	// PTY asks for a terminal. The two streams are one then, and lines end as the terminal wants.
	PTY bool

	// Stdin is read until it ends or the command does; nil: nothing. A reader that may block for ever should be closed
	// after Run: the goroutine that reads it is the only one that may outlive Run.
	Stdin  io.Reader
	Stdout func(line string) // called for each line, never at once with Stderr; nil: kept in Result
	Stderr func(line string)
	// Raw gives Stdout and Stderr each line with its end as it came, "\r\n" too, and the last without one when it has
	// none: put together, they are the bytes of the stream.
	Raw bool
	// Apart keeps what a login shell says at every login out of both streams, for commands whose output is read by a
	// program. A command that then does not even begin is an error.
	Apart bool
	// Hold says that the command stays as long as the caller likes, as a lock does: others do not wait for its session.
	Hold bool
	// Output takes the bytes of stdout as they come, instead of Stdout. When a Write fails, the command is ended on the
	// host, and Run gives that error.
	Output io.Writer
}

// Sudo runs a command as somebody else. Whoever logs in as root, and is to be root, needs none: it is not used then.
type Sudo struct {
	User     string                 // "": root
	Password func() (string, error) // asked when sudo wants one; nil: it must not (sudo -n)
}

// Result of a command that ran.
type Result struct {
	Exit   int
	Signal string // "KILL" when a signal ended it
	Stdout string // when Command.Stdout is nil; at most MaxOutputBytes
	Stderr string
}

// MaxOutputBytes bounds what a Result keeps of one stream, and maxLine one line: a longer one comes in pieces.
const (
	MaxOutputBytes = 1 << 20
	maxLine        = 64 << 10
)

// ErrSudo: sudo did not let us. Nothing has run.
var ErrSudo = errors.New("sudo refused")

// errNotOpened: the connection was dead before the command began; it may be tried on another.
var errNotOpened = fmt.Errorf("%w before the command began", ErrLost)

// Run runs a command and waits for it. A command that ran and failed is no error: look at Exit. When ctx ends, the
// process on the host and all it started get TERM, and after a moment KILL. The error wraps ErrLost, ErrSudo, or the
// cause of ctx.
func (c *Client) Run(ctx context.Context, cmd Command) (Result, error) {
	if cmd.Sudo != nil && c.target.User == "root" && (cmd.Sudo.User == "" || cmd.Sudo.User == "root") {
		cmd.Sudo = nil // root needs none, and a host may have none
		if len(cmd.Args) == 0 {
			cmd.Args = shLine(cmd.Line) // as under sudo: the same line has one meaning on all hosts, whoever logs in
		}
	}
	// Until the host has answered, nothing of x/crypto/ssh heeds a context: a half-open connection is closed under it.
	begun := make(chan struct{})
	defer c.closeUnless(ctx, begun)()
	begin := sync.OnceFunc(func() { close(begun) })
	defer begin()
	s, owner, err := c.session(ctx, cmd.Hold)
	if err != nil {
		if ctx.Err() != nil {
			return Result{}, context.Cause(ctx)
		}
		return Result{}, err
	}
	return owner.runIn(ctx, s, cmd, begun, begin)
}

// closeUnless closes the connection some time after ctx has ended, unless the command has begun by then, until stop.
func (c *Client) closeUnless(ctx context.Context, begun <-chan struct{}) (stop func() bool) {
	return context.AfterFunc(ctx, guard.Func(guard.Count, func() {
		select {
		case <-begun:
		case <-time.After(killGrace):
			_ = c.conn.Close()
		}
	}))
}

// runIn runs a command in a session of this connection. begin is called when the host has answered.
func (c *Client) runIn(ctx context.Context, s *gossh.Session, cmd Command, begun <-chan struct{}, begin func()) (res Result, err error) {
	defer c.closeUnless(ctx, begun)()
	defer func() { c.free(cmd.Hold) }()
	defer func() { _ = s.Close() }()
	if cmd.PTY {
		if err := s.RequestPty("xterm", 24, 80, gossh.TerminalModes{gossh.ECHO: 0}); err != nil {
			return Result{}, fmt.Errorf("%s gives no terminal: %w", c.addr, err)
		}
	}
	mark := rand.Text()
	if cmd.plain() {
		defer c.countPlain()()
		_, _ = s.SendRequest("env", false, gossh.Marshal(struct{ Name, Value string }{plainMark, mark})) // no answer is waited for
	}
	p, err := connectPipes(s, cmd, mark, &res)
	if err != nil {
		return Result{}, err
	}
	if err := s.Start(cmd.shell(mark)); err != nil {
		if ctx.Err() != nil {
			return Result{}, context.Cause(ctx)
		}
		return Result{}, fmt.Errorf("%w: %s", ErrLost, reason(err))
	}
	begin()
	if cmd.Stdin != nil && p.door == nil {
		guard.Go(guard.Count, func() { feed(p.stdin, cmd.Stdin) })
	}
	done := make(chan error, 1)
	guard.Send(done, s.Wait)
	var refused <-chan error
	if p.door != nil {
		refused = p.door.refused
	}
	select {
	case err = <-done:
	case err = <-refused:
		c.end(s, done, cmd, mark)
		return Result{}, err
	case err = <-p.given.failed: // nobody reads any more: the host would wait for ever to get rid of what it has to say
		c.end(s, done, cmd, mark)
		return Result{}, err
	case <-ctx.Done():
		c.end(s, done, cmd, mark)
		return Result{}, context.Cause(ctx)
	}
	if p.door != nil {
		p.door.close()
		select {
		case err := <-refused:
			return Result{}, err
		default:
		}
	}
	if err := p.close(); err != nil {
		return res, err
	}
	return p.outcome(cmd, res, err)
}

// pipes are what a session's streams go through.
type pipes struct {
	out, errs *lines
	given     *guardedWriter // Command.Output
	frames    []*frame       // of Command.Apart: stdout, stderr
	stdin     io.WriteCloser // nil without a Stdin and a password
	door      *sudoDoor      // nil without a password
}

// connectPipes puts them before the session starts. What is kept of the output goes to res.
func connectPipes(s *gossh.Session, cmd Command, mark string, res *Result) (p pipes, err error) {
	var mu sync.Mutex
	p.out = &lines{mu: &mu, raw: cmd.Raw, f: cmd.Stdout, keep: &res.Stdout}
	p.errs = &lines{mu: &mu, raw: cmd.Raw, f: cmd.Stderr, keep: &res.Stderr}
	s.Stdout, s.Stderr = p.out, p.errs
	p.given = &guardedWriter{w: cmd.Output, failed: make(chan error, 1)}
	if cmd.Output != nil {
		s.Stdout = p.given
	}
	if cmd.Apart {
		p.frames = []*frame{newFrame(mark, s.Stdout, false), newFrame(mark, p.errs, true)}
		s.Stdout, s.Stderr = p.frames[0], p.frames[1]
	}
	// Wait of a session with a Stdin would wait for it, also when the command has long ended.
	if cmd.Stdin != nil || cmd.Sudo != nil && cmd.Sudo.Password != nil {
		if p.stdin, err = s.StdinPipe(); err != nil {
			return p, fmt.Errorf("%w: %s", errNotOpened, reason(err))
		}
	}
	if cmd.Sudo != nil && cmd.Sudo.Password != nil {
		if cmd.PTY { // both streams are one there
			p.door = newSudoDoor(p.stdin, cmd, mark, s.Stdout)
			s.Stdout = p.door
		} else {
			p.door = newSudoDoor(p.stdin, cmd, mark, s.Stderr)
			s.Stderr = p.door
		}
	}
	return p, nil
}

// close gives out what is left of the streams of a command that has ended. The error is that of a reader of ours.
func (p *pipes) close() error {
	for _, f := range p.frames {
		f.close()
	}
	p.out.flush()
	p.errs.flush()
	for _, bug := range []error{p.out.bug, p.errs.bug, p.given.err()} {
		if bug != nil {
			return bug
		}
	}
	select {
	case err := <-p.given.failed: // the command ended at the same moment
		return err
	default:
		return nil
	}
}

// outcome says how a command did, by what the session ended with.
func (p *pipes) outcome(cmd Command, res Result, ended error) (Result, error) {
	var exit *gossh.ExitError
	var missing *gossh.ExitMissingError
	switch {
	case ended == nil:
	case errors.As(ended, &missing):
		return res, fmt.Errorf("%w: its session ended, and nobody said how the command did", ErrLost)
	case errors.As(ended, &exit):
		res.Exit, res.Signal = exit.ExitStatus(), exit.Signal()
	default:
		return res, fmt.Errorf("%w: %s", ErrLost, reason(ended))
	}
	if p.door != nil && !p.door.opened() {
		return res, sudoRefused(res)
	}
	if cmd.Apart && !p.frames[0].open {
		return res, notBegun(cmd, res)
	}
	return res, nil
}

// feed gives a command its stdin. It ends with the command at the latest when the reader has something more.
func feed(to io.WriteCloser, from io.Reader) {
	defer func() { _ = to.Close() }() // also when from panics: the command reads an end, and ends
	_, _ = io.Copy(to, from)
}

// killGrace is how long a command may take to end after TERM.
const killGrace = 2 * time.Second

//go:embed kill.sh
var killMarked string

// runMark is the name that a command's mark has in its environment, and plainMark that of a plain line, which is asked
// for by the protocol (RFC 4254 §6.4): many hosts take names that begin with LC_, and none needs a shell for it.
const (
	runMark   = "JARVIS_RUN="
	plainMark = "LC_JARVIS_RUN"
)

// End ends all processes on the host that have NAME=value in their environment, TERM first and KILL after two seconds:
// those of a command, say, that a server started which died since. What other users run it ends only with sudo; nil:
// without.
func (p *Pool) End(ctx context.Context, t Target, mark string, sudo *Sudo) error {
	_, err := p.Run(ctx, t, Command{Args: killArgs(mark), Sudo: sudo})
	return err
}

// killArgs ends what has NAME=value in its environment.
func killArgs(mark string) []string {
	name, value, _ := strings.Cut(mark, "=")
	return []string{"sh", "-c", killMarked, "jarvis", name, value}
}

// endTime bounds the ending of a command on a host that answers: a busy one needs longer than the grace that it gives.
const endTime = 10 * killGrace

// end ends a command on the host, and then its session. It returns when no process of the command is left, so that
// whoever has a lock may give it back, or when the host does not answer.
func (c *Client) end(s *gossh.Session, done <-chan error, cmd Command, mark string) {
	_ = s.Signal(gossh.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	stop := context.AfterFunc(ctx, guard.Func(guard.Count, func() { _ = c.conn.Close() }))
	defer stop()
	silent := time.AfterFunc(2*killGrace, guard.Func(guard.Count, cancel)) // a half-open connection never answers
	defer silent.Stop()
	args := killArgs(runMark + mark)
	if cmd.plain() && c.alonePlain() {
		args = append(args, "plain")
	}
	kill := Command{Args: args, Sudo: cmd.Sudo, Stdout: func(string) { silent.Reset(2 * killGrace) }}
	killed := make(chan struct{})
	guard.Go(guard.Count, func() {
		defer close(killed)
		_, _ = c.Run(ctx, kill)
	})
	select {
	case <-killed:
	case <-ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(killGrace + killGrace/2): // what is there cannot be ended, or is not ours to end
		_ = s.Close()
		<-done
	}
}

// plain reports a line that the host gets as ssh(1) would send it: its login shell, or what a ForceCommand makes of it,
// reads it, and nothing of ours is before it.
func (cmd Command) plain() bool {
	return len(cmd.Args) == 0 && cmd.Sudo == nil && cmd.Dir == "" && len(cmd.Env) == 0 && !cmd.Apart
}

// loginShell has the login shell of whoever logged in read a line. By its level bash knows that ~/.bashrc was read
// before.
const loginShell = `SHLVL=1; export SHLVL; exec "${SHELL:-/bin/sh}" -c "$1"`

// dirScript runs a command in a directory, or says why not in a sentence: each shell has its own words for that.
const dirScript = `cd -- "$1" 2> /dev/null || { if [ -d "$1" ]; then echo "the directory $1 is not open to $(id -un)"; else echo "there is no directory $1"; fi >&2; exit 2; }; shift; exec "$@"`

// notOption keeps a shell from taking a line for an option, as it does after -c, too.
func notOption(line string) string {
	if strings.HasPrefix(line, "-") || strings.HasPrefix(line, "+") {
		return " " + line
	}
	return line
}

// shLine has sh read a line.
func shLine(line string) []string { return []string{"sh", "-c", notOption(line)} }

// shell writes the command for the login shell of the host, which may be any: it meets quoted words only.
func (cmd Command) shell(mark string) string {
	args, line := cmd.Args, notOption(cmd.Line)
	switch {
	case cmd.plain():
		return line
	case len(args) == 0 && (cmd.Sudo != nil || cmd.Apart):
		args = shLine(line)
	case len(args) == 0:
		args = []string{"sh", "-c", loginShell, "jarvis", line}
	}
	env := []string{"env", runMark + mark}
	for _, k := range slices.Sorted(maps.Keys(cmd.Env)) {
		env = append(env, k+"="+cmd.Env[k])
	}
	if cmd.Dir != "" {
		args = append([]string{"sh", "-c", dirScript, "jarvis", cmd.Dir}, args...)
	}
	if cmd.Apart {
		args = append([]string{"sh", "-c", beginScript, "jarvis", beginMark(mark)}, args...)
	}
	args = append(env, args...)
	if cmd.Sudo == nil {
		return commandLine(args...)
	}
	sudo := []string{"sudo", "-n", "-H"}
	if cmd.Sudo.Password != nil {
		sudo = []string{"sudo", "-S", "-H", "-p", promptMark(mark)}
		open := `echo "$1" >&2; shift; exec "$@"`
		if cmd.PTY {
			open = `echo "$1"; shift; exec "$@"`
		}
		args = append([]string{"sh", "-c", open, "jarvis", openMark(mark)}, args...)
	}
	if cmd.Sudo.User != "" {
		sudo = append(sudo, "-u", cmd.Sudo.User)
	}
	return commandLine(append(append(sudo, "--"), args...)...)
}

// lines cuts a stream into lines, or keeps it.
type lines struct {
	mu   *sync.Mutex // shared by both streams, so that two callbacks never run at once
	raw  bool        // lines keep their ends
	f    func(string)
	keep *string
	buf  bytes.Buffer
	bug  error // f panicked; mu guards it, and after Run's wait nothing writes it
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		if room := MaxOutputBytes - l.buf.Len(); room > 0 {
			l.buf.Write(p[:min(room, len(p))])
		}
		return len(p), nil
	}
	l.buf.Write(p)
	for {
		b := l.buf.Bytes()
		i := bytes.IndexByte(b, '\n')
		if i < 0 && len(b) < maxLine {
			return len(p), nil
		}
		if i < 0 {
			i = maxLine - 1
		}
		line := string(b[:i+1])
		if !l.raw {
			line = strings.TrimRight(line, "\r\n")
		}
		l.buf.Next(i + 1)
		l.say(line)
	}
}

// say gives a line to whoever listens. They are called in a goroutine of the library's, so a panic of theirs would end
// the process; once it has happened the rest is read and dropped, for the command must not hang.
func (l *lines) say(line string) {
	if l.bug != nil {
		return
	}
	if p := guard.Do(func() { l.f(line) }); p != nil {
		l.bug = p
	}
}

// guardedWriter is the same for bytes. The first error of w goes to failed.
type guardedWriter struct {
	w      io.Writer
	failed chan error
	mu     sync.Mutex
	bug    error
}

func (g *guardedWriter) Write(p []byte) (n int, err error) {
	if g.err() != nil {
		return len(p), nil
	}
	if bug := guard.Do(func() { n, err = g.w.Write(p) }); bug != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.bug = bug
		return len(p), nil
	}
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		select {
		case g.failed <- err:
		default:
		}
	}
	return n, err
}

// err gives the panic of w, once it had one.
func (g *guardedWriter) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bug
}

// ReadFrom keeps a host that says little from costing the 32 KiB of io.Copy: a thousand of them add up.
func (l *lines) ReadFrom(r io.Reader) (int64, error) { return readSmall(l, r) }

// flush gives what is left when the stream ends: a last line without an end, or all that was kept.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		*l.keep = l.buf.String()
		return
	}
	if l.raw {
		if l.buf.Len() > 0 {
			l.say(l.buf.String())
		}
		return
	}
	sc := bufio.NewScanner(&l.buf)
	for sc.Scan() {
		l.say(sc.Text())
	}
}
