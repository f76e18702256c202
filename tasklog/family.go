package tasklog

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/remote"
)

// The processes of a job. The lock tells of most: but sudo closes it, and takes the environment away. What sudo started
// is in the session of the wrapper still; what left that has the mark in its environment; and the root's part of a task
// with `sudo` takes the lock again.

// mark is in the environment of a job: it names the folder, which no other job has.
func (j *job) mark() string { return "JARVIS_JOB=" + j.dir }

// byRoot is what sudo runs: it takes the lock that sudo closed, sets the mark and becomes the script, which is in a
// file, for every user of the machine reads arguments, and sudo logs them.
func (j *job) byRoot() string {
	return `exec ` + remote.Quote(j.sudo, "-n", "sh", "-c", `exec 3< "$1/lock" && flock -s 3 || exit
JARVIS_JOB=$1; export JARVIS_JOB
exec bash "$1/root"`, "jarvis", j.dir)
}

// process is what /proc tells of one.
type process struct {
	pid, session int
	name         string
	began        uint64
}

// readProcess reads proc_pid_stat(5); ok is false for what is gone, or has ended and waits to be collected.
func readProcess(text string) (p process, ok bool) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return p, false
	}
	f := strings.Fields(text[end+1:])
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return p, false
	}
	pid, e1 := strconv.Atoi(strings.TrimSpace(text[:open]))
	session, e2 := strconv.Atoi(f[3])
	began, e3 := strconv.ParseUint(f[19], 10, 64)
	return process{pid, session, text[open+1 : end], began}, e1 == nil && e2 == nil && e3 == nil
}

// family gives what lives of the job, whoever owns it.
func (j *job) family() []process {
	leader := j.leader()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var out []process
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		p, ok := readProcess(string(b))
		if !ok || p.pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "environ"))
		if leader > 1 && p.session == leader || slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return string(v) == j.mark() }) {
			out = append(out, p)
		}
	}
	return out
}

// leader gives the wrapper's number, which names its session; 0 when another process has that number by now, or the
// machine was booted since.
func (j *job) leader() int {
	if !j.ofThisBoot() {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(j.dir, "pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return pid // it is gone, and its session may be left
	}
	was, err := os.ReadFile(filepath.Join(j.dir, "since"))
	then, ok := readProcess(string(was))
	if now, lives := readProcess(string(text)); err == nil && ok && lives && now.began != then.began {
		return 0
	}
	return pid
}

// ofThisBoot reports whether the wrapper began since the machine did. Numbers and starts of another boot's processes
// are those of strangers now. Earlier versions did not write which boot it was: then the clock tells.
func (j *job) ofThisBoot() bool {
	if was, err := os.ReadFile(filepath.Join(j.dir, "boot")); err == nil {
		now, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		return err == nil && bytes.Equal(bytes.TrimSpace(was), bytes.TrimSpace(now))
	}
	info, err := os.Stat(filepath.Join(j.dir, "pid"))
	if err != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(stat)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			booted, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return err == nil && info.ModTime().Unix() >= booted
		}
	}
	return false
}

const rootsKill = `kill -9 $(grep -lszxF -e "$1" /proc/[0-9]*/environ | cut -d/ -f3)
shift; kill -9 "$@"`

// kill ends the job and all it started, and names what runs on.
func (j *job) kill() string {
	for range 20 {
		if j.over() {
			return ""
		}
		pids := []string{}
		for _, p := range j.family() {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
			pids = append(pids, strconv.Itoa(p.pid))
		}
		if j.sudo != "" { // what root's part took out of the session only root finds
			_ = exec.Command(j.sudo, slices.Concat([]string{"-n", "sh", "-c", rootsKill, "jarvis", j.mark()}, pids)...).Run() // whether it worked is seen
		}
		time.Sleep(50 * time.Millisecond)
	}
	var left []string
	for _, p := range j.family() {
		left = append(left, fmt.Sprintf("%d (%s)", p.pid, p.name))
	}
	if left == nil {
		return "something that holds " + filepath.Join(j.dir, "lock")
	}
	return strings.Join(left, ", ")
}
