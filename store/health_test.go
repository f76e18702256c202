package store

import (
	"errors"
	"testing"

	"github.com/jarvisops/jarvis/internal/guard"
)

// A bug in the look at the database is no good answer.
func TestABugIsNoHealth(t *testing.T) {
	p := (&DB{}).probe() // there is nothing to write into
	<-p.done
	if !errors.As(p.err, new(*guard.Panic)) {
		t.Errorf("the database is well: %v", p.err)
	}
}
