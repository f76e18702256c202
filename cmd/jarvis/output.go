package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/remote"
)

// printer shows what many hosts say: line by line, as JSON, or at the end with what is equal together; and on a
// terminal, how far it is.
type printer struct {
	out, err io.Writer
	flags    *manyFlags
	raw      bool // lines have their own ends (fleet.ExecOptions.Raw)
	status   bool // a status line is shown on err
	began    time.Time

	mu      sync.Mutex
	hosts   []fleet.Host
	groups  []group
	shown   int // width of the status line that stands there
	what    string
	all     int
	ended   int
	failed  int
	sudo    bool // a host's sudo wants a password that it was not given
	refresh time.Time
}

// group is one host's output.
type group struct {
	text strings.Builder
	cut  bool
	note string // how it ended, when not well
}

// maxGroup bounds what is kept of one host's output for --group.
const maxGroup = 1 << 20

// newPrinter gives a printer, and a context that ends when nobody takes what it prints.
func newPrinter(ctx context.Context, t *term, m *manyFlags) (context.Context, *printer) {
	ctx, stop := context.WithCancelCause(ctx)
	// By default we would die of the first line that nobody reads; what runs on the hosts would go on, without the
	// lock.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	out := below(t.out).(io.Writer)
	watch := sync.OnceFunc(func() { whileRead(ctx, out, func(err error) { stop(err) }) })
	return ctx, &printer{out: &taken{out, stop, watch}, err: &taken{t.err, stop, nil}, flags: m, status: canRedraw(t.err) && !m.Quiet && !m.JSON, began: time.Now()}
}

// verdict says what failed, and what was stopped and why; nil when all went well.
func (p *printer) verdict(ctx context.Context, results []fleet.Result, lost []*fleet.HostError) error {
	cause := context.Cause(ctx)
	var out *outputError
	switch {
	case cause == nil:
		return p.summary(results, lost)
	case interrupted(ctx):
		done := 0
		for _, r := range results {
			if r.Err == nil {
				done++
			}
		}
		return p.interrupted(done)
	case !errors.As(cause, &out):
		return cause
	}
	stopped := 0
	for _, r := range results {
		if errors.Is(r.Err, cause) {
			stopped++
		}
	}
	switch {
	case len(results) == 0 || stopped == len(results):
		return broken(cause)
	case stopped > 0:
		return &exitError{exitFailed, fmt.Sprintf("%d of %s were stopped: %s", stopped, hosts(len(results)), out)}
	}
	err := p.summary(results, lost)
	if err == nil && !out.unread() {
		return &exitError{exitFailed, "everything was done, but " + out.Error()}
	}
	if err == nil {
		p.note("everything was done; %s", out)
	}
	return err
}

// interrupted reports whether somebody ended us, by Ctrl-C or another signal.
func interrupted(ctx context.Context) bool {
	var out *outputError
	cause := context.Cause(ctx)
	return cause != nil && !errors.As(cause, &out) && !errors.Is(cause, fleet.ErrLockLost)
}

// notBegun is for interrupted: nothing ran yet.
const notBegun = -1

// interrupted says what a Ctrl-C left. done is the number of hosts where all had ended by itself.
func (p *printer) interrupted(done int) error {
	switch all := len(p.hosts); {
	case done == notBegun:
		p.note("interrupted; nothing was done")
	case done == all:
		p.note("interrupted at the very end: all was done")
	case all == 1:
		p.note("interrupted; what ran was ended")
	default:
		p.note("interrupted: %d of %s had ended; what ran on the others was ended", done, hosts(all))
	}
	return &exitError{exitInterrupted, ""}
}

// ending is what work ends with: its own error, or what became of the hosts. That some files were not sent stands
// beside what failed on a host.
func (p *printer) ending(ctx context.Context, results []fleet.Result, lost []*fleet.HostError, err error) error {
	var some *exitError
	if err == nil || ctx.Err() != nil {
		return p.verdict(ctx, results, lost)
	}
	if errors.As(err, &some) && some.code == exitPartly {
		if failed := p.verdict(ctx, results, lost); failed != nil {
			p.note("%s", some.msg)
			return failed
		}
	}
	return err
}

// start says on which hosts something begins.
func (p *printer) start(what string, hosts []fleet.Host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts, p.what, p.all, p.ended = hosts, what, len(hosts), 0
	p.groups = make([]group, len(hosts))
}

// opened shows how many connections are there.
func (p *printer) opened(done, all int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.all, p.ended = "connecting", all, done
	p.show(done == all)
}

func (p *printer) line(l fleet.Line) {
	stream := "stdout"
	if l.Stderr {
		stream = "stderr"
	}
	p.stream(stream, l, l.Text)
}

// stream shows a line, which for programs is of that stream, and says body.
func (p *printer) stream(stream string, l fleet.Line, body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := p.hosts[l.Host].Name
	p.sudo = p.sudo || l.Stderr && p.flags.Sudo && !p.flags.Password && wantsPassword(l.Text)
	switch {
	case p.flags.JSON:
		p.json(map[string]string{"stream": stream, "node": name, "body": body})
	case p.flags.Group:
		g := &p.groups[l.Host]
		if g.text.Len()+len(l.Text) > maxGroup {
			g.cut = true
			return
		}
		g.text.WriteString(l.Text + "\n")
	default:
		p.clear()
		w := p.out
		if l.Stderr {
			w = p.err
		}
		switch {
		case p.raw:
			_, _ = io.WriteString(w, l.Text)
		case p.flags.Quiet:
			_, _ = fmt.Fprintln(w, l.Text)
		default:
			_, _ = fmt.Fprintf(w, "%s: %s\n", name, l.Text)
		}
		p.show(false)
	}
}

func (p *printer) json(v any) {
	_ = contract.Write(p.out, v)
}

// note says something that is not a host's output.
func (p *printer) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	_, _ = fmt.Fprintf(p.err, "jarvis: "+format+"\n", args...)
}

// say prints a line of ours.
func (p *printer) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	_, _ = fmt.Fprintf(p.out, format+"\n", args...)
}

// bytes shows how much of the files is read, and how long the rest will take.
func (p *printer) bytes(read, all int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = fmt.Sprintf("sending %s of %s", size(read), size(all))
	if took := time.Since(p.began); read > 0 && took > time.Second {
		p.what += fmt.Sprintf(", %s left", time.Duration(float64(took)*float64(all-read)/float64(read)).Round(time.Second))
	}
	p.show(read == all)
}

// lost says that a host could not be reached, when the others go on.
func (p *printer) lost(h fleet.Host, err error) {
	p.note("%s: %v", h.Name, err)
	if p.flags.JSON {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.exit("exit", fleet.Result{Host: h, Err: err}, nil)
	}
}

// members are those of an object beside the ones that all have.
type members map[string]any

// exit prints the object with which each host ends, or, with another name of the stream, a part of the work. There is
// an exit code in it, or an error: nobody knows both.
func (p *printer) exit(stream string, r fleet.Result, more members) {
	m := members{"stream": stream, "node": r.Host.Name, "seconds": r.Took.Seconds()}
	maps.Copy(m, more)
	if r.Err != nil {
		m["error"] = r.Err.Error()
	} else {
		m["exit"] = r.Exit
	}
	if r.Signal != "" {
		m["signal"] = r.Signal
	}
	p.json(m)
}

// ranNowhere ends, for programs, the hosts that have the files when others do not.
func (p *printer) ranNowhere(sent []fleet.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range sent {
		if r.Err == nil && p.flags.JSON {
			r.Err = errors.New("the tool did not run, since not all hosts have all files")
			p.exit("exit", r, nil)
		}
	}
}

// connects tells whoever asked for it (-v) where it goes.
func (p *printer) connects(hosts []fleet.Host) {
	if p.flags.Verbose > 0 {
		for _, h := range hosts {
			p.note("connecting to %s: %s", h.Name, h.Target.Key())
		}
	}
}

// ready tells whoever asked for it (-v) that the work begins.
func (p *printer) ready(on []fleet.Host, locked bool) {
	if p.flags.Verbose > 0 {
		p.note("connected to %s%s", hosts(len(on)), map[bool]string{true: ", and locked", false: ", without a lock"}[locked])
	}
}

// result counts one.
func (p *printer) result(i int, r fleet.Result) { p.resultOf("exit", i, r, nil) }

// resultOf counts the end of a host. Only --json prints it at once; otherwise its group does when all is over.
func (p *printer) resultOf(stream string, i int, r fleet.Result, more members) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended++
	if !r.OK() {
		p.failed++
		p.groups[i].note = r.How()
	}
	if p.flags.JSON {
		p.exit(stream, r, more)
	}
	p.show(p.ended == p.all)
}

// show writes the status line, ten times a second at most.
func (p *printer) show(now bool) {
	if !p.status || !now && time.Since(p.refresh) < 100*time.Millisecond {
		return
	}
	p.refresh = time.Now()
	s := fmt.Sprintf("%s: %d/%d", p.what, p.ended, p.all)
	if p.failed > 0 {
		s += fmt.Sprintf(", %d failed", p.failed)
	}
	s += fmt.Sprintf(", %s", time.Since(p.began).Round(100*time.Millisecond))
	p.clear()
	_, _ = io.WriteString(p.err, s)
	p.shown = len(s)
}

// clear takes the status line away before anything else is printed. mu is held.
func (p *printer) clear() {
	if p.shown > 0 {
		_, _ = io.WriteString(p.err, "\r\x1b[K")
		p.shown = 0
	}
}

// close prints the groups and takes the status line away.
func (p *printer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	if !p.flags.Group || p.flags.JSON {
		return
	}
	byText := map[string][]string{}
	var order []string
	for i := range p.groups {
		g := &p.groups[i]
		text := g.text.String()
		if g.cut {
			text += "… cut here\n"
		}
		if g.note != "" {
			text += "(" + g.note + ")\n"
		}
		if byText[text] == nil {
			order = append(order, text)
		}
		byText[text] = append(byText[text], p.hosts[i].Name)
	}
	for _, text := range order {
		head := fleet.Fold(byText[text])
		if n := len(byText[text]); n > 1 {
			head += fmt.Sprintf(" (%d)", n)
		}
		if !p.flags.Quiet {
			_, _ = fmt.Fprintf(p.out, "---- %s\n", head)
		}
		_, _ = io.WriteString(p.out, text)
	}
}

// summary says what failed; nil when nothing did.
func (p *printer) summary(results []fleet.Result, lost []*fleet.HostError) error {
	byHow := map[string][]string{}
	var order []string
	add := func(name, how string) {
		if byHow[how] == nil {
			order = append(order, how)
		}
		byHow[how] = append(byHow[how], name)
	}
	bad, strangers := 0, 0
	count := func(err error) {
		bad++
		if errors.Is(err, remote.ErrUnknownHost) {
			strangers++
		}
		p.sudo = p.sudo || errors.Is(err, remote.ErrSudo) && !p.flags.Password && passwordHelps(err.Error())
	}
	for _, e := range lost {
		count(e)
		add(e.Host.Name, fleet.Why(e.Err))
	}
	root := false
	for _, r := range results {
		if !r.OK() {
			count(r.Err)
			root = root || r.Err != nil && wantsRoot(r.Err.Error())
			add(r.Host.Name, r.How())
		}
	}
	if bad == 0 {
		return nil
	}
	all := len(results) + len(lost)
	hint := ""
	switch {
	case strangers > 1:
		hint = notDone{why: "for them", unknown: true}.advice()
	case strangers == 1:
		hint = notDone{unknown: true}.advice()
	case p.sudo:
		hint = sudoAdvice
	case root && !p.flags.Sudo:
		hint = rootAdvice
	}
	if all == 1 {
		return &exitError{exitFailed, fmt.Sprintf("%s: %s", byHow[order[0]][0], order[0]) + hint}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d hosts failed", bad, all)
	for _, h := range order {
		fmt.Fprintf(&b, "\n  %s: %s", fleet.Fold(byHow[h]), h)
	}
	return &exitError{exitFailed, b.String() + hint}
}

// notDone is why nothing was done, as the hosts or the server told it.
type notDone struct {
	why      string
	unknown  bool // nothing vouches for host keys
	locked   bool // somebody else holds the lock, and the work could do without
	password bool // one was given
	root     bool // it was done as root
}

// advice says what to do about it; "" when there is nothing to say.
func (r notDone) advice() string {
	switch {
	case r.unknown && strings.Contains(r.why, "for them"):
		return "; put their keys into known_hosts, or say --host-key accept-new, which writes down those that they show now"
	case r.unknown:
		return "; put its key into known_hosts, or say --host-key accept-new, which writes down the one that it shows now"
	case strings.Contains(r.why, remote.ErrSudo.Error()) && !r.password && passwordHelps(r.why):
		return sudoAdvice
	case wantsRoot(r.why) && !r.root:
		return rootAdvice
	case r.locked:
		return "; wait for it, or say -t (--no-lock-fail), which goes on with a warning, or -y (--no-lock), which takes no lock"
	}
	return ""
}

// passwordHelps reports whether sudo may do what it is asked once it has a password.
func passwordHelps(why string) bool {
	return !strings.Contains(why, remote.NoSudo) && !strings.Contains(why, "sudoers")
}

const rootAdvice = "; -x (--sudo) does it as root there"

// wantsRoot reports whether a login may not do there what it was told.
func wantsRoot(why string) bool {
	return (strings.Contains(why, "Permission denied") || strings.Contains(why, " may not be ")) && !strings.HasSuffix(why, "by root") && !strings.Contains(why, "; -x ")
}

const sudoAdvice = "; -p (--password) asks for the password once, and gives it to sudo too"

// wantsPassword reports whether a line is sudo's, of a password that it was not given.
func wantsPassword(line string) bool {
	l, is := strings.CutPrefix(line, "sudo: ")
	return is && (strings.HasPrefix(l, "a password is required") || strings.HasPrefix(l, "a terminal is required") || strings.HasPrefix(l, "interactive authentication is required"))
}
