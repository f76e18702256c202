package converge

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAReportAsJSON has durations in seconds and no null where something can be counted, as all JSON of ours, and is
// read back.
func TestAReportAsJSON(t *testing.T) {
	for name, c := range map[string]struct {
		r    Report
		want string
	}{
		"of nobody":  {Report{}, `{"cycles":0,"confirmed":false,"took":0,"hosts":[]}`},
		"of one":     {Report{Cycles: 2, Confirmed: true, Took: 1500 * time.Millisecond, Hosts: []HostReport{{Host: "web1", Stable: true, Exchanges: 1}}}, `{"cycles":2,"confirmed":true,"took":1.5,"hosts":[{"host":"web1","stable":true,"exchanges":1}]}`},
		"of a while": {Report{Took: 3*time.Minute + 7*time.Microsecond}, `{"cycles":0,"confirmed":false,"took":180.000007,"hosts":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []any{c.r, &c.r} {
				b, err := json.Marshal(v)
				if err != nil || string(b) != c.want {
					t.Errorf("got %s, %v, want %s", b, err, c.want)
				}
			}
			var back Report
			if err := json.Unmarshal([]byte(c.want), &back); err != nil {
				t.Fatal(err)
			}
			if c.r.Hosts == nil {
				c.r.Hosts = []HostReport{}
			}
			if diff := cmp.Diff(c.r, back); diff != "" {
				t.Error(diff)
			}
		})
	}
}
