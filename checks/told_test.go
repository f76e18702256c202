package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// What a webhook and a task of an action are told has the form of the API: seconds, and performance data value by
// value.
func TestWhatAnActionIsTold(t *testing.T) {
	r := outboxRow{id: 7, action: "page", Event: Event{Key: diskLoki, On: "recovery", Status: model.OK, Was: 90 * time.Second, Perf: "/=5%;80;90"}}
	b, err := r.told()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"was":90,`, `"perf":[{"label":"/","value":5,"unit":"%"`, `"perfdata":"/=5%;80;90"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
}
