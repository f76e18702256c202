package command

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/access"
)

// A verb of words says of each what it does, and for whom it is; help, usage and the API take it from there.
func TestWordsOfVerbs(t *testing.T) {
	n := 0
	for _, v := range Verbs() {
		seen := map[string]bool{}
		for _, w := range v.Words {
			n++
			if w.Doc == "" || w.Role == "" || w.Run == nil || seen[w.Name] || strings.HasSuffix(w.Doc, ".") {
				t.Errorf("%s %s: %+v", v.Name, w.Name, w)
			}
			seen[w.Name] = true
		}
		for _, a := range v.API {
			usage, doc, role := v.Of(a)
			if v.Words != nil && (len(a.Prefix) == 0 || !seen[a.Prefix[0]] || !strings.HasPrefix(usage, v.Name+" "+a.Prefix[0])) || doc == "" || role == "" && v.Role != "" {
				t.Errorf("%s %s: %q, %q, %q", a.Method, a.Path, usage, doc, role)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d words were looked at", n)
	}
	check := check()
	for name, role := range map[string]string{"show": access.View, "ack": access.Deploy, "define": access.Run} {
		if w, _ := check.Word(name); w.Role != role {
			t.Errorf("check %s needs %q, want %q", name, w.Role, role)
		}
	}
	for word, want := range map[string]string{
		"":     "check — shows, runs, acknowledges, silences and defines the scheduled checks of hosts. As in: check show disk on loki. It knows the words list, show,",
		"show": `check show TASK on HOST — tells all of one check: how it stands, its values, its last results (needs the role "view")`,
	} {
		if got, err := check.explain(word); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("help check %s: %q, %v", word, got, err)
		}
	}
	if _, err := check.explain("sow"); err == nil {
		t.Error("check sow is explained")
	}
	for line, want := range map[string]string{"new": "`token new` is used as: token new NAME ", "bogus": "`token` knows no word \"bogus\""} {
		_, err := token().Run(t.Context(), nil, &Call{Args: []string{line}, Person: access.Person{Name: "alice", Roles: access.Roles}})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("token %s: %v", line, err)
		}
	}
}
