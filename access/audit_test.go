package access

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/jarvisops/jarvis/store"
)

// Words are looked for among the newest rows, and whoever asks hears that there are older ones; one person's are all
// looked at.
func TestAuditFindSaysHowFar(t *testing.T) {
	db, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	a, err := New(t.Context(), nil, db)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(tx store.Tx) error {
		for i := range auditFar + 10 {
			who, line := "alice", "status loki"
			if i == 0 {
				who, line = "eve", "deploy loki"
			} else if i == auditFar+9 {
				line = "deploy thor"
			}
			if _, err := tx.Exec(t.Context(), "INSERT INTO audit (at, who, via, line, outcome) VALUES (?, ?, 'irc', ?, 'ok')", i, who, line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    AuditFilter
		want string
	}{
		{AuditFilter{With: []string{"DEPLOY"}, Limit: 20}, "1 true"},
		{AuditFilter{Who: "eve", With: []string{"deploy"}, Limit: 20}, "1 false"},
		{AuditFilter{With: []string{"de_loy"}, Limit: 20}, "0 true"},
	} {
		list, far, err := a.AuditFind(t.Context(), c.f)
		if got := fmt.Sprint(len(list), " ", far > 0); err != nil || got != c.want {
			t.Errorf("%+v: %s, want %s: %v", c.f, got, c.want, err)
		}
	}
}
