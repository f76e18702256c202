package bot

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

func TestNoticesNameTheirPage(t *testing.T) {
	long := strings.Repeat("x", 310)
	for _, c := range []struct{ pages, line, want string }{
		{"", "loki is ready.", "loki is ready."},
		{"https://j.example.org/x", "loki is ready.", "loki is ready. https://j.example.org/x/runs/7"},
		{"https://j.example.org", "", ""},
		{"https://j.example.org", long, long},
	} {
		b := &Bot{Config: Config{Pages: c.pages}}
		if got := b.withAddress(t.Context(), c.line, pipeline.Event{Run: 7, Kind: pipeline.EvFailed}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// plainNick is a frontend that is called otherwise than the bot.
type plainNick struct {
	Frontend
	nick string
}

func (p plainNick) Nick() string           { return p.nick + "_" }
func (p plainNick) ConfiguredNick() string { return p.nick }

// TestTwoBotsInOneChannel: of jarvis and jarvis-staging, "jarvis:" means the first alone, unless somebody named the
// second so.
func TestTwoBotsInOneChannel(t *testing.T) {
	for _, c := range []struct {
		nick, text     string
		unnamed, meant bool
	}{
		{"jarvis", "jarvis: status", true, true},
		{"jarvis-staging", "jarvis: status", true, false},
		{"jarvis-staging", "jarvis-staging: status", true, true},
		{"jarvis-staging", "jarvis-staging_: status", true, true},
		{"jarvis-staging", "jarvis: status", false, true},
	} {
		b := &Bot{Config: Config{Name: "jarvis", Unnamed: c.unnamed, Table: command.NewTable(&command.Env{Name: "jarvis"})}}
		if _, _, ok := b.addressed(plainNick{nick: c.nick}, Message{Text: c.text}); ok != c.meant {
			t.Errorf("%+v: %v", c, ok)
		}
	}
}
