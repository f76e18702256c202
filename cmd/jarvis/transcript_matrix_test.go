package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// matrixWay is a room on a Matrix homeserver.
type matrixWay struct {
	s      *real.Dendrite
	people map[string]*real.MatrixClient
	room   string
	direct map[string]string // by person: the room with the bot
}

func (w *matrixWay) config() string {
	s, err := real.StartDendrite(real.DendriteOptions{}, "jarvis", "alice", "bob", "victor", "mallory")
	if err != nil {
		panic(err)
	}
	w.s = s
	return fmt.Sprintf(`chat:
  - matrix: {homeserver: %q, ca: %q, user: "@jarvis:%[3]s", password: pw-jarvis-lab, rooms: ["#ops:%[3]s"]}
people:
  - {name: alice, matrix: "@alice:%[3]s", roles: [deploy, run]}
  - {name: bob, matrix: "@bob:%[3]s", roles: [deploy]}
  - {name: victor, matrix: "@victor:%[3]s", roles: [view]}
`, w.s.URL, w.s.CA, real.MatrixServer)
}

func (w *matrixWay) open(t *testing.T, s *talkSite) {
	t.Cleanup(w.s.Stop)
	w.people = map[string]*real.MatrixClient{}
	for _, name := range []string{"alice", "bob", "victor", "mallory"} {
		c := must[*real.MatrixClient](t)(real.DialMatrix(t.Context(), w.s, name))
		t.Cleanup(c.Close)
		w.people[name] = c
		if name == "alice" {
			w.room = must[string](t)(c.MakeRoom(t.Context(), "ops", false))
		} else {
			must[string](t)(c.Join(t.Context(), w.room))
		}
	}
	log := s.serve(t)
	for end := time.Now().Add(hearLimit); !strings.Contains(log.String(), "the matrix link is up"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(log)
		}
	}
}

func (w *matrixWay) say(t *testing.T, who, text string) {
	if _, err := w.people[who].Say(t.Context(), w.room, "jarvis: "+text); err != nil {
		t.Error(err)
	}
}

func (w *matrixWay) hear(t *testing.T, who, pattern string, _ bool) {
	t.Helper()
	if _, err := w.people[who].Next(`^\S+ @jarvis:\S+: `+who+": "+pattern+"$", hearLimit); err != nil {
		t.Fatal(err)
	}
}
