package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/jarvisops/jarvis/command"
)

// A word that takes the rest of a line is the last that a request gives: what came after it would be a part of it.
func TestNothingFollowsAWordThatTakesTheRest(t *testing.T) {
	greedy := func(v command.Verb, p command.Param) bool {
		return p.Word == "because" || v.Name == "audit" && p.Word == "with"
	}
	n := 0
	for _, v := range command.Verbs() {
		for _, a := range v.API {
			for i, p := range a.Params {
				if !greedy(v, p) {
					continue
				}
				if n++; i != len(a.Params)-1 {
					t.Errorf("%s %s: %q takes %q for its own", a.Method, a.Path, p.Word, a.Params[i+1].Name)
				}
			}
		}
	}
	if n < 4 {
		t.Errorf("only %d such words were looked at", n)
	}
}

func TestWordsOfAnAuditRequest(t *testing.T) {
	i := slices.IndexFunc(command.Verbs(), func(v command.Verb) bool { return v.Name == "audit" })
	audit := command.Verbs()[i]
	r := httptest.NewRequest(http.MethodGet, "/v1/audit?with=deploy+loki&limit=5&person=alice", nil)
	call, err := (&Server{}).callOf(humago.NewContext(&huma.Operation{}, r, httptest.NewRecorder()), nil, nil, audit, audit.API[0])
	if got, want := strings.Join(call.Words, " "), "audit alice 5 with deploy loki"; err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
