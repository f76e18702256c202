package tasklog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/internal/lcs"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Task is one entry of a task list.
type Task struct {
	Name          string            `yaml:"name" json:"name"`
	Shell         string            `yaml:"shell" json:"shell"`                                       // for bash
	Hosts         []string          `yaml:"hosts,omitempty" json:"hosts,omitempty"`                   // runs there, over SSH; otherwise here
	Sudo          bool              `yaml:"sudo,omitempty" json:"sudo,omitempty"`                     // as root, by sudo
	Timeout       string            `yaml:"timeout,omitempty" json:"timeout,omitempty"`               // as 10m; an hour if not given
	Env           map[string]string `yaml:"env,omitempty" json:"env,omitempty"`                       // more of the environment
	NeedsApproval bool              `yaml:"needs_approval,omitempty" json:"needs_approval,omitempty"` // by a second person, before it runs

	same string // its key, once that was asked for
}

const (
	defaultTimeout = time.Hour
	longestTimeout = 24 * time.Hour
	longestShell   = 32 << 10 // bytes, so that the run's clipboard holds it
)

func (t *Task) timeout() time.Duration {
	if d, err := time.ParseDuration(t.Timeout); err == nil {
		return d
	}
	return defaultTimeout
}

// key is equal for equal tasks.
func (t *Task) key() string {
	if t.same != "" {
		return t.same
	}
	b, err := yaml.Marshal(t)
	if err != nil {
		return t.Name + "\x00" + t.Shell
	}
	return string(b)
}

// listError says what is wrong with a task list.
type listError struct {
	file string
	line int
	msg  string
	// ran is what earlier versions ran of a list that is refused now: it must not run again when the list is mended.
	ran []entry
}

func (e *listError) Error() string {
	if e.line == 0 {
		return e.file + ": " + e.msg
	}
	return fmt.Sprintf("%s, line %d: %s", e.file, e.line, e.msg)
}

// entry is a task and where it stands in its file.
type entry struct {
	task  Task
	line  int
	extra []string // keys that mean nothing here
}

var envName = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parseList reads a tasks.yaml: a list of `- task: {name, shell, …}`. An empty file is an empty list.
func parseList(file string, text []byte) ([]entry, error) {
	docs, err := documents(file, text)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	list, err := parseTasks(file, docs[0])
	var refused *listError
	switch {
	case err != nil && !errors.As(err, &refused):
		return nil, err
	case len(docs) > 1 && (err == nil || refused.ran != nil): // of several an earlier version read the first
		if err != nil {
			list = refused.ran
		}
		return nil, &listError{file, docs[1].Line, "a second YAML document begins here, and nothing after that `---` would run; take the line out", list}
	}
	return list, err
}

// documents gives what stands in a file.
func documents(file string, text []byte) ([]*yaml.Node, error) {
	var out []*yaml.Node
	dec, err := yaml.NewLoader(bytes.NewReader(text))
	for err == nil {
		var doc yaml.Node
		if err = dec.Load(&doc); err == nil {
			out = append(out, &doc)
		}
	}
	var le *yaml.LoadError
	switch {
	case errors.Is(err, io.EOF):
		return out, nil
	case errors.As(err, &le):
		return nil, &listError{file: file, line: le.Mark.Line, msg: "this is not YAML: " + le.Message}
	}
	return nil, &listError{file: file, msg: "this is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
}

// asWhom are keys by which other tools, and our own configuration, say as whom something runs.
var asWhom = []string{"user", "run_as", "runas", "become", "become_user", "remote_user"}

// parseTasks reads one document.
func parseTasks(file string, doc *yaml.Node) ([]entry, error) {
	fail := func(n *yaml.Node, format string, args ...any) error {
		line := 0
		if n != nil {
			line = n.Line
		}
		return &listError{file: file, line: line, msg: fmt.Sprintf(format, args...)}
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.SequenceNode {
		return nil, fail(root, "the file must be a list of `- task:` entries")
	}
	var empty *yaml.Node // `hosts` with nothing in it, which earlier versions took for none
	var out []entry
	for i, item := range root.Content {
		if item.Kind != yaml.MappingNode || len(item.Content) != 2 || item.Content[0].Value != "task" || item.Content[1].Kind != yaml.MappingNode {
			return nil, fail(item, "entry %d is not `task:` with name and shell below it", i+1)
		}
		body := item.Content[1]
		e := entry{line: item.Line}
		for k := 0; k+1 < len(body.Content); k += 2 {
			key, value := body.Content[k], body.Content[k+1]
			if !slices.Contains(taskKeys, key.Value) {
				if meant := near(key.Value); meant != "" { // what nobody read would be missed: the hosts, an approval
					return nil, fail(key, "a task has no key %q; %s is meant, it seems (there is %s)", key.Value, meant, strings.Join(taskKeys, ", "))
				}
				if slices.Contains(asWhom, key.Value) { // and it would run as somebody else
					return nil, fail(key, "a task has no key %q: as whom tasks run is `user` of the repository's entry in jarvis.yaml", key.Value)
				}
				e.extra = append(e.extra, plain.Line(key.Value))
				continue
			}
			if value.Kind == yaml.AliasNode {
				return nil, fail(value, "aliases are not read here")
			}
			if key.Value == "hosts" && empty == nil && (value.Tag == "!!null" || value.Kind == yaml.SequenceNode && len(value.Content) == 0) {
				empty = key
			}
		}
		// The key names the trouble better than a type of Go does.
		if err := body.Decode(&e.task); err != nil {
			return nil, fail(body, "entry %d: %s", i+1, plain.Joined(strings.TrimPrefix(err.Error(), "yaml: ")))
		}
		t := &e.task
		t.Name = plain.Line(t.Name) // it is shown and stored in many places
		switch {
		case strings.TrimSpace(t.Name) == "":
			return nil, fail(item, "entry %d has no name", i+1)
		case strings.TrimSpace(t.Shell) == "":
			return nil, fail(item, "%q has no shell: what is to be run", t.Name)
		case len(t.Shell) > longestShell:
			return nil, fail(item, "the shell of %q has %d bytes, and %d is the most; put it into scripts/ and call it", t.Name, len(t.Shell), longestShell)
		case strings.ContainsRune(t.Shell, 0):
			return nil, fail(item, "the shell of %q holds a NUL", t.Name)
		}
		if t.Timeout != "" {
			if d, err := time.ParseDuration(t.Timeout); err != nil || d <= 0 || d > longestTimeout {
				return nil, fail(item, "the timeout of %q is %q; write it as 30s, 10m or 2h, at most 24h", t.Name, t.Timeout)
			}
		}
		for name, v := range t.Env {
			if !envName.MatchString(name) || strings.ContainsRune(v, 0) {
				return nil, fail(item, "%q sets %q in its environment, which is no variable's name", t.Name, name)
			}
		}
		for _, h := range t.Hosts {
			if h == "" || strings.HasPrefix(h, "-") || strings.ContainsAny(h, " \t\n/") {
				return nil, fail(item, "%q names the host %q", t.Name, h)
			}
		}
		t.same = t.key()
		out = append(out, e)
	}
	if empty != nil {
		return nil, &listError{file, empty.Line, "hosts is empty; leave it out for the server itself", out}
	}
	return out, nil
}

var taskKeys = []string{"name", "shell", "hosts", "sudo", "timeout", "env", "needs_approval"}

// near gives the key that another one was to be: the same but for case, dashes, or two letters; "" when there is none.
func near(key string) string {
	plainly := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
	}
	word := plainly(key)
	for _, k := range taskKeys {
		if far := distance(word, plainly(k)); far <= 1 || far == 2 && len(k) > 5 {
			return k
		}
	}
	return ""
}

// distance is how many letters must be put in, taken out or changed to make one word of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}

// diff aligns two lists by their longest common subsequence and gives what is left: same pairs by index, and hunks.
func diff(old, now []string) (same [][2]int, hunks []lcs.Hunk) {
	hunks = lcs.Hunks(old, now, 0)
	i, j := 0, 0
	pairs := func(until int) {
		for ; i < until; i, j = i+1, j+1 {
			same = append(same, [2]int{i, j})
		}
	}
	for _, h := range hunks {
		pairs(h.A)
		i, j = h.B, h.D
	}
	pairs(len(old))
	return same, hunks
}
