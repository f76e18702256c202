package command

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/access"
)

// TestSynonymsAreNobodyElses: a word means one verb, and is none itself.
func TestSynonymsAreNobodyElses(t *testing.T) {
	table := NewTable(&Env{})
	seen := map[string]string{}
	for _, s := range Synonyms() {
		if v, err := table.Find(s.Verb); err != nil || v.Name != s.Verb {
			t.Errorf("%s is no verb: %v", s.Verb, err)
		}
		for _, w := range s.Words {
			if seen[w] != "" || slices.ContainsFunc(Verbs(), func(v Verb) bool { return v.Name == w }) {
				t.Errorf("%q means %s, and something else", w, s.Verb)
			}
			seen[w] = s.Verb
		}
	}
}

// TestAWordOfElsewhereChangesNothing: attack: `stop`, `rm`, `start` mean other things elsewhere; no such word, and no
// prefix, runs a verb that acts.
func TestAWordOfElsewhereChangesNothing(t *testing.T) {
	table := NewTable(&Env{})
	words := []string{}
	for _, s := range Synonyms() {
		words = append(words, s.Words...)
	}
	for _, v := range Verbs() {
		for i := 1; i < len(v.Name); i++ {
			words = append(words, v.Name[:i])
		}
	}
	for _, w := range words {
		v, err := table.Find(w)
		if err == nil && v.Acts && v.Name != w {
			t.Errorf("%q runs %s", w, v.Name)
		}
	}
	for line, want := range map[string]string{
		"stop web1":                      "`stop` is `cancel` here; nothing was done; say `cancel web1`",
		"Rollback web1":                  "`rollback` is `undo` here; nothing was done; say `undo web1`",
		"delete":                         "say `destroy`",
		"exec loki sh -c 'echo \"a\"'":   "say `run loki sh -c 'echo \"a\"'`",
		"undo loki --dry-run":            "`undo` has no dry run, and nothing was done",
		"logs -f loki":                   "`jarvis log loki -f` on the command line follows it",
		"rm " + strings.Repeat("x", 400): "xxx…`",
	} {
		_, err := table.Do(context.Background(), Call{Words: SplitWords(line), Person: access.Person{Name: "alice", Roles: []string{access.Admin}}, Free: true})
		var ue *UserError
		if !errors.As(err, &ue) || !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func TestRephrase(t *testing.T) {
	table := NewTable(&Env{})
	for line, want := range map[string]string{
		"deploy --dry-run http://x":           "plan deploy http://x",
		"destroy loki --dry-run":              "plan destroy loki",
		"retry loki --from dns:update_host":   "retry loki from dns:update_host",
		"retry loki --from=4":                 "retry loki from 4",
		"retry loki from 4":                   "retry loki from 4",
		"run loki apt-get upgrade --dry-run":  "run loki apt-get upgrade --dry-run",
		"run loki journalctl -f":              "run loki journalctl -f",
		"approve 12 because of the --dry-run": "approve 12 because of the --dry-run",
		"status":                              "status",
	} {
		words := SplitWords(line)
		v, err := table.Find(words[0])
		if err != nil {
			t.Fatal(err)
		}
		v, args, err := Rephrase(v, words[1:])
		if got := JoinWords(append([]string{v.Name}, args...)); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", line, got, err, want)
		}
	}
}

// FuzzJoinWords: what is joined is cut into the same words, but where a word has both kinds of quotes.
func FuzzJoinWords(f *testing.F) {
	f.Add("a b", "it's")
	f.Add("", `"`)
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, w := range []string{a, b} {
			if strings.Contains(w, "'") && strings.Contains(w, `"`) || !isASCII(w) {
				t.Skip()
			}
		}
		if got := SplitWords(JoinWords([]string{a, b})); !slices.Equal(got, []string{a, b}) {
			t.Errorf("%q became %q", []string{a, b}, got)
		}
	})
}

func TestSubWords(t *testing.T) {
	for _, v := range Verbs() {
		want := map[string]string{"token": "list new revoke", "task": "list show run retry done", "plan": "redeploy destroy", "hosts": "like", "page": "link list end",
			"check": "list show history metrics report stats run result ack unack silence unsilence downtimes actions defined define undefine"}[v.Name]
		if got := strings.Join(v.SubWords(), " "); got != want {
			t.Errorf("%s has the words %q, want %q", v.Name, got, want)
		}
	}
}
