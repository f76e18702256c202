package checks

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Nodes tell each other by NOTIFY that there is something to look at; what it is stands in the record. A message that
// is lost delays: each looks every two seconds as well.
const (
	chanChecks = "jarvis_checks" // the payload is who says it, and what of

	newsStates  = "states"  // a node changed states of checks that it does not run
	newsDefs    = "defs"    // definitions
	newsQuiet   = "quiet"   // downtimes
	newsDo      = "do"      // rows of the outbox
	newsDone    = "done"    // runs that were asked for
	newsNotices = "notices" // lines for people
	newsMoved   = "moved"   // a part is free
)

const tellPeriod = 20 * time.Millisecond // between two messages: NOTIFY makes commits wait for each other

// town is what nodes say to each other. It owns what is to be said and is not yet. It needs a record that nodes share;
// a node that is alone says nothing.
type town struct {
	tools
	alone   bool
	telling chan string
}

func newTown() town { return town{alone: true, telling: make(chan string, 16)} }

// tell has the others look at something. It does not wait.
func (t *town) tell(what string) {
	if t.alone {
		return
	}
	select {
	case t.telling <- what:
	default: // there is much to tell, and they look by themselves
	}
}

// listen hears what is said, until ctx ends.
func (t *town) listen(ctx context.Context) <-chan store.Notice {
	return t.db.Listen(ctx, chanChecks)
}

// heard gives what another node said is new; false: we said it ourselves.
func (t *town) heard(n store.Notice) (what string, others bool) {
	who, what, _ := cutLast(n.Payload)
	return what, who != t.db.Holder()
}

// say says one thing now.
func (t *town) say(ctx context.Context, what string) error {
	return t.db.Notify(ctx, chanChecks, t.db.Holder()+" "+what)
}

// sayAll says what is to be said now, each once.
func (t *town) sayAll(ctx context.Context, what string) {
	all := map[string]bool{what: true}
	for more := true; more; {
		select {
		case w := <-t.telling:
			all[w] = true
		default:
			more = false
		}
	}
	for _, w := range slices.Sorted(maps.Keys(all)) {
		if err := t.say(ctx, w); err != nil && ctx.Err() == nil {
			t.log.Debug("tell the other nodes", "err", err) // they look by themselves
		}
	}
	rest := time.NewTimer(tellPeriod)
	defer rest.Stop()
	select {
	case <-ctx.Done():
	case <-rest.C:
	}
}

// cutLast cuts at the last blank: the name before it may have blanks of its own.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// changed counts a change, in its transaction.
func changed(ctx context.Context, tx store.Tx, mark string) error {
	_, err := tx.Exec(ctx, "INSERT INTO check_marks (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = check_marks.value + 1", mark)
	return err
}
