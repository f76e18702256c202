package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// tokenWay is the command line of people elsewhere, each with a token.
type tokenWay struct {
	url    string
	tokens map[string]string
	last   map[string]string // what each was told
}

func (w *tokenWay) config() string {
	return `
listen: 127.0.0.1:0
people:
  - {name: alice, roles: [deploy, run]}
  - {name: bob, roles: [deploy]}
  - {name: victor, roles: [view]}
  - {name: mallory, roles: []}
`
}

func (w *tokenWay) open(t *testing.T, s *talkSite) {
	log := s.serve(t)
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatal(log)
	}
	w.url, w.tokens, w.last = "http://"+m[1], map[string]string{}, map[string]string{}
	for _, name := range []string{"alice", "bob", "victor"} {
		code, out, errs := jarvis(t, "", "--config", s.conf, "token", "new", "test", "for", name)
		if code != 0 {
			t.Fatal(errs)
		}
		w.tokens[name] = strings.Fields(out)[0]
	}
}

func (w *tokenWay) say(t *testing.T, who, text string) {
	if who == "mallory" {
		w.tokens[who] = "jarvis_guessed"
		text = "whoami"
	}
	t.Setenv("JARVIS_TOKEN", w.tokens[who])
	args := append([]string{"--server", w.url}, strings.Fields(text)...)
	_, out, errs := jarvis(t, "", append(args, noWait(text)...)...)
	w.last[who] = out + strings.TrimPrefix(errs, "jarvis: ")
}

// noWait is for what would wait for a run: in chat nobody waits.
func noWait(text string) []string {
	verb, _, _ := strings.Cut(text, " ")
	if slices.Contains([]string{"deploy", "destroy", "redeploy", "retry", "undo", "cancel", "approve", "deny"}, verb) {
		return []string{"--no-wait"}
	}
	return nil
}

func (w *tokenWay) hear(t *testing.T, who, pattern string, notice bool) {
	t.Helper()
	if notice { // nobody is told; he asks
		host, _, _ := strings.Cut(strings.TrimSuffix(pattern, ":"), " ")
		host = strings.TrimSuffix(host, ":")
		for end := time.Now().Add(hearLimit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if w.say(t, who, "status "+host); !strings.Contains(w.last[who], ": stage ") && !strings.Contains(w.last[who], "being undone") {
				return
			}
		}
		t.Errorf("%s does not come to rest: %s", host, w.last[who])
		return
	}
	if who == "mallory" { // nobody gets so far without a token
		pattern = "this token is not known here; .*"
	}
	re := regexp.MustCompile("(?m)^" + strings.TrimSuffix(pattern, `\.`) + `\.?$`)
	if !re.MatchString(w.last[who]) {
		t.Errorf("%s was told %q, want %s", who, w.last[who], pattern)
	}
}
