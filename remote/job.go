package remote

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// jobDir sets where a folder per job is on the host: cmd, pid, since, boot, log, exit.
const jobDir = `jobs=/var/lib/jarvis/jobs
[ "$(id -u)" = 0 ] || jobs=$HOME/.local/state/jarvis/jobs
`

// started gives when a process began, in ticks of the machine (proc_pid_stat(5), field 22); nothing where there is no /proc.
const started = `started() {
  s=; { read -r s < "/proc/$1/stat"; } 2>/dev/null
  set -- ${s##*") "}
  if [ $# -ge 20 ]; then shift 19; echo "$1"; fi
}
`

// ours sets p to the job's process, and tells whether that is still the one that was started: a host gives the number of a
// process that is gone to another one.
const ours = started + `ours() {
  [ -s "$d/pid" ] || return 1
  p=$(cat "$d/pid"); was=$(cat "$d/since" 2>/dev/null); now=$(started "$p")
  [ -z "$was" ] || [ -z "$now" ] || [ "$was" = "$now" ]
}
`

// startScript starts a job unless its folder is there. mkdir is atomic, so a job is started once, whoever asks how
// often. The command comes on stdin, so that it shows in no process list; its length is checked, because a connection
// that breaks now would leave the start of a command, or none, and that would run. The command runs in a session of its own: the connection may break without harm.
const startScript = jobDir + `umask 077
mkdir -p "$jobs" || exit 90
d=$jobs/$1
if [ -d "$d" ]; then exit 0; fi
cat > "$d.$2.cmd" || exit 91
if [ "$(($(wc -c < "$d.$2.cmd")))" -ne "$3" ]; then rm -f "$d.$2.cmd"; exit 92; fi
if mkdir "$d" 2>/dev/null; then
  mv "$d.$2.cmd" "$d/cmd"
  cat /proc/sys/kernel/random/boot_id > "$d/boot" 2>/dev/null
  : > "$d/log"
  cd /; unset JARVIS_RUN
  setsid sh -c '` + started + `started $$ > "$1/since"; echo $$ > "$1/pid"; sh "$1/cmd" > "$1/log" 2>&1 < /dev/null; echo $? > "$1/exit.new"; mv "$1/exit.new" "$1/exit"' jarvis "$d" > /dev/null 2>&1 < /dev/null &
else
  rm -f "$d.$2.cmd"
fi
exit 0`

// pollScript tells the job's state in the first line, then its log from a byte on. The state is read before the log,
// so that the log of an ended job is whole.
const pollScript = jobDir + ours + `d=$jobs/$1
state=lost
if [ ! -d "$d" ]; then state=none
elif [ -s "$d/exit" ]; then state="exit $(cat "$d/exit")"
elif [ -s "$d/boot" ] && [ "$(cat "$d/boot")" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then state=lost
elif ours && kill -0 "$p" 2>/dev/null; then state=running
elif [ -s "$d/exit" ]; then state="exit $(cat "$d/exit")"
fi
echo "$state"
tail -c "+$2" "$d/log" 2>/dev/null
exit 0`

// killScript ends a job and all it started.
const killScript = jobDir + ours + `d=$jobs/$1
ours && kill -9 "-$p" 2>/dev/null
exit 0`

var jobID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,120}$`)

// ErrUnknownOutcome: the job was started, its process is gone, and it left no exit status: the host was rebooted or
// the process killed. It may have half happened.
var ErrUnknownOutcome = errors.New("started, but left no exit status: it may have half happened")

// Job is a shell command that runs on a host at most once.
type Job struct {
	ID      string // of letters, digits, dot and dash; what is asked for under the same one is the same job
	Command string
	Sudo    *Sudo                  // nil: as whoever logs in
	Line    func(string)           // told each line of output, of both streams; may be nil
	Kill    func(cause error) bool // whether a cancelled context ends the job on the host, too; nil: it goes on there
}

// Job runs a shell command on the host at most once, however often it is asked for under the same id: the first
// call starts it, a later one follows what is under way or gives the outcome of what is over, so that a job that was left
// on the host can be taken up again. ErrUnknownOutcome when it can not be known.
func (c *Client) Job(ctx context.Context, j Job) (exit int, err error) {
	if !jobID.MatchString(j.ID) {
		return 0, fmt.Errorf("the job id %q is not of letters, digits, dot and dash", j.ID)
	}
	line := j.Line
	if line == nil {
		line = func(string) {}
	}
	run := func(ctx context.Context, stdin, script string, args ...string) (Result, error) {
		cmd := Command{Args: append([]string{"sh", "-c", script, "jarvis", j.ID}, args...), Sudo: j.Sudo}
		if stdin != "" {
			cmd.Stdin = strings.NewReader(stdin)
		}
		return c.Run(ctx, cmd)
	}
	unique := strconv.FormatInt(time.Now().UnixNano(), 36)
	res, err := run(ctx, j.Command+"\n", startScript, unique, strconv.Itoa(len(j.Command)+1))
	if err != nil {
		return 0, err
	}
	if res.Exit == 92 {
		return 0, fmt.Errorf("%w: the command did not arrive whole, and was not started", ErrLost)
	}
	if res.Exit != 0 {
		return 0, fmt.Errorf("start the command: %s", firstLine(res.Stderr, fmt.Sprintf("exit %d", res.Exit)))
	}
	offset, lost := 1, 0
	var rest string
	pause := 50 * time.Millisecond
	for {
		res, err := run(ctx, "", pollScript, strconv.Itoa(offset))
		if err != nil {
			if ctx.Err() != nil && j.Kill != nil && j.Kill(context.Cause(ctx)) {
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				_, _ = run(end, "", killScript)
			}
			return 0, err
		}
		state, log, _ := strings.Cut(res.Stdout, "\n")
		offset += len(log)
		rest += log
		for {
			l, more, ok := strings.Cut(rest, "\n")
			if !ok {
				break
			}
			line(strings.TrimRight(l, "\r"))
			rest = more
		}
		if log != "" {
			pause = 50 * time.Millisecond
		}
		if code, ok := strings.CutPrefix(state, "exit "); ok && len(log) < MaxOutputBytes/2 {
			if rest != "" {
				line(rest)
			}
			n, err := strconv.Atoi(strings.TrimSpace(code))
			if err != nil {
				return 0, fmt.Errorf("%w: the exit status reads %q", ErrUnknownOutcome, code)
			}
			return n, nil
		}
		if state == "lost" || state == "none" {
			// Just started, the job may not have written its pid yet; so ask a few times before believing it.
			if lost++; lost > 20 {
				return 0, ErrUnknownOutcome
			}
		} else {
			lost = 0
		}
		select {
		case <-ctx.Done():
			continue // the next Run says so, and kills if it must
		case <-time.After(pause):
		}
		pause = min(pause*3/2, time.Second)
	}
}

// JobState is what became of a job.
type JobState int

// The states of a job.
const (
	JobNone  JobState = iota // no such job was started
	JobLives                 // it runs, or something that it started and that is still of its session's group
	JobEnded                 // it left an exit status
	JobLost                  // it left none, and nothing of it runs
)

// askScript tells the state of a job without starting it. The group is asked, not its leader: what the leader started may
// outlive it.
const askScript = jobDir + ours + `d=$jobs/$1
state() {
  if [ ! -d "$d" ]; then echo none
  elif [ -s "$d/exit" ]; then echo "exit $(cat "$d/exit")"
  elif [ -s "$d/boot" ] && [ "$(cat "$d/boot")" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then echo lost
  elif ours && kill -0 "-$p" 2>/dev/null; then echo lives
  elif [ -s "$d/exit" ]; then echo "exit $(cat "$d/exit")"
  else echo lost
  fi
}
n=0
while s=$(state); [ "$s" = lost ] && [ "$n" -lt 5 ]; do n=$((n + 1)); sleep 0.2; done
echo "$s"`

// AskJob tells what became of the job of an id, and its exit status when it has ended. It starts nothing.
func (c *Client) AskJob(ctx context.Context, id string, sudo *Sudo) (state JobState, exit int, err error) {
	if !jobID.MatchString(id) {
		return 0, 0, fmt.Errorf("the job id %q is not of letters, digits, dot and dash", id)
	}
	res, err := c.Run(ctx, Command{Args: []string{"sh", "-c", askScript, "jarvis", id}, Sudo: sudo})
	if err != nil {
		return 0, 0, err
	}
	word := strings.TrimSpace(res.Stdout)
	if code, ok := strings.CutPrefix(word, "exit "); ok {
		if exit, err = strconv.Atoi(code); err == nil {
			return JobEnded, exit, nil
		}
		return JobLost, 0, nil
	}
	state, ok := map[string]JobState{"none": JobNone, "lives": JobLives, "lost": JobLost}[word]
	if !ok {
		return 0, 0, fmt.Errorf("ask for the command: %s", firstLine(res.Stderr, fmt.Sprintf("exit %d", res.Exit)))
	}
	return state, 0, nil
}

func firstLine(s, otherwise string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if s == "" {
		return otherwise
	}
	return s
}
