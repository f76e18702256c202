package transfer

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/nagios"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// entry is one definition as it is written, key by key.
type entry struct {
	kind string // hosts, tasks …, as the file calls them
	pos  nagios.Pos
	keys []key
}

type key struct {
	name  string
	value any // string, int, bool, []string, map[string]string, []map[string]string
}

// set adds a key, unless it would say nothing.
func (e *entry) set(name string, value any) {
	v := reflect.ValueOf(value)
	if v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0 {
		return
	}
	e.keys = append(e.keys, key{name, value})
}

func (e *entry) get(name string) any {
	for _, k := range e.keys {
		if k.name == name {
			return k.value
		}
	}
	return nil
}

func (e *entry) drop(name string) {
	e.keys = slices.DeleteFunc(e.keys, func(k key) bool { return k.name == name })
}

// kinds in the order in which people read them.
var kinds = []string{"periods", "contacts", "hosts", "tasks", "host_tasks", "actions"}

// write gives a file of definitions.
func write(head string, entries []*entry) []byte {
	var b strings.Builder
	for line := range strings.Lines(head) {
		b.WriteString("# " + line)
	}
	for _, kind := range kinds {
		first := true
		for _, e := range entries {
			if e.kind != kind {
				continue
			}
			if first {
				b.WriteString("\n" + kind + ":\n")
				first = false
			}
			if e.pos.File != "" {
				fmt.Fprintf(&b, "  # %s\n", e.pos)
			}
			for i, k := range e.keys {
				lead := "    "
				if i == 0 {
					lead = "  - "
				}
				b.WriteString(lead + k.name + ": " + text(k.value) + "\n")
			}
		}
	}
	return []byte(b.String())
}

// text gives a value as YAML, in one line.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return scalar(v)
	case []string:
		var words []string
		for _, w := range v {
			words = append(words, scalar(w))
		}
		return "[" + strings.Join(words, ", ") + "]"
	case map[string]string:
		var words []string
		for _, k := range sortedKeys(v) {
			words = append(words, k+": "+scalar(v[k]))
		}
		return "{" + strings.Join(words, ", ") + "}"
	case []key:
		var words []string
		for _, k := range v {
			words = append(words, k.name+": "+text(k.value))
		}
		return "{" + strings.Join(words, ", ") + "}"
	case []any:
		var words []string
		for _, w := range v {
			words = append(words, text(w))
		}
		return "[" + strings.Join(words, ", ") + "]"
	default:
		return fmt.Sprint(v)
	}
}

var plainWord = pattern.New(`^(?:[A-Za-z/][A-Za-z0-9_./-]*|\d+(?:\.\d+){3}|(?:\d+h)?(?:\d+m)?(?:\d+s)?|\d+%)$`)

// scalar quotes what YAML would not take for text.
func scalar(s string) string {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "true", "false", "on", "off", "null", "nan":
		return `"` + s + `"`
	case "":
		return `""`
	}
	if plainWord.MatchString(s) {
		return s
	}
	if !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfeff || r == 0x2028 || r == 0x2029
	}) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // a string can be marshalled
	}
	return string(b)
}
