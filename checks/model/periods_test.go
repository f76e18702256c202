package model

import (
	"strings"
	"testing"
)

func TestPeriodsOfTasks(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"right", `
periods: [{name: office, when: ["mon-fri 08:00-18:00"]}]
tasks: [{name: a, command: x, period: office}]
`, ""},
		{"one that is not there", `
tasks: [{name: a, command: x, period: office}]
`, "task a: there is no period office"},
		{"one that is wrong", `
periods: [{name: office, when: ["someday"]}]
tasks: [{name: a, command: x, period: office}]
`, `period office: "someday": "someday" is no day`},
		{"never due in it", `
periods: [{name: office, zone: UTC, when: ["mon-fri 08:00-18:00"]}]
tasks: [{name: a, command: x, period: office, schedule: "TZ=UTC 0 4 * * *"}]
`, "task a: its schedule TZ=UTC 0 4 * * * is never due in its period office"},
		{"by the schedule of host_tasks", `
periods: [{name: office, zone: UTC, when: ["mon-fri 08:00-18:00"]}]
tasks: [{name: a, command: x, period: office}]
host_tasks: [{tasks: [a], hosts: [b], schedule: "TZ=UTC 0 4 * * *"}]
`, "host_tasks (a on b): task a: its schedule TZ=UTC 0 4 * * * is never due in its period office"},
		{"moved out of it by the jitter", `
periods: [{name: night, zone: UTC, when: ["mon-sun 02:00-02:10"]}]
tasks: [{name: a, command: x, period: night, schedule: "TZ=UTC 0 2 * * *", jitter: 1h}]
`, "never due in its period night for a part of the hosts: the jitter of 1h leads out of it; make it shorter"},
		{"a jitter that stays in it", `
periods: [{name: night, zone: UTC, when: ["mon-sun 02:00-03:10"]}]
tasks: [{name: a, command: x, period: night, schedule: "TZ=UTC 0 2 * * *", jitter: 1h}]
`, ""},
		{"a jitter of a schedule that comes again in time", `
periods: [{name: night, zone: UTC, when: ["mon-sun 02:00-02:10"]}]
tasks: [{name: a, command: x, period: night, schedule: "TZ=UTC */5 * * * *", jitter: 20m}]
`, ""},
		{"one that is over was right once", `
periods: [{name: xmas, when: ["2001-12-24"]}]
tasks: [{name: a, command: x, period: xmas}]
`, ""},
	} {
		var d Defs
		if err := readYAML([]byte(c.yaml), &d); err != nil {
			t.Fatal(err)
		}
		if err := d.Check(""); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
