package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// service is a server as a service manager has it: the real program, with its log read line by line and its words to
// the manager.
type service struct {
	t    *testing.T
	dir  string
	conf string
	bin  string
	cmd  *exec.Cmd
	log  chan map[string]any
	said chan string
	all  []string // the log so far
	// nohup: its parent ignores SIGHUP, as nohup(1) does, and some service managers.
	nohup bool
}

const serviceToy = `#!/bin/sh
case $1 in
--steps) echo '[{name: toy:make, resume: again}, {name: toy:fail, resume: again}]'; exit ;;
fail) echo "the password is hunter22hunter22" >&2; exit 1 ;;
esac
cat
`

func newService(t *testing.T, conf string) *service {
	s := &service{t: t, dir: t.TempDir(), bin: buildJarvis(t), log: make(chan map[string]any, 1000), said: make(chan string, 1000)}
	write := writeIn(t, s.dir)
	write("steps/toy", serviceToy, 0o755)
	for _, h := range []string{"loki", "thor"} {
		write(h+".yaml", fmt.Sprintf("instance: {hostname: %s, provider: toy}\n", h), 0o644)
	}
	s.conf = write("jarvis.yaml", "", 0o600)
	s.write(conf)
	return s
}

const serviceConf = `listen: ""
log: {format: json}
workers: {external: {dir: steps}, linode: {token: hunter22hunter22}}
pipelines: {deploy: {toy: ["toy:make"]}}
`

func (s *service) write(conf string) { writeIn(s.t, s.dir)("jarvis.yaml", conf, 0o600) }

// start has the server speak to a manager at an address, which begins with @ for an abstract one.
func (s *service) start(notify string, env ...string) {
	t := s.t
	addr := &net.UnixAddr{Net: "unixgram", Name: notify}
	manager, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := manager.Read(b)
			if err != nil {
				return
			}
			s.said <- string(b[:n])
		}
	}()
	s.cmd = exec.Command(s.bin, "--config", s.conf, "serve")
	if s.nohup {
		s.cmd = exec.Command("nohup", s.bin, "--config", s.conf, "serve")
	}
	s.cmd.Env = append(os.Environ(), append(env, "NOTIFY_SOCKET="+notify)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	go func() {
		defer close(s.log)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			line := map[string]any{"raw": sc.Text()}
			_ = json.Unmarshal(sc.Bytes(), &line)
			s.log <- line
		}
	}()
}

// hears waits until the manager is told something, and gives all of that message.
func (s *service) hears(want string) string {
	s.t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case m := <-s.said:
			if strings.Contains("\n"+m+"\n", "\n"+want+"\n") {
				return m
			}
		case <-late:
			s.t.Fatalf("the manager was not told %s; the log:\n%s", want, strings.Join(s.all, "\n"))
		}
	}
}

// logs waits for a line of the log with all these values.
func (s *service) logs(want ...string) { s.t.Helper(); s.anyOrder(want) }

// anyOrder waits for several lines of the log, each with all its values, whichever comes first.
func (s *service) anyOrder(wants ...[]string) {
	s.t.Helper()
	late := time.After(20 * time.Second)
	for len(wants) > 0 {
		select {
		case l, ok := <-s.log:
			if !ok {
				s.t.Fatalf("the log ended without %q:\n%s", wants, strings.Join(s.all, "\n"))
			}
			s.all = append(s.all, l["raw"].(string))
			if i := slices.IndexFunc(wants, func(want []string) bool { return has(l, want) }); i >= 0 {
				wants = slices.Delete(wants, i, i+1)
			}
		case <-late:
			s.t.Fatalf("no line with %q in the log:\n%s", wants, strings.Join(s.all, "\n"))
		}
	}
}

// has reports whether a line has all these values.
func has(line map[string]any, want []string) bool {
	for _, w := range want {
		if k, v, _ := strings.Cut(w, "="); !strings.Contains(fmt.Sprint(line[k]), v) {
			return false
		}
	}
	return true
}

// cli runs one command line, and gives what it says and its exit code.
func (s *service) cli(args ...string) (string, int) {
	cmd := exec.Command(s.bin, append([]string{"--config", s.conf}, args...)...)
	cmd.Dir = s.dir
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

func (s *service) reload(want string, code int) {
	s.t.Helper()
	out, got := s.cli("reload")
	if got != code || !strings.Contains(out, want) {
		s.t.Errorf("reload: exit %d: %s want %d, %q", got, out, code, want)
	}
}

// TestAServiceTellsItsManager: it is ready when it answers, lives while its database does, says that it reads its
// configuration again, and that it stops.
func TestAServiceTellsItsManager(t *testing.T) {
	s := newService(t, serviceConf)
	s.start(fmt.Sprintf("@jarvis-test-%d", os.Getpid()), "WATCHDOG_USEC=400000")
	if m := s.hears("READY=1"); !strings.Contains(m, fmt.Sprintf("MAINPID=%d", s.cmd.Process.Pid)) {
		t.Errorf("ready: %q", m)
	}
	if out, code := s.cli("status"); code != 0 {
		t.Errorf("it said that it is ready, and: %s", out)
	}
	s.hears("WATCHDOG=1")
	s.hears("WATCHDOG=1")
	_ = s.cmd.Process.Signal(syscall.SIGHUP)
	if m := s.hears("RELOADING=1"); !strings.Contains(m, "MONOTONIC_USEC=") {
		t.Errorf("reloading: %q", m)
	}
	s.hears("READY=1")
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.hears("STOPPING=1")
	s.logs("msg=stopping")
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestABadConfigurationDoesNotLoop: the exit code is the one at which the unit does not start it again.
func TestABadConfigurationDoesNotLoop(t *testing.T) {
	s := newService(t, "people: [{name: a, roles: [god]}, {}]\nlisten: nowhere\n")
	if out, code := s.cli("serve"); code != exitUsage || strings.Count(out, "\n") != 4 {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestTheLogSaysWhatHappens: a line for each event of a run, each command and each refusal; no secret, and nothing
// while nothing happens.
func TestTheLogSaysWhatHappens(t *testing.T) {
	s := newService(t, serviceConf)
	s.start(filepath.Join(s.dir, "notify"))
	s.hears("READY=1")
	if out, code := s.cli("deploy", "loki.yaml"); code != 0 {
		t.Fatal(out)
	}
	// The run's first lines come beside the command's, in any order.
	s.anyOrder([]string{"msg=command", "line=deploy", "who=root", "via=socket", "outcome=ok"}, []string{"msg=run", "event=started", "run=1", "host=loki"})
	s.logs("msg=run", "event=step", "step=toy:make")
	s.logs("msg=run", "event=done", "step=toy:make", "took=")
	s.logs("msg=run", "event=ready", "level=INFO")
	s.write(strings.Replace(serviceConf, "toy:make", "toy:fail", 1))
	s.reload("taken over: pipelines", 0)
	s.logs("msg=the configuration was read again", "changed=pipelines")
	if out, code := s.cli("deploy", "thor.yaml"); code != exitFailed {
		t.Fatal(out)
	}
	s.logs("msg=run", "event=failed", "level=WARN", "text=the password is •••")
	_, _ = s.cli("status", "nobody hunter22hunter22")
	s.logs("msg=command", "line=status nobody •••", "level=WARN", "outcome=no host or run")
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.logs("msg=stopping")
	if all := strings.Join(s.all, "\n"); strings.Contains(all, "hunter22") {
		t.Errorf("a secret is in the log:\n%s", all)
	}
	if n := len(s.all); n > 30 {
		t.Errorf("%d lines:\n%s", n, strings.Join(s.all, "\n"))
	}
}

// TestReloadUnderNohup: whoever begins a server in such a way that its terminal may go can have its configuration read
// again.
func TestReloadUnderNohup(t *testing.T) {
	s := newService(t, serviceConf)
	s.nohup = true
	s.start(filepath.Join(s.dir, "notify"))
	s.hears("READY=1")
	_ = s.cmd.Process.Signal(syscall.SIGHUP)
	s.hears("RELOADING=1")
	s.hears("READY=1")
}

// TestReload: what can change does, what cannot is named, and a file with mistakes changes nothing.
func TestReload(t *testing.T) {
	s := newService(t, serviceConf)
	s.start(filepath.Join(s.dir, "notify"))
	s.hears("READY=1")
	if out, _ := s.cli("whoami"); !strings.Contains(out, "root") || strings.Contains(out, "ada") {
		t.Errorf("whoami before: %s", out)
	}
	people := "people: [{name: ada, local: root, roles: [view]}]\n"
	s.write(serviceConf + people)
	_ = s.cmd.Process.Signal(syscall.SIGHUP)
	s.hears("RELOADING=1")
	s.hears("READY=1")
	s.logs("msg=the configuration was read again", "changed=people")
	if out, _ := s.cli("whoami"); !strings.Contains(out, "ada") {
		t.Errorf("whoami after: %s", out)
	}
	// Ada may look only: she has the configuration read again by who keeps the machine, not by herself.
	s.reload(`needs the role "admin"`, exitDenied)

	// A file with mistakes.
	s.write(strings.Replace(serviceConf, `listen: ""`, `listen: "x"`, 1) + "people: [{name: eve, local: root, roles: [god]}]\nlimit: {burst: -1}\n")
	_ = s.cmd.Process.Signal(syscall.SIGHUP)
	s.hears("RELOADING=1")
	s.hears("READY=1")
	s.logs("msg=what was in force stays", `err=line 1: listen is "x"`)
	s.logs("msg=what was in force stays", "err=line 5: people[0].roles[0]")
	s.logs("msg=what was in force stays", "err=line 6: limit.burst is -1")
	if out, _ := s.cli("whoami"); !strings.Contains(out, "ada") {
		t.Errorf("whoami with a bad file: %s", out)
	}

	// What needs a restart, and the log's level at once.
	s.write(strings.Replace(strings.Replace(serviceConf, `listen: ""`, `listen: "127.0.0.1:1"`, 1), "format: json", "format: json, level: error", 1) + "limit: {burst: 7}\n")
	_ = s.cmd.Process.Signal(syscall.SIGHUP)
	s.hears("RELOADING=1")
	s.hears("READY=1")
	s.reload("nothing was taken over\nneeds a restart: listen\n", 0)
	s.write("people: 5\nruns: -1\n")
	s.reload("line 1: people must be a list\njarvis: "+s.conf+", line 2: runs is -1; it must not be negative; nothing was taken over", exitUsage)
	s.logs("msg=what was in force stays", "level=ERROR")
	for _, l := range s.all[len(s.all)-3:] {
		if strings.Contains(l, `"level":"INFO"`) && strings.Contains(l, "reload") {
			t.Errorf("said at level error: %s", l)
		}
	}
}

// TestAReloadThatIsRefusedChangesNothing: not the half that came before what refused.
func TestAReloadThatIsRefusedChangesNothing(t *testing.T) {
	const irc = `{irc: {server: "127.0.0.1:%d", nick: jarvis, channels: ["#ops"]}}`
	s := newService(t, serviceConf+"people: [{name: ada, local: root, roles: [admin]}]\nchat: ["+fmt.Sprintf(irc, 1)+", "+fmt.Sprintf(irc, 2)+"]\n")
	s.start(filepath.Join(s.dir, "notify"))
	s.hears("READY=1")
	s.write(serviceConf + "people: [{name: ada, local: root, roles: [view]}]\nchat: [" + fmt.Sprintf(irc, 1) + "]\nnotices: [{to: \"#ops\", events: [failures]}]\n")
	s.reload("which is in irc/127.0.0.1:1 and in irc/127.0.0.1:2", exitUsage)
	if out, _ := s.cli("whoami"); !strings.Contains(out, "ada, with the role admin") {
		t.Errorf("whoami after a reload that was refused: %s", out)
	}
}

// peopleScript runs a server and its clients as several users of this machine, where /run is empty.
const peopleScript = `
mount -t tmpfs none /run
cd $DIR
server() { $BIN --config $1 serve 2>log & pid=$!; for i in $(seq 200); do $BIN --config $1 version 2>/dev/null | grep -q "the server is" && return; sleep 0.05; done; cat log; exit 9; }
stop() { kill $pid; wait $pid || true; }
as() { user=$1 group=$2; shift 2; setpriv --reuid=$user --regid=$(id -g $user) --groups=$group "$@"; }
ask() { echo "$1 $2 $3: $(shift 3; "$@" 2>&1 || echo "exit $?")" | tr '\n' ' '; echo; }
server $DIR/jarvis.yaml
# The configuration may be read by its server alone, and the place of the socket is another's to tell.
ask member own client as daemon daemon $BIN --config client.yaml whoami
ask member own action as daemon daemon $BIN --config client.yaml destroy loki
ask stranger own client as games daemon $BIN --config client.yaml status
ask outsider own client as nobody nogroup $BIN --config client.yaml whoami
ask member data reads as daemon daemon cat data/age.key
ask member data lists as daemon daemon ls data
ask member closed config as daemon daemon $BIN --config jarvis.yaml whoami
stop
# Where the package has it.
chmod 700 data
server $DIR/run.yaml
cd /
ask member run closed as daemon daemon env JARVIS_CONFIG=$DIR/run.yaml $BIN whoami
ask member run nowhere as daemon daemon $BIN whoami
ask outsider run nowhere as nobody nogroup $BIN whoami
stop
`

// TestPeopleOfThisMachine: whoever may open the socket is told apart by the kernel, and does what his roles let him.
func TestPeopleOfThisMachine(t *testing.T) {
	dir, err := os.MkdirTemp("", "jarvis-people-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := writeIn(t, dir)
	people := "listen: \"\"\npeople: [{name: alice, local: daemon, roles: [deploy]}]\n"
	write("jarvis.yaml", people+"socket: {group: daemon}\n", 0o600)
	write("run.yaml", people+"socket: {path: /run/jarvis/jarvis.sock, group: daemon}\n", 0o600)
	write("client.yaml", "data: "+dir+"/data\nage_key: ${NOT_HIS}\n", 0o644)
	bin, err := os.ReadFile(buildJarvis(t))
	if err != nil {
		t.Fatal(err)
	}
	write("jarvis", string(bin), 0o755)
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-ec", peopleScript)
	cmd.Env = append(os.Environ(), "DIR="+dir, "BIN="+dir+"/jarvis")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		"member own client: you are alice",
		"member own action: jarvis: I have no host or run",
		"stranger own client: jarvis: `status` needs the role \"view\", and I do not know you",
		"outsider own client: jarvis: you may not use the socket",
		"member data reads: cat: data/age.key: Permission denied",
		"member data lists: ls: cannot open directory 'data': Permission denied",
		"member closed config: jarvis: jarvis.yaml: cannot be read: permission denied exit 2",
		"member run closed: you are alice",
		"member run nowhere: you are alice",
		"outsider run nowhere: jarvis: you may not use the socket /run/jarvis/jarvis.sock",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("not said: %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
