package model

import (
	"testing"

	"github.com/jarvisops/jarvis/internal/contract"
)

func TestValuesForPrograms(t *testing.T) {
	for _, c := range []struct{ perf, want string }{
		{"", `[]`},
		{"/=2643MB;5948;5958;0;5968", `[{"label":"/","value":2643,"unit":"MB","warn":{"text":"5948","low":0,"high":5948,"inside":false},"crit":{"text":"5958","low":0,"high":5958,"inside":false},"min":0,"max":5968}]`},
		{"'a b'=1.5s;@10:20;~:5", `[{"label":"a b","value":1.5,"unit":"s","warn":{"text":"@10:20","low":10,"high":20,"inside":true},"crit":{"text":"~:5","high":5,"inside":false}}]`},
		{"x=U;10:;soon", `[{"label":"x","warn":{"text":"10:","low":10,"inside":false},"crit":{"text":"soon"}}]`},
		{"rubbish y=1 =", `[{"label":"y","value":1}]`},
	} {
		b, err := contract.Marshal(Values(c.perf))
		if err != nil || string(b) != c.want {
			t.Errorf("%q:\n  %s %v\nwant\n  %s", c.perf, b, err, c.want)
		}
	}
}
