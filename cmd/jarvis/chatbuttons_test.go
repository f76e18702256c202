package main

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab"
)

// What waits for a second person has buttons on Slack. When it is decided elsewhere, the line says by whom, and has
// none; also when Slack did not take that at first, and the server ended meanwhile.
func TestButtonsOfWhatWasDecidedElsewhere(t *testing.T) {
	t.Parallel()
	w := &slackWay{quiet: true}
	s := talk(t, w, 219)
	post := func(n int) (p lab.SlackPost) {
		asked := 0
		for _, p := range w.s.Posts() {
			if strings.Contains(p.Text, "It waits for a second person") {
				if asked++; asked == n {
					return p
				}
			}
		}
		return lab.SlackPost{}
	}
	ends := func(n int, how string) {
		t.Helper()
		if err := w.s.Until("the line ends with "+how, hearLimit, func() bool { return strings.HasSuffix(post(n).Text, "\n"+how) }); err != nil {
			t.Fatal(err, post(n))
		}
		if got := post(n).Buttons(); len(got) > 0 {
			t.Errorf("there are the buttons %q", got)
		}
	}
	decide := func(words ...string) {
		t.Helper()
		if code, _, errs := jarvis(t, "", append([]string{"--config", s.conf}, words...)...); code != 0 {
			t.Fatal(errs)
		}
	}
	w.say(t, "alice", "deploy "+s.gists["{loki}"])
	w.hear(t, "alice", "loki is ready: .*", true)

	w.say(t, "alice", "destroy loki")
	if err := w.s.Until("buttons", hearLimit, func() bool { return len(post(1).Buttons()) == 2 }); err != nil {
		t.Fatal(err)
	}
	w.s.Fail("chat.update", 1, lab.SlackFault{Status: 502})
	decide("deny", "2", "because", "it", "is", "needed")
	ends(1, "Denied by root because it is needed.")

	w.say(t, "alice", "destroy loki")
	if err := w.s.Until("buttons", hearLimit, func() bool { return len(post(2).Buttons()) == 2 }); err != nil {
		t.Fatal(err)
	}
	w.s.Fail("chat.update", 2, lab.SlackFault{Status: 502})
	decide("cancel", "loki")
	s.stop()
	s.serve(t)
	ends(2, "Denied by root.")
	if bad := w.s.Violations(); len(bad) > 0 {
		t.Error(bad)
	}
}
