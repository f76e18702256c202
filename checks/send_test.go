package checks

import "testing"

// A letter that is sent while the outbox is read, where it still stands as open, is not sent again.
func TestALetterThatEndsWhileTheOutboxIsRead(t *testing.T) {
	u := underWay{busy: map[string]bool{}}
	open := []outboxRow{{id: 1, body: `{"contact": "ops"}`}, {id: 2, body: `{"contact": "ops"}`}, {id: 3, body: `{"contact": "boss"}`}}
	begins := func(rows []outboxRow, meanwhile func()) (ids []int64) {
		t.Helper()
		list, err := u.begin(func() ([]outboxRow, error) { meanwhile(); return rows, nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			ids = append(ids, r.id)
		}
		return ids
	}
	nothing := func() {}
	if got := begins(open, nothing); len(got) != 2 || got[0] != 1 || got[1] != 3 {
		t.Errorf("it begins %v, want 1 and 3", got)
	}
	if got := begins(open, func() { u.end("ops") }); got != nil {
		t.Errorf("it begins %v, which ended after they were read as open", got)
	}
	if got := begins(open[1:], nothing); len(got) != 1 || got[0] != 2 {
		t.Errorf("it begins %v, want 2", got)
	}
}
