package pipeline

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/store"
)

// named is a word that may be the name of a host, a cluster or a group, or the number of a run.
var named = pattern.New(`[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?`)

// Hide gives what hides the secrets of every host that a command line names: by its name, by the number of a run, by
// its cluster or group. People paste secrets into commands and reasons, and whatever tells or keeps such a line asks
// here first. What a clipboard of before has counts too: for each host it is that of the run it stands by and of the
// newest.
func (e *Engine) Hide(ctx context.Context, line string) (*clipboard.Masker, error) {
	m := &clipboard.Masker{}
	words := named.FindAllString(strings.ToLower(line), -1)
	words = slices.DeleteFunc(words, func(w string) bool { return len(w) > 253 })
	slices.Sort(words)
	// A hundred at once: each stands in the statement six times, and a database takes some thousand arguments.
	for some := range slices.Chunk(slices.Compact(words), 100) {
		in, one := "(?"+strings.Repeat(", ?", len(some)-1)+")", make([]any, len(some))
		for i, w := range some {
			one[i] = w
		}
		hosts := "SELECT fqdn FROM hosts WHERE fqdn IN " + in + " UNION SELECT fqdn FROM hosts WHERE host IN " + in +
			" UNION SELECT fqdn FROM host_groups WHERE name IN " + in +
			" UNION SELECT fqdn FROM runs WHERE cluster > 0 AND cluster IN (SELECT id FROM clusters WHERE name IN " + in + ")"
		args := slices.Concat(one, one, one, one)
		if ids := numbers(some); len(ids) > 0 {
			hosts += " UNION SELECT fqdn FROM runs WHERE id IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
			args = append(args, ids...)
		}
		runs := "SELECT run FROM hosts WHERE fqdn IN (" + hosts + ") UNION SELECT newest FROM hosts WHERE fqdn IN (" + hosts + ")"
		args = slices.Concat(args, args)
		if ids := numbers(some); len(ids) > 0 { // the run of that number may be an older one
			runs += " UNION SELECT id FROM runs WHERE id IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
			args = append(args, ids...)
		}
		texts, err := store.Collect(ctx, e.db, func(row store.Row) (s string, err error) { return s, row.Scan(&s) },
			"SELECT clipboard FROM runs WHERE clipboard LIKE '%!sealed%' AND id IN ("+runs+")", args...)
		if err != nil {
			return m, err
		}
		for _, text := range texts {
			for _, s := range e.Masker(Run{clipboard: text}).Secrets() {
				m.Add(s)
			}
		}
	}
	return m, nil
}

// numbers gives those of the words that may be the number of a run.
func numbers(words []string) (out []any) {
	for _, w := range words {
		if n, err := strconv.ParseInt(w, 10, 64); err == nil {
			out = append(out, n)
		}
	}
	return out
}
