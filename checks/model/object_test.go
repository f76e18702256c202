package model

import (
	"testing"

	"github.com/jarvisops/jarvis/internal/contract"
)

// What the API gives of a definition is an object, and such an object defines the same again.
func TestDefinitionsAsObjects(t *testing.T) {
	for _, c := range []struct{ kind, yaml, want string }{
		{KindTask, "command: check_disk -w 10%\ntimeout: 30s\nenv: {A: b}\nexpect: {exit: [0, 2]}\n", `{"command":"check_disk -w 10%","env":{"A":"b"},"expect":{"exit":[0,2]},"timeout":"30s"}`},
		{KindHost, `{address: "web1:22", groups: [web, "1"]}`, `{"address":"web1:22","groups":["web","1"]}`},
		{KindAction, "notify: [ops]\nstays: 1_000\n", `{"notify":["ops"],"stays":1000}`},
		{KindTask, "env: {1: x, .inf: y, [a]: z}", ``}, // no keys that JSON has, as they are
		{KindTask, "{", `{}`},
		{KindTask, "- a", `{}`},
	} {
		d := Definition{Kind: c.kind, Name: "x", YAML: c.yaml}.Spelled()
		b, err := contract.Marshal(d.Object)
		if err != nil || c.want != "" && string(b) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.yaml, b, err, c.want)
		}
		want, err := ParseDefinition(c.kind, "x", c.yaml)
		if err != nil || c.want == "" {
			continue
		}
		got, err := ParseDefinition(c.kind, "x", string(b))
		if err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		if x, y := got.All()[0].YAML, want.All()[0].YAML; x != y {
			t.Errorf("as an object it is\n%s\nand was\n%s", x, y)
		}
	}
}
