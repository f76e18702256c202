package checks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/remote"
)

// outcome is what came of a run.
type outcome struct {
	exit           int
	signal         string
	stdout, stderr string
	took           time.Duration
	text           string // why there is no exit code
	unreachable    bool   // the host: nothing was run
	noWay          bool   // the way to its silo is missing: nothing is known of the host
}

// code gives the exit code; -1: there is none.
func (o outcome) code() int {
	if o.text != "" || o.unreachable {
		return -1
	}
	return o.exit
}

const defaultTimeout = 30 * time.Second

// job is one run of a pair. The pair itself may change meanwhile.
type job struct {
	model.Key
	where *host
	alive model.Alive       // how it is known whether the host answers
	task  model.Task        // the zero Task: whether the host answers
	vars  map[string]string // of the task, on this host
	lacks string            // what is not set of them, for people
	cut   bool              // an earlier server's run of it may not have ended
	about *outboxRow        // the result on which an action has it run; nil: its schedule does, or a person
}

// overSSH runs a task on its host.
func (m *Monitor) overSSH(ctx context.Context, j job) outcome {
	if j.Task == model.HostAnswers && j.alive.By != model.BySSH {
		return m.askAlive(ctx, j)
	}
	began := time.Now()
	out := m.onHost(ctx, j)
	out.took = time.Since(began)
	return out
}

func (m *Monitor) onHost(ctx context.Context, j job) outcome {
	t := j.task
	target, err := m.target(ctx, j.where)
	if err != nil {
		return outcome{unreachable: true, text: model.OneLine(err)}
	}
	// That it can be reached is asked first: it is another thing than what becomes of the command.
	_, release, err := m.Pool.Get(ctx, target)
	if err != nil {
		return outcome{unreachable: true, noWay: errors.Is(err, remote.ErrNoWay), text: strings.TrimPrefix(model.OneLine(err), "unreachable: ")}
	}
	release()
	if j.Task == model.HostAnswers {
		return outcome{stdout: "it answers"}
	}
	timeout := cmp.Or(t.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %s", timeout))
	defer cancel()
	env, err := m.environment(ctx, j)
	if err != nil {
		return outcome{text: model.OneLine(err)}
	}
	var sudo *remote.Sudo
	if t.Sudo {
		sudo = &remote.Sudo{}
	}
	if j.cut {
		if err := m.Pool.End(ctx, target, checkMark+"="+env[checkMark], sudo); err != nil {
			return outcome{text: model.OneLine(fmt.Errorf("end what the last server left running: %w", err))}
		}
	}
	line := t.Command
	var dir string
	if t.Plugin != "" {
		file, err := m.bring(ctx, j.where, target, t.Plugin)
		if err != nil {
			return outcome{text: model.OneLine(fmt.Errorf("bring the plugin %s: %w", t.Plugin, err))}
		}
		dir = path.Dir(file)
		line = "exec " + remote.Quote(append([]string{file}, arguments(t, env)...)...)
	}
	var res remote.Result
	if sudo != nil || j.about != nil {
		cmd := remote.Sh(line, env)
		if sudo != nil { // which shows what it is given on its own command line
			cmd = remote.Command{Args: []string{"sh", "-c", line}, Env: env, Sudo: sudo}
		}
		if j.about != nil {
			told, err := j.about.told()
			if err != nil {
				return outcome{text: model.OneLine(err)}
			}
			cmd.Stdin = bytes.NewReader(told)
		}
		res, err = m.Pool.Run(ctx, target, cmd)
	} else {
		res, err = m.Pool.Quick(ctx, target, line, env)
	}
	if err != nil {
		return outcome{text: model.OneLine(err), noWay: m.noWay(ctx, target), stdout: res.Stdout, stderr: res.Stderr}
	}
	if t.Plugin != "" && (res.Exit == 126 || res.Exit == 127) {
		m.lost(j.where, dir) // somebody removed it
	}
	return outcome{exit: res.Exit, signal: res.Signal, stdout: res.Stdout, stderr: res.Stderr}
}

// arguments gives those of a plugin. Variables in them are filled in, and of one that runs elsewhere the host that it is about.
func arguments(t model.Task, env map[string]string) []string {
	out := slices.Clone(t.Args)
	for i := range out {
		out[i] = model.FillArg(out[i], func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok && (t.From != "" || strings.HasPrefix(name, model.VarPrefix))
		})
	}
	return out
}

// noWay reports whether the way to a host's silo is missing, after a command has failed.
func (m *Monitor) noWay(ctx context.Context, target remote.Target) bool {
	if target.Through == nil {
		return false
	}
	_, release, err := m.Pool.Get(ctx, target)
	if err == nil {
		release()
	}
	return errors.Is(err, remote.ErrNoWay)
}

// checkMark is the variable by which a run is known on its host, also to a server that was started since.
const checkMark = "JARVIS_CHECK"

// environment gives that of a task, and for one that runs elsewhere which host it is about.
func (m *Monitor) environment(ctx context.Context, j job) (map[string]string, error) {
	env := map[string]string{checkMark: m.known + "/" + j.Key.Task + "/" + j.Key.Host}
	if j.about != nil {
		maps.Copy(env, j.about.environment())
	}
	for k, v := range j.vars {
		env[model.VarPrefix+k] = v
	}
	maps.Copy(env, j.task.Env)
	if j.task.From == "" {
		return env, nil
	}
	m.mu.Lock()
	word := m.wordOf(j.Host)
	m.mu.Unlock()
	t, err := m.Target(ctx, word)
	if err != nil {
		return nil, err
	}
	addr, _, err := net.SplitHostPort(t.Addr)
	if err != nil {
		addr = t.Addr
	}
	env["JARVIS_HOST"], env["JARVIS_ADDRESS"] = j.Host, addr
	return env, nil
}

// wordOf gives what Target is asked for. mu is held.
func (m *Monitor) wordOf(name string) string {
	return cmp.Or(m.cat.Hosts[name].Address, name)
}

// target gives how a host is reached; it is asked for again when the record changes, and when the host could not be reached.
func (m *Monitor) target(ctx context.Context, h *host) (remote.Target, error) {
	m.mu.Lock()
	t, word, silo := h.target, m.wordOf(h.name), m.cat.SiloOf(h.name)
	m.mu.Unlock()
	if t != nil {
		return *t, nil
	}
	got, err := m.Target(ctx, word)
	if err != nil {
		return remote.Target{}, err
	}
	if silo != "" && m.Through != nil {
		m.Through(&got, silo)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h.target = &got
	return got, nil
}

// Bounds of what is kept of a result, in bytes.
const (
	maxLine = 1 << 10
	maxLong = 8 << 10
	maxPerf = 8 << 10
)

// judged is what a result says.
type judged struct {
	status           model.Status
	line, long, perf string
}

// judge says what an outcome means.
func judge(p *model.Plan, out outcome) judged {
	if p.Task == model.HostAnswers {
		if out.unreachable {
			return judged{status: model.Critical, line: clip(out.text, maxLine)}
		}
		if out.text != "" { // nobody knows
			return judged{status: model.Unknown, line: clip(out.text, maxLine)}
		}
		line, _, perf := model.SplitOutput(out.stdout)
		return judged{status: model.OK, line: line, perf: perf}
	}
	if out.unreachable {
		who := "the host"
		if p.Def != nil && p.Def.From != "" {
			who = p.Def.From
		}
		return judged{status: model.Unknown, line: because(who+" can not be reached", out.text)}
	}
	if out.text != "" {
		return judged{status: model.Unknown, line: clip(out.text, maxLine), long: withStderr(clip(out.stdout, maxLong), out.stderr)}
	}
	said := out.stdout // as it came: what is expected of it is written for that
	out.stdout, out.stderr = plain.Text(out.stdout), plain.Text(out.stderr)
	line, long, perf := model.SplitOutput(out.stdout)
	j := judged{line: clip(line, maxLine), long: clip(long, maxLong), perf: perfText(perf)}
	if e := strings.TrimSpace(out.stderr); e != "" {
		if j.line == "" {
			first, _, _ := strings.Cut(e, "\n")
			j.line = clip(first, maxLine)
		}
		j.long = withStderr(j.long, e)
	}
	var task model.Task
	if p.Def != nil {
		task = *p.Def
	}
	switch {
	case out.signal != "":
		j.status, j.line = model.Unknown, because("it was ended by SIG"+out.signal, j.line)
	case len(task.Expect.Exit) > 0 || p.Expect != nil:
		want := task.Expect.Exit
		if len(want) == 0 {
			want = []int{0}
		}
		if !slices.Contains(want, out.exit) {
			j.status, j.line = model.Critical, because(fmt.Sprintf("exit %d", out.exit), j.line)
		} else if p.Expect != nil && !p.Expect.MatchString(said) {
			j.status, j.line = model.Critical, because("its output is not as expected", j.line)
		}
	case out.exit >= 0 && out.exit <= int(model.Unknown):
		j.status = model.Status(out.exit)
	default:
		j.status, j.line = model.Unknown, because(fmt.Sprintf("exit %d", out.exit), j.line)
	}
	if j.line == "" {
		j.line = fmt.Sprintf("exit %d, and no output", out.exit)
	}
	return j
}

func withStderr(long, stderr string) string {
	if stderr = strings.TrimSpace(stderr); stderr == "" {
		return long
	}
	return clip(strings.TrimLeft(long+"\nstderr: "+stderr, "\n"), maxLong)
}

// because puts a reason before what a check said, if it said anything.
func because(reason, said string) string {
	if said == "" {
		return reason
	}
	return clip(reason+": "+said, maxLine)
}

// perfText bounds performance data, at a blank: half a value would be another one.
func perfText(perf string) string {
	if len(perf) > maxPerf {
		perf = perf[:strings.LastIndexByte(perf[:maxPerf+1], ' ')+1]
	}
	return clip(perf, maxPerf)
}

// clip makes text fit for the record, and for a terminal, and not too long.
func clip(s string, n int) string {
	if s = plain.Text(s); len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return strings.TrimSpace(s)
}
