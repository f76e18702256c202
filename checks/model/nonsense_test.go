package model

import (
	"errors"
	"strings"
	"testing"
)

// What cannot be meant is refused where it is said, with a sentence.
func TestNonsenseIsRefused(t *testing.T) {
	for _, c := range []struct{ kind, yaml, want string }{
		{KindTask, `{command: "echo a\0b"}`, "command holds a zero byte"},
		{KindTask, `{command: x, expect: {output: "a\0"}}`, "expect.output holds a zero byte"},
		{KindTask, `{command: x, env: {A: "a\0"}}`, "env.A holds a zero byte"},
		{KindTask, `{command: x, depends: [{task: "a\0"}]}`, "depends[0]"},
		{KindAction, `{notify: ["a", "b\0"]}`, "notify[1] holds a zero byte"},
		{KindTask, `{command: x, attempts: 99999999999}`, "attempts is 99999999999; it is 1000 at most"},
		{KindHostTask, `{tasks: [disk], hosts: [loki], attempts: 1001}`, "attempts is 1001; it is 1000 at most"},
		{KindHost, `{address: "10.0.0.1 and more"}`, `address is "10.0.0.1 and more"; it is [user@]host[:port]`},
		{KindHost, `{address: " 10.0.0.1"}`, `it is [user@]host[:port]`},
		{KindHost, `{address: "10.0.0.1:ssh 22"}`, `it is [user@]host[:port]`},
		{KindTask, `{name: other, command: x}`, `its name is x, and it calls itself "other"`},
	} {
		err := CheckName("x", c.yaml)
		var d *Defs
		if err == nil {
			d, err = ParseDefinition(c.kind, "x", c.yaml)
		}
		if err == nil {
			err = Together(&Defs{Tasks: []Task{{Name: "disk", Command: "x"}}, Contacts: []Contact{{Name: "a", Channel: "#a"}}}, d).Check("")
		} else if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v is not the caller's", c.yaml, err)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.yaml, err, c.want)
		}
	}
	for _, yaml := range []string{`{name: x, command: "a\tb"}`, "command: |\n  a\n  b\nattempts: 1000\n"} {
		if _, err := ParseDefinition(KindTask, "x", yaml); err != nil || CheckName("x", yaml) != nil {
			t.Errorf("%s: %v", yaml, err)
		}
	}
	for _, addr := range []string{"", "loki", "root@10.0.0.1:2222", "[fe80::1%eth0]:22", "::1", "jarvis@box-1.example.org"} {
		if err := (&Defs{Hosts: []Host{{Name: "x", Address: addr}}}).Check(""); err != nil {
			t.Error(err)
		}
	}
}
