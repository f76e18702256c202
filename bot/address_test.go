package bot

import (
	"strings"
	"testing"

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
