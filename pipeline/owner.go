package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/store"
)

// What is ours is told by two signs: the owner, which a thing of a host carries wherever it is kept, and the record,
// which holds what the steps of the host's runs gave. A short name alone says nothing.

// OwnerOf gives the owner for a host of an installation. The colon keeps it apart from every run's token, and from the
// owner of any other host: no name holds one.
func OwnerOf(install, fqdn string) string { return "jarvis-" + install + ":" + strings.ToLower(fqdn) }

// Installation gives the number that tells this record from all others: eight hexadecimal digits.
func (e *Engine) Installation() string { return e.install }

// Recorder is a Host that has a record.
type Recorder interface {
	// Given lists the values that a task's steps have given a key in the runs of this host, newest first, each once.
	Given(ctx context.Context, task, key string) ([]string, error)
}

// Given lists what the steps of a task ("deploy": ec2:deploy, esx:deploy) gave a key in all runs of this host that
// began, this one too, newest first. What a person wrote into a clipboard is not among it. Only values of one line are
// told, and no secrets. known is false where there is no record, as by hand.
func Given(ctx context.Context, task, key string) (list []string, known bool, err error) {
	if r, ok := hostOf(ctx).(Recorder); ok {
		list, err = r.Given(ctx, task, key)
		return list, true, err
	}
	return nil, false, nil
}

var _ Recorder = (*stepRun)(nil)

func (s *stepRun) Given(ctx context.Context, task, key string) ([]string, error) {
	return s.e.given(ctx, s.run.FQDN, task, key)
}

// given reads the record's diffs: only they tell a step's hand from a person's.
func (e *Engine) given(ctx context.Context, fqdn, task, key string) ([]string, error) {
	diffs, err := store.Collect(ctx, e.db, func(row store.Row) (diff string, err error) { return diff, row.Scan(&diff) },
		`SELECT events.diff FROM events JOIN runs ON runs.id = events.run WHERE runs.fqdn = ? AND runs.began > 0 AND events.kind IN (?, ?)
		AND events.step LIKE ? AND events.diff LIKE ? ORDER BY events.id DESC LIMIT 1000`, fqdn, EvDone, EvKept, "%:"+task, "%"+key+":%")
	if err != nil {
		return nil, fmt.Errorf("look up what earlier runs of %s gave: %w", fqdn, err)
	}
	older, err := store.Collect(ctx, e.db, func(row store.Row) (v string, err error) { return v, row.Scan(&v) },
		"SELECT value FROM given WHERE fqdn = ? AND task = ? AND name = ? ORDER BY event DESC LIMIT 1000", fqdn, task, key)
	if err != nil {
		return nil, fmt.Errorf("look up what older runs of %s gave: %w", fqdn, err)
	}
	var all, out []string
	for _, diff := range diffs {
		for _, p := range givenIn(diff) {
			if p.key == key {
				all = append(all, p.value)
			}
		}
	}
	for _, v := range append(all, older...) {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out, nil
}

// pair is a key of a clipboard with its value of one line.
type pair struct{ key, value string }

// givenIn lists what a diff gave keys. A step that wrote the document again, with other quotes or another indent, gave
// nothing by that.
func givenIn(diff string) []pair {
	had := pairsIn(diff, '-')
	return slices.DeleteFunc(pairsIn(diff, '+'), func(p pair) bool { return slices.Contains(had, p) })
}

// pairsIn gives what a diff took from keys ('-') or gave them ('+').
func pairsIn(diff string, mark byte) []pair {
	var out []pair
	for line := range strings.Lines(diff) {
		if line[0] != mark {
			continue
		}
		key, word, ok := strings.Cut(strings.TrimSpace(line[1:]), ":")
		if word = strings.TrimSpace(word); !ok || word == "" || !plainKey.MatchString(key) {
			continue
		}
		c, err := clipboard.Parse([]byte("instance: {v: " + word + "}\n"))
		if err != nil {
			continue
		}
		if v := c.Get("v"); v != "" {
			out = append(out, pair{key, v})
		}
	}
	return out
}

var plainKey = pattern.New(`^[A-Za-z_][\w.-]*$`)

// planned is the Host of a Plan: it has a record, and nobody to report to.
type planned struct {
	e     *Engine
	fqdn  string
	facts Facts
}

var _ Recorder = (*planned)(nil)

func (p *planned) Progress(string)                                  {}
func (p *planned) Log(string)                                       {}
func (p *planned) Keep(context.Context, *clipboard.Clipboard) error { return nil }
func (p *planned) Facts() Facts                                     { return p.facts }

func (p *planned) Given(ctx context.Context, task, key string) ([]string, error) {
	return p.e.given(ctx, p.fqdn, task, key)
}
