package pipeline

import "slices"

// Class is a word for kinds of notices that mean the same to whom they reach.
type Class struct {
	Name  string
	Kinds []EventKind
}

// Classes lists them. A kind may be in several; each is in one besides "all", or quiet hours and routes by class would
// lose it.
func Classes() []Class {
	return []Class{
		{"failures", []EventKind{EvFailed, EvAsking, EvUndoFailed, EvLapsed}},
		{"people", []EventKind{EvProposed, EvAsking}},
		{"warnings", []EventKind{EvDrift, EvSiloAway}},
		{"news", []EventKind{EvBegins, EvPostponed, EvApproved, EvDenied, EvReady, EvAllReady, EvCancelled, EvUndone, EvDriftOver, EvSiloBack}},
		{"all", Notices},
	}
}

// NoticesOf gives the kinds of notices that a word means: a Class's, or the one of that name. Nil: there is no such
// word.
func NoticesOf(word string) []EventKind {
	for _, c := range Classes() {
		if c.Name == word {
			return c.Kinds
		}
	}
	if k := EventKind(word); k.IsNotice() {
		return []EventKind{k}
	}
	return nil
}

// Fails reports whether it tells that something went wrong with a run, so that whoever asked for it must hear it.
func (k EventKind) Fails() bool { return slices.Contains(NoticesOf("failures"), k) }

// ClassesOf names the classes that a kind is in, but for the one that has all.
func (k EventKind) ClassesOf() (names []string) {
	for _, c := range Classes() {
		if c.Name != "all" && slices.Contains(c.Kinds, k) {
			names = append(names, c.Name)
		}
	}
	return names
}
