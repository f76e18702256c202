package slack_test

import (
	"errors"
	"testing"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/lab"
)

// TestALineIsChanged where it stands, in a channel and in a thread; one that is not there any more will never be.
func TestALineIsChanged(t *testing.T) {
	x := start(t, fast(), nil)
	ts := x.Say(alice("a question"))
	x.next()
	for _, place := range []string{"#ops", "#ops/" + ts} {
		var at bot.Post
		if err := x.f.Deliver(t.Context(), bot.Notice{ID: -7, Place: place, Line: "web: 1 of 5 ready <b>", Choices: bot.Choices{Shown: func(p bot.Post) { at = p }}}); err != nil {
			t.Fatal(err)
		}
		n := len(x.Posts())
		x.Fail("chat.update", 1, lab.SlackFault{Lost: true})
		for i := 0; ; i++ {
			err := x.f.Edit(t.Context(), at, "web: 5 of 5 ready <b> & <!channel>")
			if err == nil {
				break
			}
			if i == 5 || errors.Is(err, bot.ErrRefused) {
				t.Fatal(err)
			}
		}
		if p := x.Posts(); len(p) != n || p[n-1].Text != "web: 5 of 5 ready &lt;b&gt; &amp; &lt;!channel&gt;" {
			t.Errorf("%s: %+v", place, p)
		}
	}
	for _, p := range []bot.Post{{At: "nonsense"}, {At: "#ops/1.1"}} {
		if err := x.f.Edit(t.Context(), p, "x"); !errors.Is(err, bot.ErrRefused) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
