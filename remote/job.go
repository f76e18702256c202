package remote

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// jobDir sets where a folder per job is on the host: cmd, pid, since, boot, cgroup, lock, log, exit.
const jobDir = `jobs=/var/lib/jarvis/jobs
[ "$(id -u)" = 0 ] || jobs=$HOME/.local/state/jarvis/jobs
`

// started gives when a process began, in ticks of the machine (proc_pid_stat(5), field 22); nothing where there is no
// /proc.
const started = `started() {
  s=; { read -r s < "/proc/$1/stat"; } 2>/dev/null
  set -- ${s##*") "}
  if [ $# -ge 20 ]; then shift 19; echo "$1"; fi
}
`

// find knows the processes of the job in $d, whoever owns them. A host gives the number of a process that is gone to
// another one, so its start is compared. sudo takes the environment and closes the lock, but leaves the session; setsid
// leaves the session, but not the environment or the lock. What did both belongs to somebody else, and has lost its
// parent: `unseen` names what we may not look into, and began since in the job's cgroup.
const find = started + `seen() { [ -r /proc/1/stat ] && [ -r /proc/self/stat ]; }
here() { [ ! -s "$d/boot" ] || [ "$(cat "$d/boot")" = "$(cat /proc/sys/kernel/random/boot_id)" ]; }
ours() {
  [ -s "$d/pid" ] && here || return 1
  p=$(cat "$d/pid"); was=$(cat "$d/since" 2>/dev/null); now=$(started "$p")
  [ -z "$was" ] || [ -z "$now" ] || [ "$was" = "$now" ]
}
# A session whose leader is gone may be a stranger's by now: it is ours when something in it says so.
known() { ours && { [ -n "$now" ] || ! seen || marked || held; }; }
marked() { grep -qs "JARVIS_JOB=$d" /proc/[0-9]*/environ 2>/dev/null; }
stat_of() {
  s=; { read -r s < "$1/stat"; } 2>/dev/null
  [ -n "$s" ] || return 1
  name=${s#*"("}; name=${name%")"*}
  set -- ${s##*") "}
  [ "$1" != Z ] && [ "$1" != X ] || return 1
  parent=$2 group=$3 session=$4
  shift 19; began=$1
}
family() {
  leader=; if known; then leader=$p; fi
  for q in /proc/[0-9]*; do
    stat_of "$q" || continue
    if [ -n "$leader" ] && { [ "$session" = "$leader" ] || [ "$group" = "$leader" ]; }; then echo "${q#/proc/}"; fi
  done
  for q in $(grep -ls "JARVIS_JOB=$d" /proc/[0-9]*/environ 2>/dev/null); do
    q=${q%/environ}
    if tr '\0' '\n' < "$q/environ" 2>/dev/null | grep -qxF "JARVIS_JOB=$d" && stat_of "$q"; then echo "${q#/proc/}"; fi
  done
}
group() {
  if kill -0 "$p" 2>/dev/null; then return 0; fi
  m=$(LC_ALL=C kill -0 "-$p" 2>&1) || case $m in *ermitted*) ;; *) return 1 ;; esac
}
held() {
  [ -e "$d/lock" ] && command -v flock > /dev/null || return 1
  flock -n "$d/lock" true 2>/dev/null
  [ $? = 1 ]
}
lives() { if seen; then [ -n "$(family)" ] || held; else ours && group || held; fi; }
unseen() {
  if ours && ! known; then
    for q in /proc/[0-9]*; do
      if stat_of "$q" && [ "$session" = "$p" ]; then printf '%s (%s) ' "${q#/proc/}" "$name"; fi
    done
  fi
  [ "$(id -u)" != 0 ] && [ -s "$d/since" ] || return 0
  seen || { echo "the host hides the processes of others"; return; }
  since=$(cat "$d/since")
  for q in /proc/[0-9]*; do
    stat_of "$q" && [ "$parent" -le 1 ] && [ "$began" -ge "$since" ] && [ ! -r "$q/environ" ] || continue
    [ ! -s "$d/cgroup" ] || [ "$(cat "$q/cgroup" 2>/dev/null)" = "$(cat "$d/cgroup")" ] || continue
    printf '%s (%s) ' "${q#/proc/}" "$name"
  done
}
state() {
  if [ ! -d "$d" ]; then echo none
  elif [ -s "$d/exit" ]; then echo "exit $(cat "$d/exit")"
  elif [ -s "$d/boot" ] && [ "$(cat "$d/boot")" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then echo lost
  elif seen && ours && stat_of "/proc/$p" || lives; then echo lives
  elif [ -s "$d/exit" ]; then echo "exit $(cat "$d/exit")"
  else u=$(unseen); echo "${u:+unseen }${u:-lost}"
  fi
}
`

// startScript starts a job unless its folder is there. mkdir is atomic, so a job is started once, whoever asks how
// often. The command comes on stdin, so that it shows in no process list; its length is checked, because a connection
// that breaks now would leave the start of a command, or none, and that would run. The command runs in a session of its
// own: the connection may break without harm. It and all it starts have a mark in their environment, and the lock open.
// Why not `ssh HOST COMMAND`: docs/adr/0002-commands-are-jobs-on-the-host.md
const startScript = jobDir + `umask 077
mkdir -p "$jobs" || exit 90
d=$jobs/$1
if [ -d "$d" ]; then exit 0; fi
cat > "$d.$2.cmd" || exit 91
if [ "$(($(wc -c < "$d.$2.cmd")))" -ne "$3" ]; then rm -f "$d.$2.cmd"; exit 92; fi
if mkdir "$d" 2>/dev/null; then
  mv "$d.$2.cmd" "$d/cmd"
  cat /proc/sys/kernel/random/boot_id > "$d/boot" 2>/dev/null
  cat /proc/self/cgroup > "$d/cgroup" 2>/dev/null
  : > "$d/log"
  cd /; unset JARVIS_RUN; JARVIS_JOB=$d; export JARVIS_JOB
  setsid sh -c '` + started + `started $$ > "$1/since"; echo $$ > "$1/pid"; c=$1/cmd; if flock -s "$1/lock" true 2>/dev/null; then set -- "$1" flock -s "$1/lock"; else set -- "$1" env; fi; d=$1; shift; "$@" sh "$c" > "$d/log" 2>&1 < /dev/null; echo $? > "$d/exit.new"; mv "$d/exit.new" "$d/exit"' jarvis "$d" > /dev/null 2>&1 < /dev/null &
else
  rm -f "$d.$2.cmd"
fi
exit 0`

// pollScript tells the job's state in the first line, then so many bytes of its log, from a byte on. The state is read
// before the log, so that the log of an ended job is whole.
const pollScript = jobDir + find + `d=$jobs/$1
state
tail -c "+$2" "$d/log" 2>/dev/null | head -c "$3"
exit 0`

// pollBytes is how much of a log one poll takes; the state and this fit into what a Result keeps.
const pollBytes = MaxOutputBytes / 2

// killScript ends a job and all it started, and names what it could not end.
const killScript = jobDir + find + `d=$jobs/$1
[ -d "$d" ] && [ ! -s "$d/exit" ] || exit 0
for i in 1 2 3 4 5 6; do
  known && kill -9 "-$p" 2>/dev/null
  l=$(family)
  [ -n "$l" ] || break
  kill -9 $l 2>/dev/null
  sleep 0.2
done
for q in $(family | sort -u); do ! stat_of "/proc/$q" || printf '%s (%s) ' "$q" "$name"; done
[ -n "$l" ] || ! lives || printf 'something that holds its lock '
unseen
exit 0`

var jobID = pattern.New(`^[A-Za-z0-9._-]{1,120}$`)

// ErrUnknownOutcome: the job was started, its process is gone, and it left no exit status: the host was rebooted or
// the process killed. It may have half happened.
var ErrUnknownOutcome = errors.New("started, but left no exit status: it may have half happened")

// ErrNotEnded: the context ended, and the job should have ended with it; but something of it runs on, or the host did
// not say.
var ErrNotEnded = errors.New("it could not be ended on the host")

// Job is a shell command that runs on a host at most once.
type Job struct {
	ID      string // of letters, digits, dot and dash; what is asked for under the same one is the same job
	Command string
	Sudo    *Sudo                  // nil: as whoever logs in
	Line    func(string)           // told each line of output, of both streams; may be nil
	Kill    func(cause error) bool // whether a cancelled context ends the job on the host, too; nil: it goes on there
}

// Job runs a shell command on the host at most once, however often it is asked for under the same id: the first
// call starts it, a later one follows what is under way or gives the outcome of what is over, so that a job that was
// left on the host can be taken up again. ErrUnknownOutcome when it cannot be known.
func (c *Client) Job(ctx context.Context, j Job) (exit int, err error) {
	if !jobID.MatchString(j.ID) {
		return 0, fmt.Errorf("the job id %q is not of letters, digits, dot and dash", j.ID)
	}
	line := j.Line
	if line == nil {
		line = func(string) {}
	}
	run := func(ctx context.Context, stdin, script string, args ...string) (Result, error) {
		cmd := Command{Args: append([]string{"sh", "-c", script, "jarvis", j.ID}, args...), Sudo: j.Sudo, Apart: true}
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
		res, err := run(ctx, "", pollScript, strconv.Itoa(offset), strconv.Itoa(pollBytes))
		if err != nil {
			if ctx.Err() != nil && j.Kill != nil && j.Kill(context.Cause(ctx)) {
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				defer cancel()
				res, kerr := run(end, "", killScript)
				if kerr != nil {
					return 0, fmt.Errorf("%w: %w: %w", err, ErrNotEnded, kerr)
				} else if left := strings.TrimSpace(res.Stdout); left != "" {
					return 0, fmt.Errorf("%w: %w: %s runs on there", err, ErrNotEnded, left)
				}
			}
			return 0, err
		}
		state, log, _ := strings.Cut(res.Stdout, "\n")
		offset += len(log)
		rest = tellLines(rest+log, line)
		if len(log) >= pollBytes {
			continue // there is more, whatever the state
		}
		if log != "" {
			pause = 50 * time.Millisecond
		}
		if code, ok := strings.CutPrefix(state, "exit "); ok {
			if rest != "" {
				line(rest)
			}
			n, err := strconv.Atoi(strings.TrimSpace(code))
			if err != nil {
				return 0, fmt.Errorf("%w: the exit status reads %q", ErrUnknownOutcome, code)
			}
			return n, nil
		}
		left, unseen := strings.CutPrefix(state, "unseen ")
		if unseen || state == "lost" || state == "none" {
			// Just started, the job may not have written its pid yet; so ask a few times before believing it.
			if lost++; lost > 20 && unseen {
				return 0, fmt.Errorf("%w, and this may be of it: %s", ErrUnknownOutcome, strings.TrimSpace(left))
			} else if lost > 20 {
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

// tellLines tells the lines of a text, and gives back what has no end yet. A longer one than maxLine comes in pieces,
// which are the same however the text arrives.
func tellLines(text string, line func(string)) (rest string) {
	for {
		i := strings.IndexByte(text, '\n')
		switch {
		case i >= 0 && i <= maxLine:
			line(strings.TrimRight(text[:i], "\r"))
			text = text[i+1:]
		case len(text) > maxLine:
			line(text[:maxLine])
			text = text[maxLine:]
		default:
			return text
		}
	}
}

// JobState is what became of a job.
type JobState int

// The states of a job.
const (
	JobNone   JobState = iota // no such job was started
	JobLives                  // it runs, or something that it started
	JobEnded                  // it left an exit status
	JobLost                   // it left none, and nothing of it runs
	JobUnseen                 // it left none, and something runs that may be of it, and that whoever logs in may not look into
)

// JobAnswer is what a host says of a job.
type JobAnswer struct {
	State  JobState
	Exit   int    // of JobEnded
	Unseen string // of JobUnseen: numbers and names of the processes
}

// askScript tells the state of a job without starting it.
const askScript = jobDir + find + `d=$jobs/$1
n=0
while s=$(state); [ "$s" = lost ] && [ "$n" -lt 5 ]; do n=$((n + 1)); sleep 0.2; done
echo "$s"`

// AskJob tells what became of the job of an id. It starts nothing.
func (c *Client) AskJob(ctx context.Context, id string, sudo *Sudo) (JobAnswer, error) {
	if !jobID.MatchString(id) {
		return JobAnswer{}, fmt.Errorf("the job id %q is not of letters, digits, dot and dash", id)
	}
	res, err := c.Run(ctx, Command{Args: []string{"sh", "-c", askScript, "jarvis", id}, Sudo: sudo, Apart: true})
	if err != nil {
		return JobAnswer{}, err
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(res.Stdout), " ")
	switch word {
	case "none":
		return JobAnswer{State: JobNone}, nil
	case "lives":
		return JobAnswer{State: JobLives}, nil
	case "lost":
		return JobAnswer{State: JobLost}, nil
	case "unseen":
		return JobAnswer{State: JobUnseen, Unseen: rest}, nil
	case "exit":
		if n, err := strconv.Atoi(rest); err == nil {
			return JobAnswer{State: JobEnded, Exit: n}, nil
		}
		return JobAnswer{State: JobLost}, nil
	}
	return JobAnswer{}, fmt.Errorf("ask for the command: %s", firstLine(res.Stderr, fmt.Sprintf("exit %d", res.Exit)))
}

func firstLine(s, otherwise string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if s == "" {
		return otherwise
	}
	return s
}
