package command

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// The attack: lines of many words, each of which the database was asked for before the limit and the role were looked
// at.
func TestALongLineThatIsRefusedCostsLittle(t *testing.T) {
	table, e := stage(t, func(context.Context, *clipboard.Clipboard) error { return nil })
	db, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	acc, err := access.New(t.Context(), []access.PersonConfig{{Name: "alice", Roles: []string{access.Deploy}}}, db)
	if err != nil {
		t.Fatal(err)
	}
	table.Change(func(e *Env) {
		e.Access, e.Limiter = acc, access.NewLimiter(access.LimitConfig{Burst: 3, Interval: time.Hour})
	})
	if _, err := deployOf(t, table, "instance:\n  hostname: loki\n  provider: ESX\n  word: !secret s3cr3t-s3cr3t\n", access.Deploy); err != nil {
		t.Fatal(err)
	}
	many := []string{"release"}
	for i := range 20000 {
		many = append(many, fmt.Sprintf("w%d", i))
	}
	began := time.Now()
	if _, err := e.Hide(t.Context(), strings.Join(many, " ")); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began)
	for _, c := range []struct {
		name, who string
		words     []string
		want      string // on record
	}{
		{"without the role", "", many, "release … (20001 words)"},
		{"too many words", "alice", many, "release … (20001 words)"},
		{"no such verb", "alice", append([]string{strings.Repeat("x", 5000)}, many...), strings.Repeat("x", 40) + "… … (20002 words)"},
		{"short", "alice", []string{"release", "loki", "loki", "s3cr3t-s3cr3t"}, "release loki loki •••"},
		{"too fast, and short", "alice", []string{"release", "loki", "s3cr3t-s3cr3t"}, "release loki •••"},
		{"too fast", "alice", many, "release … (20001 words)"},
	} {
		began := time.Now()
		_, err := table.Do(t.Context(), Call{Words: c.words, Person: acc.Person(c.who), Asker: "mallory", Via: "test"})
		took := time.Since(began)
		if err == nil || took > whole/2 && len(c.words) > 10 {
			t.Errorf("%s: %v after %v; to look at the whole line takes %v", c.name, err, took, whole)
		}
		tail, err := acc.AuditTail(t.Context(), access.AuditFilter{Limit: 1})
		if err != nil || len(tail) != 1 || tail[0].Line != c.want {
			t.Errorf("%s: on record is %.200q, want %q, %v", c.name, tail[0].Line, c.want, err)
		}
	}
}
