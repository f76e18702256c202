package model

import (
	"math/bits"
	"time"
)

// State is where a check on a host stands, after its last result.
type State struct {
	Status Status `json:"status"` // of the last result
	Hard   Status `json:"hard"`   // the last that was believed
	Told   Status `json:"told"`   // the last that people and actions were told of
	// Again: the problem is to be told again to those who were told of it. Told stays what they know, so they hear of
	// its end.
	Again   bool      `json:"again,omitempty"`
	Attempt int       `json:"attempt"` // how often in a row it has been a problem, at most the attempts that make it hard; 0: OK
	Since   time.Time `json:"since"`   // of the hard status
	// Bad is since when people think that it is not OK, whatever problem it has been since; zero: it never was a
	// problem.
	Bad      time.Time `json:"bad,omitzero"`
	Count    int       `json:"count"`    // results in a row with this status
	Flapping bool      `json:"flapping"` // it changes too often for each change to be said
	// Through has a bit for each status that was told since it was OK last; 0: an older Jarvis told it.
	Through uint8 `json:"through,omitempty"`
	// Changed has a bit for each of the last results that had another status than the one before; the newest is bit 0.
	Changed uint32 `json:"changed"`
	Seen    int    `json:"seen"` // results that Changed knows, at most flapWindow+1
}

// Transition is what a result changed.
type Transition string

// The transitions. Problem, Change and Recovery are of hard states, and from what was told last.
const (
	Problem  Transition = "problem"  // it was OK, and is not
	Change   Transition = "change"   // from one problem to another
	Recovery Transition = "recovery" // it is OK again
	Flaps    Transition = "flapping" // it began to change too often
	Steady   Transition = "steady"   // it no longer does
)

// Flapping as Nagios computes it: of the last 21 results, 20 may be changes, newer ones weigh more (0.8 to 1.2). The
// thresholds are Icinga's.
const (
	flapWindow = 20
	flapHigh   = 0.30
	flapLow    = 0.25
)

// Apply takes a result in. A problem is hard when it comes attempts times in a row; being OK is hard at once. It gives
// Flaps or Steady when that begins or ends, and "" otherwise; what else is to be told, Tell says.
func (s *State) Apply(status Status, at time.Time, attempts int) Transition {
	changed := s.Seen > 0 && status != s.Status
	s.Changed = s.Changed << 1 & (1<<flapWindow - 1)
	if changed {
		s.Changed |= 1
		s.Count = 0
	}
	s.Seen = min(s.Seen+1, flapWindow+1)
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
	if status != s.Hard && (status == OK || s.Attempt >= attempts) {
		if s.Hard == OK && (s.Told == OK || s.Bad.IsZero()) {
			s.Bad = at
		}
		s.Hard, s.Since = status, at
	}
	if ratio := s.changes(); s.Flapping && ratio < flapLow {
		s.Flapping = false
		return Steady
	} else if !s.Flapping && ratio >= flapHigh {
		s.Flapping = true
		return Flaps
	}
	return ""
}

// Tell gives what is to be told now, and counts it as told; "" when people know where it stands, or while it flaps.
// Whoever holds it back (a downtime, say) does not call it, and it is told later.
func (s *State) Tell() Transition {
	if s.Flapping || !s.Untold() {
		return ""
	}
	was, again := s.Told, s.Again
	s.Told, s.Again = s.Hard, false
	if s.Hard != OK {
		if was == OK {
			s.Through = 0
		}
		s.Through |= 1 << s.Hard
	}
	switch {
	case s.Hard == OK:
		return Recovery
	case was == OK, again:
		return Problem
	}
	return Change
}

// TellAgain has a problem that was told be told again.
func (s *State) TellAgain() { s.Again = s.Told != OK }

// Untold reports whether people are to be told something: where it stands, or once more that it does.
func (s *State) Untold() bool { return s.Hard != s.Told || s.Again }

// changes gives how much of the last results were changes, 0 to 1.
func (s *State) changes() float64 {
	if bits.OnesCount32(s.Changed) == 0 {
		return 0
	}
	sum := 0.0
	for i := range flapWindow {
		if s.Changed>>i&1 == 1 {
			sum += 1.2 - 0.4*float64(i)/(flapWindow-1)
		}
	}
	return sum / flapWindow
}

// Soft reports whether the last result is not believed yet.
func (s *State) Soft() bool { return s.Status != s.Hard }
