// Package transfer makes definitions of Jarvis's checks of what another system has in its files: of Nagios and
// Icinga 1.
//
//	nagios.Tree ──► FromNagios ──► Result{YAML, Notes, Counts}
//
// Nothing is dropped in silence. Each attribute of each object has one fate: it is carried over, it means nothing here
// (meaning.go has why), it is overridden and so means nothing there either, or a Note names it: where it stands, what
// it is, why it could not be carried over, and what to do.
//
// It writes no file and asks nobody.
package transfer
