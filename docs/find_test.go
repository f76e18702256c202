package docs

import "testing"

func TestFind(t *testing.T) {
	groups, err := Load(func(_, to string) string { return "/docs/" + to })
	if err != nil {
		t.Fatal(err)
	}
	if got := Find(groups, []string{"PROXY", "behind"}, 5); len(got) == 0 || got[0].Section.Title != "Behind a proxy" {
		t.Errorf("%+v", got)
	}
	for _, words := range [][]string{nil, {"no such word at all"}} {
		if got := Find(groups, words, 5); len(got) != 0 {
			t.Errorf("%q: %+v", words, got)
		}
	}
	if got := Find(groups, []string{"a"}, 5); len(got) != 5 {
		t.Errorf("%d hits", len(got))
	}
}
