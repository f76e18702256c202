package checks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

func TestChecksRunOnTime(t *testing.T) {
	bubble(t, `
tasks:
  - {name: disk, command: check_disk, schedule: "@every 10s"}
  - {name: load, command: check_load, schedule: "*/15 * * * * *"}
host_tasks:
  - {tasks: ["*"], hosts: ["web[1-20]"]}
`, func(t *testing.T, g *ground) {
		g.says(func(model.Key, int) outcome { return outcome{took: time.Second, stdout: "OK|a=1"} })
		time.Sleep(10 * time.Minute)
		for i := range 20 {
			h := fmt.Sprint("web", i+1)
			if n := len(g.times(model.Key{Task: "disk", Host: h})); n < 60 || n > 62 {
				t.Errorf("disk on %s ran %d times in 10 minutes", h, n)
			}
			if n := len(g.times(model.Key{Task: "load", Host: h})); n < 39 || n > 41 {
				t.Errorf("load on %s ran %d times in 10 minutes", h, n)
			}
		}
		s := g.Stats(t.Context())
		if s.Checks != 40 || s.Hosts != 20 || s.Problems != 0 || s.MaxLag > 100*time.Millisecond || s.Started < 180 || s.Written < 180 {
			t.Errorf("%+v", s)
		}
		time.Sleep(20 * time.Second) // they are summed up each five minutes
		list, err := g.Metrics(t.Context(), model.Key{Task: "disk", Host: "web1"}, 5*time.Minute, g.wall().Add(-time.Hour))
		if err != nil || len(list) != 1 || len(list[0].Points) < 2 || list[0].Points[0].Mean != 1 {
			t.Errorf("%+v %v", list, err)
		}
		var n int64
		for _, p := range list[0].Points {
			n += p.N
		}
		if n < 58 || n > 62 {
			t.Errorf("%d results are summed up", n)
		}
	})
}

func TestHostHasRoomForSoMany(t *testing.T) {
	var tasks strings.Builder
	for i := range 30 {
		fmt.Fprintf(&tasks, "  - {name: t%d, command: x, schedule: '0 * * * * *'}\n", i)
	}
	bubble(t, "tasks:\n"+tasks.String()+"host_tasks: [{tasks: ['*'], hosts: [loki]}]\n", func(t *testing.T, g *ground) {
		g.says(func(model.Key, int) outcome { return outcome{took: time.Second} })
		time.Sleep(2*time.Minute + 30*time.Second)
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.most != 4 || len(g.ran) < 60 {
			t.Errorf("%d at once, %d in all", g.most, len(g.ran))
		}
	})
}

func TestHostGoneForAnHour(t *testing.T) {
	bubble(t, `
tasks:
  - {name: disk, command: check_disk, schedule: "@every 20s"}
  - {name: load, command: check_load, schedule: "@every 20s", attempts: 1}
  - {name: backup, command: check_backup, schedule: "30 3 * * *", attempts: 1}
host_tasks: [{tasks: ["*"], hosts: [loki, thor]}]
`, func(t *testing.T, g *ground) {
		time.Sleep(5 * time.Minute)
		began := g.wall()
		g.forgetRuns()
		g.says(func(k model.Key, _ int) outcome {
			if k.Host == "loki" {
				return outcome{unreachable: true, text: "dial tcp 192.0.2.1:22: connection refused"}
			}
			return outcome{stdout: "OK"}
		})
		time.Sleep(time.Hour)
		attempts := 0
		g.mu.Lock()
		for _, r := range g.ran {
			if r.Host == "loki" {
				attempts++
			}
		}
		g.mu.Unlock()
		if attempts < 110 || attempts > 125 {
			t.Errorf("%d connections in an hour, want one each 30 s", attempts)
		}
		g.wantLines("loki cannot be reached: dial tcp 192.0.2.1:22: connection refused")
		list, err := g.List(t.Context(), Filter{Host: "loki"})
		if err != nil || len(list) != 4 || list[0].Task != model.HostAnswers || list[0].Hard != model.Critical || list[1].Status != model.Unknown && list[2].Status != model.Unknown {
			t.Errorf("%v %+v", err, list)
		}
		if n := len(g.times(model.Key{Task: "disk", Host: "thor"})); n < 175 {
			t.Errorf("meanwhile disk ran %d times on the other", n)
		}
		res, err := g.Results(t.Context(), ResultFilter{Keys: []model.Key{diskLoki}, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		unknown := 0
		for _, r := range res {
			if r.At.After(began) && r.Status == model.Unknown && r.Quiet {
				unknown++
			}
		}
		if unknown < 170 {
			t.Errorf("only %d results say that nothing is known", unknown)
		}
		g.forgetRuns()
		g.says(func(model.Key, int) outcome { return outcome{stdout: "OK"} })
		time.Sleep(2 * time.Minute)
		g.wantLines("loki cannot be reached: dial tcp 192.0.2.1:22: connection refused", "loki answers again after 59m")
		if list, err := g.List(t.Context(), Filter{Host: "loki", Status: Problems}); err != nil || len(list) != 0 {
			t.Errorf("%v %+v", err, list)
		}
	})
}

func TestADailyCheckOfAHostThatWasAway(t *testing.T) {
	bubble(t, `
tasks: [{name: backup, command: check_backup, schedule: "TZ=UTC 0 3 * * *", attempts: 1}]
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		g.says(func(model.Key, int) outcome { return outcome{unreachable: true, text: "no route to host"} })
		time.Sleep(4 * time.Hour) // the bubble begins at midnight UTC
		if n := len(g.times(model.Key{Task: "backup", Host: "loki"})); n != 1 {
			t.Fatalf("it was tried %d times", n)
		}
		g.says(func(model.Key, int) outcome { return outcome{stdout: "OK"} })
		time.Sleep(2 * time.Minute)
		if n := len(g.times(model.Key{Task: "backup", Host: "loki"})); n != 2 {
			t.Errorf("the host is back, and it ran %d times", n)
		}
		time.Sleep(10 * time.Hour)
		if n := len(g.times(model.Key{Task: "backup", Host: "loki"})); n != 2 {
			t.Errorf("and then %d times", n)
		}
	})
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name string
		task model.Task
		out  outcome
		want model.Status
		line string
	}{
		{"a plugin", model.Task{}, outcome{exit: 1, stdout: "DISK WARNING - 5% | /=5%"}, model.Warning, "DISK WARNING - 5%"},
		{"a program that says nothing", model.Task{}, outcome{}, model.OK, "exit 0, and no output"},
		{"an exit code that no plugin has", model.Task{}, outcome{exit: 7, stdout: "hm"}, model.Unknown, "exit 7: hm"},
		{"not there", model.Task{}, outcome{exit: 127, stderr: "sh: 1: check_x: not found\n"}, model.Unknown, "exit 127: sh: 1: check_x: not found"},
		{"killed", model.Task{}, outcome{exit: 137, signal: "KILL"}, model.Unknown, "it was ended by SIGKILL"},
		{"too late", model.Task{}, outcome{text: "it did not end within 30s", exit: 0, stdout: "half"}, model.Unknown, "it did not end within 30s"},
		{"unreachable", model.Task{}, outcome{unreachable: true, text: "connection refused"}, model.Unknown, "the host cannot be reached: connection refused"},
		{"unreachable probe", model.Task{From: "probe1"}, outcome{unreachable: true, text: "connection refused"}, model.Unknown, "probe1 cannot be reached: connection refused"},
		{"an expected exit", model.Task{Expect: model.Expect{Exit: []int{0, 3}}}, outcome{exit: 3, stdout: "x"}, model.OK, "x"},
		{"another exit", model.Task{Expect: model.Expect{Exit: []int{0}}}, outcome{exit: 1, stdout: "x"}, model.Critical, "exit 1: x"},
		{"expected output", model.Task{Expect: model.Expect{Output: "^fin"}}, outcome{stdout: "finished\n"}, model.OK, "finished"},
		{"other output", model.Task{Expect: model.Expect{Output: "^fin"}}, outcome{stdout: "began\n"}, model.Critical, "its output is not as expected: began"},
		{"expected output, and a bad exit", model.Task{Expect: model.Expect{Output: "^fin"}}, outcome{exit: 1, stdout: "fin"}, model.Critical, "exit 1: fin"},
		{"what a terminal would do", model.Task{}, outcome{stdout: "\x1b[31mred\x07\x9b\n"}, model.OK, "red"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.task.Name = "x"
			p := model.Plan{Key: model.Key{Task: "x", Host: "loki"}, Def: &c.task, Expect: c.task.Pattern()}
			j := judge(&p, c.out)
			if j.status != c.want || j.line != c.line {
				t.Errorf("%s %q, want %s %q", j.status, j.line, c.want, c.line)
			}
			if none := c.out.text != ""; none != (c.out.code() == -1) || none && !c.out.unreachable && j.long != c.out.stdout {
				t.Errorf("exit %d, %q", c.out.code(), j.long)
			}
		})
	}
}

// A plugin that runs elsewhere may be told in its arguments whom it is about; one that runs on the host itself has them
// as they are.
func TestArguments(t *testing.T) {
	env := map[string]string{"JARVIS_HOST": "web1", "JARVIS_ADDRESS": "192.0.2.7"}
	args := []string{"-H", "$JARVIS_ADDRESS", "-n=$JARVIS_HOST;$HOME"}
	for from, want := range map[string]string{"probe": "-H 192.0.2.7 -n=web1;$HOME", "": "-H $JARVIS_ADDRESS -n=$JARVIS_HOST;$HOME"} {
		if got := strings.Join(arguments(model.Task{From: from, Args: args}, env), " "); got != want {
			t.Errorf("from %q: %s, want %s", from, got, want)
		}
	}
}

// What is more than is read of an output is cut off after a word, and the result says so; what is expected of it is
// looked for in all of it.
func TestALongOutputIsCut(t *testing.T) {
	const more = "its output has "
	all := "OK|a=1 " + strings.Repeat("b=22 ", maxRead/5) + "end"
	task := model.Task{Name: "x", Expect: model.Expect{Output: "end$"}}
	p := model.Plan{Key: model.Key{Task: "x", Host: "loki"}, Def: &task, Expect: task.Pattern()}
	for _, c := range []struct {
		name, stdout, want string
	}{
		{"performance data", all, fmt.Sprintf("its output has %d bytes; the first %d were read", len(all), maxRead-maxRead%5+1)},
		{"one word", strings.Repeat("x", 2*maxRead) + "end", fmt.Sprintf("its output has %d bytes; the first %d were read", 2*maxRead+3, maxRead)},
		{"lines", "OK\n" + strings.Repeat("line\n", maxRead) + "end", "first"},
		{"as much as is read", "OK\n" + strings.Repeat("x", maxRead-6) + "end", ""},
	} {
		j := judge(&p, outcome{stdout: c.stdout, stderr: "hm"})
		if j.status != model.OK || len(j.line) > maxLine || len(j.long) > maxLong || len(j.perf) > maxPerf || strings.Contains(j.long, more) != (c.want != "") || !strings.Contains(j.long, c.want) {
			t.Errorf("%s: %s, %.40q, %d bytes of long text ending in %q, %d of performance data", c.name, j.status, j.line, len(j.long), j.long[max(0, len(j.long)-90):], len(j.perf))
		}
		if perf, garbled := model.ParsePerf(j.perf); garbled != "" || len(perf) > 0 && (perf[len(perf)-1].Label != "b" || perf[len(perf)-1].Value != 22) {
			t.Errorf("%s: it ends in %.40q", c.name, garbled)
		}
	}
}
