package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestTutorial does what docs/tutorial/first-steps.md says, from its own text: each command is typed, each file is
// written, each line is said in chat by whom it names, and what the text shows must appear. Only what installs programs
// is left out (```sh).
func TestTutorial(t *testing.T) {
	text := string(must[[]byte](t)(os.ReadFile("../../docs/tutorial/first-steps.md")))
	port := strconv.Itoa(must[int](t)(real.FreePort()))
	text = strings.ReplaceAll(text, "16667", port) // somebody else may have that one
	r := &reader{t: t, dir: t.TempDir(), irc: "127.0.0.1:" + port, stays: map[string]*terminal{}, people: map[string]*real.IRCClient{}}
	if err := os.Mkdir(filepath.Join(r.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(buildJarvis(t), filepath.Join(r.dir, "bin", "jarvis")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.leave)
	blocks := regexp.MustCompile("(?ms)^```([a-z]+) ?(\\S*)\\n(.*?)^```$").FindAllStringSubmatch(text, -1)
	if len(blocks) < 15 {
		t.Fatalf("only %d blocks are in the tutorial", len(blocks))
	}
	for _, b := range blocks {
		switch kind, name, body := b[1], b[2], b[3]; kind {
		case "console":
			r.console(name, body)
		case "ini", "yaml":
			r.append(name, body)
		case "irc":
			r.chat(body)
		case "sh":
		default:
			t.Fatalf("the tutorial has a block %q, which nobody here can follow", kind)
		}
	}
}

// reader is who follows the tutorial.
type reader struct {
	t      *testing.T
	dir    string
	irc    string
	stays  map[string]*terminal // by the name of the block
	people map[string]*real.IRCClient
}

// terminal is one in which a program stays.
type terminal struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (s *terminal) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

func (s *terminal) shows() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// end is Ctrl-C.
func (s *terminal) end() {
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	<-s.done
}

func (r *reader) leave() {
	for _, c := range r.people {
		c.Close()
	}
	for _, name := range []string{"server", "irc", "world"} {
		if s := r.stays[name]; s != nil {
			s.end()
			if r.t.Failed() {
				r.t.Logf("the terminal of the %s shows:\n%s", name, s.shows())
			}
		}
	}
}

// command is what is typed where the reader is: in the folder first, as soon as it is there.
func (r *reader) command(line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", "exec 2>&1; "+line)
	cmd.Dir = filepath.Join(r.dir, "first")
	if _, err := os.Stat(cmd.Dir); err != nil {
		cmd.Dir = r.dir
	}
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(r.dir, "bin")+":"+os.Getenv("PATH"), "JARVIS_CONFIG=", "JARVIS_SERVER=")
	return cmd
}

// console types commands, and looks at what each prints. In a named terminal its one command stays.
func (r *reader) console(name, body string) {
	r.t.Helper()
	for _, typed := range strings.Split(body, "$ ")[1:] {
		line, want, _ := strings.Cut(typed, "\n")
		if name != "" {
			r.stay(name, "exec "+line, want)
			continue
		}
		if line == "cd first" {
			continue
		}
		out, err := r.command(line).Output()
		if strings.HasPrefix(line, "jarvis check run") {
			err = nil // its exit code is the check's own
		}
		if err != nil || !appears(want).Match(out) {
			r.t.Fatalf("$ %s\nprints (%v)\n%sthe tutorial says\n%s", line, err, out, want)
		}
		if strings.HasPrefix(line, "jarvis deploy") { // our own commands find all that they use on a simulated host
			if out, err := r.command("jarvis log loki").Output(); err != nil || bytes.Contains(out, []byte("a sandbox")) {
				r.t.Errorf("jarvis log loki (%v):\n%s", err, out)
			}
		}
	}
}

func (r *reader) stay(name, line, want string) {
	r.t.Helper()
	if s := r.stays[name]; s != nil {
		s.end()
	}
	s := &terminal{cmd: r.command(line), done: make(chan struct{})}
	s.cmd.Stdout = s
	if err := s.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.stays[name] = s
	go func() { // reaps it
		_ = s.cmd.Wait()
		close(s.done)
	}()
	until(r.t, 30*time.Second, line+" shows "+want, func() bool { return appears("…\n" + want + "…").MatchString(s.shows()) })
}

// appears makes a pattern of what the tutorial shows: … is anything in a line, and a line of it alone any lines.
func appears(want string) *regexp.Regexp {
	p := "^"
	for line := range strings.Lines(want) {
		if strings.TrimSpace(line) == "…" {
			p += "(?s:.*)"
			continue
		}
		p += strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSuffix(line, "\n")), "…", ".*") + "\\n"
	}
	return regexp.MustCompile("(?m)" + p + `\z`)
}

func (r *reader) append(name, body string) {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, "first", name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := f.WriteString(body); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// chat says what people say, and waits for what the bot says.
func (r *reader) chat(body string) {
	r.t.Helper()
	for line := range strings.Lines(body) {
		who, said, _ := strings.Cut(strings.TrimSpace(line), "> ")
		if who != "jarvis" {
			r.person(who).Say("#ops", said)
			continue
		}
		l, err := r.person("alice").Next("jarvis!.* PRIVMSG #ops :"+strings.ReplaceAll(regexp.QuoteMeta(said), "…", ".*"), 30*time.Second)
		if err != nil {
			r.t.Fatalf("%v", err)
		}
		r.t.Log(l)
	}
}

// person is somebody in the channel, who comes in with the first line.
func (r *reader) person(nick string) *real.IRCClient {
	r.t.Helper()
	if r.people[nick] == nil {
		r.people[nick] = must[*real.IRCClient](r.t)(real.DialIRC(r.t.Context(), r.irc, nick, "#ops"))
		if _, err := r.people[nick].Next(` 353 .*jarvis|jarvis!\S* JOIN`, 30*time.Second); err != nil {
			r.t.Fatal(err)
		}
	}
	return r.people[nick]
}
