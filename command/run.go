package command

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// Output is what a command said on one host.
type Output struct {
	Host  string   `json:"host"`
	Exit  int      `json:"exit"`
	Error string   `json:"error,omitempty"` // why it could not be run, or not to its end
	Lines []string `json:"lines"`
	Left  int      `json:"left,omitempty"` // lines that came after these, and were not kept
}

// maxRunLines and maxRunBytes bound what is kept of one host, and of the whole answer, in which a line stands twice:
// for people and for programs.
const (
	maxRunLines = 1000
	maxRunBytes = 16 << 20
)

// runRoom is what is left of maxRunBytes.
type runRoom struct{ left atomic.Int64 }

// take reports whether there is room for one more line of a host, and takes it.
func (r *runRoom) take(host, line string) bool {
	const around = 32 // of a line: quotes, commas, what holds it
	return r.left.Add(-int64(len(host)+2*len(line)+around)) >= 0
}

// add keeps a line, or counts it: what is kept has no gap.
func (o *Output) add(r *runRoom, line string) {
	if o.Left > 0 || len(o.Lines) == maxRunLines || !r.take(o.Host, line) {
		o.Left++
		return
	}
	o.Lines = append(o.Lines, line)
}

func run() Verb {
	return Verb{
		Name: "run", Usage: "HOST[,@GROUP,NAME*,check:STATE…] COMMAND…", Role: access.Run, Min: 2, Max: -1, Acts: true,
		Doc:     "runs one command on hosts of the record; its words reach it as they are, no shell reads them",
		Example: "run loki,thor uptime",
		API: []API{{Method: "POST", Path: "/v1/commands", Gives: []Output{}, Params: []Param{
			{Name: "hosts", In: InBody, Doc: "names of hosts on record, @NAME for those of a cluster or group, patterns with * and ?, and check:critical (or warning, unknown, problem, ok) for those with such a check", Required: true, Kind: Joined},
			{Name: "command", In: InBody, Doc: "the command and its arguments, as they are: no shell reads them", Required: true, Kind: List},
		}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			argv, err := commandOf(c.Args)
			if err != nil {
				return Answer{}, err
			}
			var list []pipeline.Standing
			var left []string
			for _, name := range strings.Split(c.Args[0], ",") {
				some, out, err := e.meant(ctx, name)
				if err != nil {
					return Answer{}, err
				}
				for _, name := range out {
					if !slices.Contains(left, name) {
						left = append(left, name)
					}
				}
				for _, r := range some {
					if !r.Reachable() {
						return Answer{}, &UserError{Msg: fmt.Sprintf("%s has no address and host key on record yet", r.Host), Hint: fmt.Sprintf("`status %s` says where it stands", r.Host)}
					}
					if !slices.ContainsFunc(list, func(h pipeline.Standing) bool { return h.FQDN == r.FQDN }) {
						list = append(list, r)
					}
				}
			}
			if c.Began != nil {
				var names []string
				for _, h := range list {
					names = append(names, h.Host)
				}
				c.Began(append(names, left...))
			}
			out := make([]Output, len(list), len(list)+len(left))
			var wg guard.Group
			room := make(chan struct{}, 16)
			var kept runRoom
			kept.left.Store(maxRunBytes)
			for i, r := range list {
				out[i].Host = r.Host
				told := false
				tell := func() {
					if told = true; c.Ended != nil {
						c.Ended(out[i])
					}
				}
				bug := func(p *guard.Panic) {
					e.Log.Error("a bug: something panicked", "what", "run a command on a host", "host", r.Host, "err", p.Error(), "stack", string(p.Stack))
					out[i].Error = "a bug of mine; the stack is in my log"
					if !told { // else it is who hears of it that has the bug
						tell()
					}
				}
				wg.Go(bug, func() {
					room <- struct{}{}
					defer func() { <-room }()
					secrets := e.Engine.Masker(r.Run)
					res, err := e.Exec(ctx, r, argv, func(l string) {
						out[i].add(&kept, clip(secrets.Mask(l), 2000))
					})
					out[i].Exit = res.Exit
					if errors.Is(err, context.Canceled) && ctx.Err() != nil {
						err = errors.New("it was cancelled before it ended")
					}
					if err != nil {
						out[i].Error = clip(secrets.Mask(err.Error()), 300)
					}
					tell()
				})
			}
			wg.Wait()
			for _, name := range left {
				o := Output{Host: name, Error: "it was left out: no address and host key of it are on record"}
				if out = append(out, o); c.Ended != nil {
					c.Ended(o)
				}
			}
			a := Answer{Data: out}
			for _, r := range out {
				for _, l := range r.Lines {
					a.Lines = append(a.Lines, r.Host+": "+l)
				}
				if r.Left > 0 {
					a.Lines = append(a.Lines, fmt.Sprintf("%s: … and %s more; `jarvis exec` shows all, or write it to a file there", r.Host, lines(r.Left)))
				}
				a.Bad = a.Bad || r.Exit != 0 || r.Error != ""
				switch {
				case r.Error != "":
					a.Lines = append(a.Lines, r.Host+" failed: "+r.Error)
				case r.Exit != 0:
					a.Lines = append(a.Lines, fmt.Sprintf("%s: exit code %d", r.Host, r.Exit))
				case len(r.Lines) == 0 && r.Left == 0:
					a.Lines = append(a.Lines, r.Host+": done, no output")
				}
			}
			return a, nil
		},
	}
}

// meant gives the hosts that a word stands for: one by its name, with @ those of a cluster or a group, with * or ?
// those whose name matches, and with check: those that have a check in that state. left are those that were meant, and
// that nobody can reach by what is on record.
func (e *Env) meant(ctx context.Context, word string) (list []pipeline.Standing, left []string, err error) {
	if state, ok := strings.CutPrefix(word, "check:"); ok {
		return e.checkedAs(ctx, state)
	}
	if strings.ContainsAny(word, "*?") {
		list, err = e.matching(ctx, word)
		return list, nil, err
	}
	name, many := strings.CutPrefix(word, "@")
	if !many {
		h, err := findHost(ctx, e, word)
		return []pipeline.Standing{h}, nil, err
	}
	list, err = e.Engine.Members(ctx, name)
	if errors.Is(err, pipeline.ErrNotFound) {
		return nil, nil, &UserError{Msg: fmt.Sprintf("there is no cluster or group %s on record", clip(name, 80)), Kind: ErrNotFound}
	}
	return list, nil, err
}

// matching gives the hosts whose full or short name matches a pattern.
func (e *Env) matching(ctx context.Context, pattern string) (out []pipeline.Standing, err error) {
	pattern = strings.ToLower(pattern)
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, &UserError{Msg: fmt.Sprintf("%q is no pattern of names", clip(pattern, 80)), Hint: "* stands for any letters, ? for one", Kind: ErrUsage}
	}
	for after := ""; ; {
		list, err := e.Engine.Hosts(ctx, after, 1000)
		if err != nil {
			return nil, err
		}
		for _, h := range list {
			full, _ := path.Match(pattern, h.FQDN)
			short, _ := path.Match(pattern, h.Host)
			// A host that was taken down, or is not made yet, is not what a pattern means.
			if (full || short) && h.Reachable() {
				out = append(out, h)
			}
			after = h.FQDN
		}
		if len(list) < 1000 {
			break
		}
	}
	if len(out) == 0 {
		err = &UserError{Msg: fmt.Sprintf("no host on record that can be reached matches %s", clip(pattern, 80)), Hint: "`hosts` lists them", Kind: ErrNotFound}
	}
	return out, err
}

// checkedAs gives the hosts on record that have a check in that state.
func (e *Env) checkedAs(ctx context.Context, state string) (out []pipeline.Standing, left []string, err error) {
	if e.Checks == nil {
		return nil, nil, &UserError{Msg: "no checks are declared here"}
	}
	list, err := e.Checks.List(ctx, checks.Filter{Status: state})
	if err != nil {
		return nil, nil, &UserError{Msg: fmt.Sprintf("check:%s means no hosts: %v", clip(state, 40), err), Kind: ErrUsage}
	}
	seen := map[string]bool{}
	for _, c := range list {
		if seen[c.Host] {
			continue
		}
		seen[c.Host] = true
		h, err := e.Engine.FindHost(ctx, c.Host)
		switch {
		case err == nil && h.Reachable():
			out = append(out, h)
		case err == nil, errors.Is(err, pipeline.ErrNotFound):
			left = append(left, c.Host)
		default:
			return nil, nil, err
		}
	}
	if len(out) == 0 && len(left) > 0 {
		err = &UserError{Msg: fmt.Sprintf("no address and host key are on record of any host with a check that is %s: %s", clip(state, 40), plain.Some(left, 12)), Hint: "`jarvis exec` reaches hosts that are not on record", Kind: ErrNotFound}
	} else if len(out) == 0 {
		err = &UserError{Msg: fmt.Sprintf("no host has a check that is %s", clip(state, 40)), Kind: ErrNotFound}
	}
	return out, left, err
}

func lines(n int) string {
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}

// commandOf gives the command for the hosts. A word before it that looks like a flag is one that `run` does not have:
// as a command it would mean something that nobody typed. After "--" every word is the command's.
func commandOf(args []string) ([]string, error) {
	for i, w := range args[:2] {
		switch {
		case i == 1 && w == "--":
			if len(args) == 2 {
				return nil, &UserError{Msg: "no command stands after --", Hint: "as in `run loki,thor uptime`", Kind: ErrUsage}
			}
			return args[2:], nil
		case strings.HasPrefix(w, "-"):
			return nil, &UserError{Msg: fmt.Sprintf("`run` has no flag %s", clip(w, 40)), Hint: "a command that begins so stands after --, as in `run HOST -- COMMAND`", Kind: ErrUsage}
		}
	}
	return args[1:], nil
}
