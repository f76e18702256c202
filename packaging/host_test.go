//go:build package

package packaging

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// machine is a host with systemd on which Jarvis is installed.
type machine struct {
	*real.SystemdHost
	t    *testing.T
	here *strings.Replacer // what the examples of the documentation are called in this lab
}

func newMachine(t *testing.T, name string, here *strings.Replacer) *machine {
	t.Helper()
	h, err := real.StartSystemdHost(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{h, t, here}
	t.Cleanup(func() {
		if t.Failed() {
			log, err := h.Run(context.Background(), "journalctl -u jarvis -o cat --no-pager | tail -60")
			t.Logf("the journal of jarvis on %s: %v\n%s", name, err, log)
		}
		h.Stop()
	})
	return m
}

// run runs a script that must go well.
func (m *machine) run(script string, args ...string) string {
	m.t.Helper()
	out, err := m.Run(m.t.Context(), script, args...)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// asWritten runs lines that stand so in docs/howto/install.md or docs/howto/backup.md, with the names of this lab in
// place of the examples'. An administrator does nothing else; what a test does by run is somebody else's work, or a
// look.
func (m *machine) asWritten(lines ...string) string {
	m.t.Helper()
	var out strings.Builder
	for _, line := range lines {
		full := ""
		for _, known := range documented(m.t) {
			if strings.HasPrefix(known, line) && (known == line || strings.HasSuffix(line, " ")) { // the beginning will do for the longest
				full = known
				break
			}
		}
		if full == "" {
			m.t.Fatalf("neither docs/howto/install.md nor docs/howto/backup.md has the command %q", line)
		}
		out.WriteString(m.run(m.here.Replace(full)) + "\n")
	}
	return strings.TrimSpace(out.String())
}

// remark is what an example says after its command.
var (
	remark = regexp.MustCompile(`\s+#( .*)?$`)
	quoted = regexp.MustCompile("`([^`]*)`")
)

// documented gives the commands of the documentation: lines of its examples, and what it names between the lines.
func documented(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, page := range []string{"install", "backup"} {
		b, err := os.ReadFile("../docs/howto/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(string(b), "\\\n", " ")) {
			if example, ok := strings.CutPrefix(line, "    "); ok {
				out = append(out, strings.Join(strings.Fields(remark.ReplaceAllString(strings.TrimSpace(example), "")), " "))
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(line, -1) {
				out = append(out, m[1])
			}
		}
	}
	return out
}

// want runs a script and compares what it prints.
func (m *machine) want(script, want string) {
	m.t.Helper()
	if got := m.run(script); got != want {
		m.t.Errorf("%s\n got %s\nwant %s", script, got, want)
	}
}

// until runs a script until its output contains a word; it is for what the server does in its own time.
func (m *machine) until(script, word string) {
	m.t.Helper()
	var out string
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if out, err = m.Run(m.t.Context(), script); strings.Contains(out, word) {
			return
		}
	}
	m.t.Fatalf("%s never says %q; it says %s %v", script, word, out, err)
}

// copy puts a file of ours on the host.
func (m *machine) copy(from, to string) {
	m.t.Helper()
	in, err := os.Open(from)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	st, err := in.Stat()
	if err != nil {
		m.t.Fatal(err)
	}
	to = filepath.Join(m.Root, to)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		m.t.Fatal(err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, st.Mode())
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := io.Copy(out, in); errors.Join(err, out.Close()) != nil {
		m.t.Fatal(err)
	}
}

// write puts a text on the host, as an editor does: who owns a file that is there, and may read it, stays.
func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.Root, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

const configFile = "etc/jarvis/jarvis.yaml"

// edit changes the configuration as an administrator does in an editor, and has it checked.
func (m *machine) edit(change func(text string) string) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.Root, configFile))
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(configFile, change(string(b)))
	m.asWritten("jarvis config check")
}

// broken runs something while the configuration has a mistake.
func (m *machine) broken(do func()) {
	m.t.Helper()
	m.run("cp -p /etc/jarvis/jarvis.yaml good.yaml && echo 'nonsense: 1' >>/etc/jarvis/jarvis.yaml")
	do()
	m.run("cp good.yaml /etc/jarvis/jarvis.yaml")
}

// serving checks that the service is what it should be: started by systemd, ready by its own word, as its own user.
func (m *machine) serving() {
	m.t.Helper()
	m.want("systemctl is-active jarvis; systemctl is-enabled jarvis; systemctl show -P Type jarvis", "active\nenabled\nnotify")
	m.want(`ps -o user= -p "$(systemctl show -P MainPID jarvis)"`, "jarvis")
	m.want(`readlink "/proc/$(systemctl show -P MainPID jarvis)/exe"`, "/usr/bin/jarvis")
}
