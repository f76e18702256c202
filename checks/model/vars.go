package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// A task names variables, `$JARVIS_VAR_warn`, and hosts differ in them: the most specific value counts, the host's
// before that of the host_task, before the task's own.

// VarPrefix begins the names of variables in the environment of a task.
const VarPrefix = "JARVIS_VAR_"

// named finds variables that a task needs. What has a word for the case that it is not set, ${JARVIS_VAR_x:-5}, does
// not.
var namedVar = pattern.New(`\$(?:` + VarPrefix + `([A-Za-z0-9_]+)|\{` + VarPrefix + `([A-Za-z0-9_]+)\})`)

// Needs gives the names of the variables without which a task cannot run, sorted.
func (t *Task) Needs() []string {
	var out []string
	for _, text := range append([]string{t.Command}, t.Args...) {
		for _, m := range namedVar.FindAllStringSubmatch(text, -1) {
			out = append(out, m[1]+m[2])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// argWord finds what is filled in in arguments. As in sh, ${JARVIS_VAR_x:-5} is 5 where x is empty or not set,
// ${JARVIS_VAR_x-5} where it is not set.
var argWord = pattern.New(`\$(JARVIS_(?:ADDRESS|HOST)|` + VarPrefix + `[A-Za-z0-9_]+)|\$\{(JARVIS_(?:ADDRESS|HOST)|` + VarPrefix + `[A-Za-z0-9_]+)(?:(:?-)([^$}]*))?\}`)

// FillArg puts values into an argument of a plugin, as text. What look does not know, and nothing is said for, stays as
// it is.
func FillArg(arg string, look func(name string) (string, bool)) string {
	return argWord.ReplaceAllStringFunc(arg, func(word string) string {
		m := argWord.FindStringSubmatch(word)
		v, set := look(m[1] + m[2])
		switch {
		case m[3] != "" && (!set || v == "" && m[3] == ":-"):
			return m[4]
		case !set:
			return word
		}
		return v
	})
}

// checkArgs says which variables in arguments would not be filled in, though a shell would.
func checkArgs(args []string, wrong *sentence) {
	for _, arg := range args {
		left := argWord.ReplaceAllString(arg, "")
		if strings.Contains(left, "{"+VarPrefix) || strings.Contains(left, "{#"+VarPrefix) {
			wrong.add("args: %q is not filled in, for no shell reads args; there are $%sname, ${%[2]sname} and ${%[2]sname:-VALUE}, whose VALUE is plain text", arg, VarPrefix)
		}
	}
}

// varsOf puts together what a task, the host_task and the host say; what comes later counts.
func varsOf(say ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, vars := range say {
		maps.Copy(out, vars)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Missing gives the variables that the task needs and nobody sets for the pair.
func (p *Plan) Missing() []string {
	if p.Def == nil {
		return nil
	}
	return slices.DeleteFunc(p.Def.Needs(), func(name string) bool { _, set := p.Vars[name]; return set })
}

// MissingText says for people what is missing.
func (p *Plan) MissingText() string {
	list := p.Missing()
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("nobody sets %s for %s; write it into vars of the host, of the host_task, or of the task", strings.Join(list, ", "), p.Key)
}

// checkVars checks what goes into an environment: names of letters, and no zero byte, which would end the value.
func checkVars(vars map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		if !envName.MatchString(k) {
			return fmt.Errorf("vars: %q is no name of a variable; it is of letters, digits and underscores", k)
		}
		if strings.ContainsRune(vars[k], 0) {
			return fmt.Errorf("vars: %s holds a zero byte", k)
		}
	}
	return nil
}
