package transfer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/jarvisops/jarvis/checks/nagios"
)

// Note is something that could not be carried over as it is.
type Note struct {
	File string `json:"file"`
	Line int    `json:"line"` // 0: the file as a whole
	What string `json:"what"`
	Why  string `json:"why"`
	Do   string `json:"do,omitempty"` // what people can do
}

// String implements fmt.Stringer.
func (n Note) String() string {
	s := fmt.Sprintf("%s: %s: %s", nagios.Pos{File: n.File, Line: n.Line}, n.What, n.Why)
	if n.Do != "" {
		s += "; " + n.Do
	}
	return s
}

// fate is what became of an attribute.
type fate int

const (
	unseen fate = iota
	carried
	without // it means nothing here
	overridden
	listed
)

// ledger keeps what became of each attribute.
type ledger struct {
	fates map[*nagios.Attr]fate
	notes []Note
	told  map[Note]bool
}

func newLedger() *ledger { return &ledger{fates: map[*nagios.Attr]fate{}, told: map[Note]bool{}} }

// mark notes the fate of what a value was made of. What was listed once stays so: it is not right in all places.
func (l *ledger) mark(f fate, v nagios.Value) {
	for _, a := range v.From {
		if l.fates[a] < f {
			l.fates[a] = f
		}
	}
}

// note tells each thing once.
func (l *ledger) note(p nagios.Pos, what, why, do string) {
	n := Note{p.File, p.Line, what, why, do}
	if !l.told[n] {
		l.told[n] = true
		l.notes = append(l.notes, n)
	}
}

// list says of an attribute that it was not carried over.
func (l *ledger) list(name string, v nagios.Value, why, do string) {
	l.mark(listed, v)
	l.note(v.Pos(), name+" "+clip(v.Text), why, do)
}

// sorted puts the notes in the order of files and lines.
func (l *ledger) sorted() []Note {
	out := slices.Clone(l.notes)
	slices.SortStableFunc(out, func(a, b Note) int {
		return cmp.Or(nagios.Pos{File: a.File, Line: a.Line}.Compare(nagios.Pos{File: b.File, Line: b.Line}))
	})
	return out
}

// clip cuts to 60 characters, for a note.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
