package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/pipeline"
)

// unread says which keys of a clipboard nobody reads; "" when there are none. What another verb of the provider reads,
// as the standby of a redeploy, is no mistake in a deploy. The clipboard's own steps are all there is to read it.
func (e *Env) unread(q pipeline.Request) string {
	steps := q.Steps
	if q.Kind.Verb != pipeline.VerbOwn {
		steps = slices.Clone(steps)
		for _, lists := range e.Pipelines {
			for p, list := range lists {
				if p == q.Kind.Provider || strings.HasPrefix(p, q.Kind.Provider+"-") {
					steps = append(steps, list...)
				}
			}
		}
	}
	reg := e.Engine.Registry()
	keys := reg.Unread(q.Clipboard, steps)
	if len(keys) == 0 {
		return ""
	}
	said, keys := atTheTop(keys)
	if len(keys) == 0 {
		return said
	}
	reads := reg.Reads(q.Clipboard, steps)
	slices.Sort(reads)
	var out []string
	for _, key := range keys {
		word := "`" + clip(key, 40) + "`"
		if near := pipeline.Nearest(key, reads); near != "" && !q.Clipboard.Has(near) {
			word += fmt.Sprintf(" (did you mean `%s`?)", near)
		}
		out = append(out, word)
	}
	return strings.TrimSpace(said + " No step reads " + strings.Join(out, ", ") + ".")
}

// topKeys stand beside `instance`, not below it.
var topKeys = []string{"steps", "actions", "instances", "barriers", "on_failure", "cluster"}

// atTheTop says where those of the keys belong that stand too deep, and gives the others.
func atTheTop(keys []string) (said string, rest []string) {
	var deep []string
	for _, key := range keys {
		if slices.Contains(topKeys, key) {
			deep = append(deep, "`"+key+"`")
		} else {
			rest = append(rest, key)
		}
	}
	switch len(deep) {
	case 0:
		return "", rest
	case 1:
		return "Below `instance` nothing reads " + deep[0] + ": it belongs at the top of the clipboard, not indented.", rest
	}
	return "Below `instance` nothing reads " + strings.Join(deep, ", ") + ": they belong at the top of the clipboard, not indented.", rest
}

// unreadOf says it for each host of what was ordered.
func (e *Env) unreadOf(o ordered) string {
	var out []string
	for _, q := range o.requests {
		text := e.unread(q)
		if text == "" {
			continue
		}
		if o.cluster != nil {
			text = q.Clipboard.Get("hostname") + ": " + text
		}
		if out = append(out, text); len(out) == 3 {
			break
		}
	}
	return strings.Join(out, " ")
}
