package model

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestStates(t *testing.T) {
	for _, c := range []struct {
		name, results string // O, W, C, U
		attempts      int
		want          string // transitions, each with the number of its result
	}{
		{"always well", "OOOO", 3, ""},
		{"hard at the third", "OCCCC", 3, "4problem"},
		{"a blip", "OCCOCO", 3, ""},
		{"at once", "OCO", 1, "2problem 3recovery"},
		{"bad from the first", "CCC", 3, "3problem"},
		{"another kind of bad", "OCCCWWCC", 3, "4problem 5change 7change"},
		{"soft problems of two kinds count together", "OWCW", 3, "4problem"},
		{"unknown is a problem", "OUUUO", 3, "4problem 5recovery"},
		{"flaps, and is quiet meanwhile", strings.Repeat("OC", 10) + strings.Repeat("O", 20), 1, "2problem 3recovery 4problem 5recovery 6problem 7flapping 36steady 36recovery"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s State
			var got []string
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, r := range c.results {
				status := Status(strings.IndexRune("OWCU", r))
				for _, tr := range []Transition{s.Apply(status, at.Add(time.Duration(i)*time.Minute), c.attempts), s.Tell()} {
					if tr != "" {
						got = append(got, fmt.Sprint(i+1, tr))
					}
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s, want %s", strings.Join(got, " "), c.want)
			}
			if last := Status(strings.IndexByte("OWCU", c.results[len(c.results)-1])); s.Status != last {
				t.Errorf("it ends %s", s.Status)
			}
		})
	}
}
