package command

import (
	"bytes"
	"context"
	"slices"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
)

// meantCheck asks about the check that somebody may have meant: "did you mean disk on loki? "; "" when none is near.
func (e *Env) meantCheck(ctx context.Context, k model.Key) string {
	if isPattern(k.Task) || isPattern(k.Host) {
		return ""
	}
	all, err := e.Checks.List(ctx, checks.Filter{})
	if err != nil {
		return ""
	}
	tasks, hosts, there := []string{}, []string{}, map[model.Key]bool{}
	for _, v := range all {
		tasks, hosts = append(tasks, v.Task), append(hosts, v.Host)
		there[v.Key] = true
	}
	near := ""
	switch {
	case k.Host == "":
		near = plain.Nearest(k.Task, slices.Concat(tasks, hosts))
	case k.Task == "":
		near = plain.Nearest(k.Host, hosts)
	default:
		if key := (model.Key{Task: nearOr(k.Task, tasks), Host: nearOr(k.Host, hosts)}); there[key] {
			near = key.String()
		}
	}
	if near == "" {
		return ""
	}
	return "did you mean " + near + "? "
}

// nearOr gives the word itself when it is one of the names, or else the nearest.
func nearOr(word string, names []string) string {
	if slices.Contains(names, word) {
		return word
	}
	return plain.Nearest(word, names)
}

// saysNothing reports whether a text of YAML has nothing but comments.
func saysNothing(text []byte) bool {
	for l := range bytes.Lines(text) {
		if l = bytes.TrimSpace(l); len(l) > 0 && l[0] != '#' {
			return false
		}
	}
	return true
}
