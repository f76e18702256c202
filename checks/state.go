package checks

import (
	"math/bits"
	"time"
)

// State is where a check on a host stands, after its last result.
type State struct {
	Status   Status    `json:"status"`   // of the last result
	Hard     Status    `json:"hard"`     // the last that was believed: what people are told of
	Attempt  int       `json:"attempt"`  // how often in a row it has been a problem, at most the attempts that make it hard; 0: OK
	Since    time.Time `json:"since"`    // of the hard status
	Count    int       `json:"count"`    // results in a row with this status
	Flapping bool      `json:"flapping"` // it changes too often for each change to be said
	// history has a bit for each of the last results that had another status than the one before; the newest is bit 0.
	history uint32
	seen    int // results that history knows, at most flapWindow
}

// Transition is what a result changed.
type Transition string

// The transitions. Problem, Change and Recovery are of hard states.
const (
	Problem  Transition = "problem"  // it was OK, and is not
	Change   Transition = "change"   // from one problem to another
	Recovery Transition = "recovery" // it is OK again
	Flaps    Transition = "flapping" // it began to change too often
	Steady   Transition = "steady"   // it no longer does
)

// Flapping as Nagios computes it: of the last 21 results, 20 may be changes, newer ones weigh more (0.8 to 1.2). The thresholds
// are Icinga's.
const (
	flapWindow = 20
	flapHigh   = 0.30
	flapLow    = 0.25
)

// Apply takes a result in. A problem is hard at the attempts-th result in a row that is one; being OK is hard at once. While
// a check flaps, it says nothing else.
func (s *State) Apply(status Status, at time.Time, attempts int) []Transition {
	changed := s.seen > 0 && status != s.Status
	s.history = s.history << 1 & (1<<flapWindow - 1)
	if changed {
		s.history |= 1
		s.Count = 0
	}
	s.seen = min(s.seen+1, flapWindow+1)
	s.Count++
	s.Status = status
	if status == OK {
		s.Attempt = 0
	} else {
		s.Attempt = min(s.Attempt+1, max(attempts, 1))
	}
	if s.Since.IsZero() {
		s.Since = at // until the first problem or OK is believed it counts as OK
	}
	var out []Transition
	if ratio := s.changes(); s.Flapping && ratio < flapLow {
		s.Flapping = false
		out = append(out, Steady)
	} else if !s.Flapping && ratio >= flapHigh {
		s.Flapping = true
		out = append(out, Flaps)
	}
	if status == s.Hard || status != OK && s.Attempt < attempts {
		return out
	}
	was := s.Hard
	s.Hard, s.Since = status, at
	if s.Flapping {
		return out
	}
	switch {
	case status == OK:
		out = append(out, Recovery)
	case was == OK:
		out = append(out, Problem)
	default:
		out = append(out, Change)
	}
	return out
}

// changes gives how much of the last results were changes, 0 to 1.
func (s *State) changes() float64 {
	if bits.OnesCount32(s.history) == 0 {
		return 0
	}
	sum := 0.0
	for i := range flapWindow {
		if s.history>>i&1 == 1 {
			sum += 1.2 - 0.4*float64(i)/(flapWindow-1)
		}
	}
	return sum / flapWindow
}

// Soft reports whether the last result is not believed yet.
func (s *State) Soft() bool { return s.Status != s.Hard }
