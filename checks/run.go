package checks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
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

// Bounds of what is kept of a result, in bytes.
const (
	maxRead = 64 << 10 // of what a plugin prints: the rest is not looked at, and the result says so
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
		return judged{status: model.Unknown, line: because(who+" cannot be reached", out.text)}
	}
	if out.text != "" {
		return judged{status: model.Unknown, line: clip(out.text, maxLine), long: withStderr(clip(out.stdout, maxLong), out.stderr)}
	}
	said := out.stdout // as it came: what is expected of it is written for that
	stdout, cut := readable(out.stdout)
	stderr, _ := readable(out.stderr) // of which less than that is kept in any case
	out.stdout, out.stderr = plain.Text(stdout), plain.Text(stderr)
	line, long, perf := model.SplitOutput(out.stdout)
	j := judged{line: clip(line, maxLine), long: clip(long, maxLong-len(cut)), perf: perfText(perf)}
	j.long = strings.TrimLeft(j.long+cut, "\n")
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

// withStderr adds what a plugin wrote on stderr: it often says more than its output.
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

// readable bounds what is read of an output, at the end of a word where there is one; cut is a line that says so.
func readable(s string) (text, cut string) {
	if len(s) <= maxRead {
		return s, ""
	}
	n := strings.LastIndexAny(s[:maxRead+1], " \n")
	if n <= 0 {
		n = maxRead
	}
	return s[:n], fmt.Sprintf("\nits output has %d bytes; the first %d were read", len(s), n)
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
