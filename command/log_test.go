package command

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestEventLine: a step that only takes keys away wrote nothing, and the end of a destroy is not called ready.
func TestEventLine(t *testing.T) {
	for _, c := range []struct {
		ev   pipeline.Event
		want string
	}{
		{pipeline.Event{Kind: pipeline.EvDone, Step: "keys:create", Diff: "+  ipaddress: 192.0.2.5\n"}, "1/2 keys:create done in 0ms, wrote ipaddress"},
		{pipeline.Event{Kind: pipeline.EvDone, Step: "esx:destroy", Diff: "-  provider_id: vm-7\n"}, "1/2 esx:destroy done in 0ms"},
		{pipeline.Event{Kind: pipeline.EvReady}, "ready"},
		{pipeline.Event{Kind: pipeline.EvReady, Text: "the host is destroyed"}, "the host is destroyed"},
	} {
		if got := strings.TrimPrefix(EventLine(c.ev, 2), plain.Time(c.ev.At)+" "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.ev, got, c.want)
		}
	}
}
