package checks

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

const passiveBackup = `
tasks: [{name: backup, passive: true, fresh: 25m, attempts: 2}, {name: disk, command: x, schedule: "@every 1h"}]
host_tasks: [{tasks: [backup], hosts: [loki]}, {tasks: [disk], hosts: [thor]}]
`

var backupLoki = model.Key{Task: "backup", Host: "loki"}

// give delivers a result, as a program does.
func (g *ground) give(status model.Status, output string) {
	g.t.Helper()
	if _, _, err := g.Give(g.t.Context(), Given{Key: backupLoki, Status: &status, Output: output}); err != nil {
		g.t.Fatal(err)
	}
}

// What is delivered is judged as what is run: the same attempts, the same notices, the same record.
func TestPassiveResults(t *testing.T) {
	bubble(t, passiveBackup, func(t *testing.T, g *ground) {
		time.Sleep(time.Minute)
		g.give(model.OK, "saved|files=3")
		g.give(model.Critical, "the tape is full")
		time.Sleep(time.Minute)
		g.wantLines() // soft
		g.give(model.Critical, "the tape is full")
		time.Sleep(time.Minute)
		problem := "backup is CRITICAL on loki: the tape is full. `check show backup on loki`"
		g.wantLines(problem)
		g.stop()
		g.start() // nothing is forgotten
		if v, err := g.Show(t.Context(), backupLoki); err != nil || v.Status != model.Critical || len(v.Recent) != 3 || v.Schedule != "passive, fresh for 25m" {
			t.Errorf("%+v %v", v, err)
		}
		g.give(model.OK, "saved|files=4")
		time.Sleep(time.Minute)
		g.wantLines(problem, "backup is OK again on loki after 1m")
		res, err := g.Results(t.Context(), ResultFilter{Keys: []model.Key{backupLoki}})
		if err != nil || len(res) != 4 || res[0].Perfdata != "files=4" || res[0].Line != "saved" {
			t.Errorf("%+v %v", res, err)
		}
		if n := len(g.times(backupLoki)); n != 0 {
			t.Errorf("it ran %d times", n)
		}
		list, err := g.List(t.Context(), Filter{})
		if err != nil || len(list) != 2 {
			t.Errorf("%+v %v", list, err)
		}
	})
}

// What does not come is UNKNOWN at once, and again after as long; a result ends that.
func TestNoFreshResult(t *testing.T) {
	bubble(t, passiveBackup, func(t *testing.T, g *ground) {
		time.Sleep(time.Minute)
		g.give(model.OK, "saved")
		since := g.wall().UTC().Format("2006-01-02 15:04:05 UTC")
		time.Sleep(25*time.Minute - time.Minute)
		g.wantLines()
		time.Sleep(2 * time.Minute)
		missed := "backup is UNKNOWN on loki: no result since " + since + "; one is due each 25m. `check show backup on loki`"
		g.wantLines(missed)
		time.Sleep(25 * time.Minute)
		g.wantLines(missed)
		if v, err := g.Show(t.Context(), backupLoki); err != nil || v.Count != 2 || v.Status != model.Unknown || v.Soft() {
			t.Errorf("%+v %v", v, err)
		}
		g.give(model.OK, "saved")
		time.Sleep(time.Minute)
		g.wantLines(missed, "backup is OK again on loki after 26m")
		// One that came in the last moment counts.
		time.Sleep(24 * time.Minute)
		g.give(model.OK, "saved")
		time.Sleep(24 * time.Minute)
		if v, err := g.Show(t.Context(), backupLoki); err != nil || v.Status != model.OK {
			t.Errorf("%+v %v", v, err)
		}
	})
}

// While the server was down nobody could deliver: that time is given again. What was missed for longer is said at the
// start.
func TestNobodyListened(t *testing.T) {
	bubble(t, "tasks: [{name: backup, passive: true, fresh: 10m}]\nhost_tasks: [{tasks: [backup], hosts: [loki]}]\n", func(t *testing.T, g *ground) {
		time.Sleep(time.Minute)
		g.give(model.OK, "saved")
		time.Sleep(5 * time.Minute)
		g.stop()
		g.step(8 * time.Minute)
		g.start()
		time.Sleep(4 * time.Minute)
		g.wantLines()
		time.Sleep(2 * time.Minute)
		if got := g.lines(); len(got) != 1 || !strings.HasPrefix(got[0], "backup is UNKNOWN on loki: no result since") {
			t.Errorf("%q", got)
		}
	})
}

// One that nobody ever delivered is missed as well.
func TestNeverDelivered(t *testing.T) {
	bubble(t, passiveBackup, func(t *testing.T, g *ground) {
		time.Sleep(25*time.Minute + time.Minute)
		if got := g.lines(); len(got) != 1 || !strings.HasPrefix(got[0], "backup is UNKNOWN on loki: no result yet, since") {
			t.Errorf("%q", got)
		}
	})
}

func TestADeliveryCountsOnce(t *testing.T) {
	bubble(t, passiveBackup, func(t *testing.T, g *ground) {
		time.Sleep(time.Minute)
		full := Given{Key: backupLoki, Exit: 2, Output: "full", ID: "alice/1", Hash: "a"}
		for i, want := range []bool{false, true, true} {
			v, again, err := g.Give(t.Context(), full)
			if err != nil || again != want || v.Attempt != 1 {
				t.Errorf("delivery %d: again %v, %+v %v", i+1, again, v, err)
			}
			if i == 1 {
				g.stop()
				g.start()
			}
		}
		full.Hash = "b"
		if _, _, err := g.Give(t.Context(), full); !errors.Is(err, ErrOtherGiven) {
			t.Error(err)
		}
	})
}

func TestWhatCannotBeDelivered(t *testing.T) {
	bubble(t, passiveBackup, func(t *testing.T, g *ground) {
		time.Sleep(30 * time.Minute)
		g.give(model.OK, "saved")
		for _, x := range []struct {
			g    Given
			want string
		}{
			{Given{Key: model.Key{Task: "disk", Host: "thor"}}, "disk on thor is not passive: Jarvis runs it itself, and takes no other's result"},
			{Given{Key: model.Key{Task: "disk", Host: "odin"}}, "disk on odin is not passive: Jarvis runs it itself, and takes no other's result"},
			{Given{Key: model.Key{Task: "backup", Host: "odin"}}, "there is no check backup on odin: the task backup is declared for other hosts"},
			{Given{Key: model.Key{Task: "nothing", Host: "loki"}}, "there is no check nothing on loki"},
			{Given{Key: backupLoki, At: g.wall().Add(time.Hour)}, "is in the future"},
			{Given{Key: backupLoki, At: g.wall().Add(-2 * time.Hour)}, "is more than 1h ago"},
			{Given{Key: backupLoki, At: g.wall().Add(-10 * time.Minute)}, "is on record (OK), which is newer than this one"},
		} {
			if _, _, err := g.Give(t.Context(), x.g); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%+v: %v, want %s", x.g, err, x.want)
			}
		}
		if _, err := g.RunNow(t.Context(), backupLoki); err == nil || !strings.Contains(err.Error(), "is passive") {
			t.Error(err)
		}
	})
}

func TestExpectedOfAPassiveTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t, "tasks: [{name: backup, passive: true, expect: {exit: [0, 3]}}]\nhost_tasks: [{tasks: [backup], hosts: [loki]}]\n")
		g.start()
		defer g.stop()
		warning := model.Warning
		for _, x := range []struct {
			g    Given
			want model.Status
			line string
		}{
			{Given{Exit: 3, Output: "nothing new"}, model.OK, "nothing new"},
			{Given{Exit: 17, Output: "broken"}, model.Critical, "exit 17: broken"},
			{Given{Status: &warning, Output: "so so"}, model.Warning, "so so"},
			{Given{Status: &warning}, model.Warning, "WARNING"},
		} {
			x.g.Key = backupLoki
			v, _, err := g.Give(t.Context(), x.g)
			if err != nil || v.Status != x.want || v.Line != x.line {
				t.Errorf("%+v: %+v %v", x.g, v, err)
			}
		}
	})
}

// A passive check is not asked for, as what depends on it would wait for an answer that nobody gives; its last result
// counts.
func TestNobodyAsksAPassiveCheck(t *testing.T) {
	bubble(t, `
tasks: [{name: backup, passive: true}, {name: disk, command: x, attempts: 1, schedule: "@every 10m", depends: [backup]}]
host_tasks: [{tasks: [backup, disk], hosts: [loki]}]
`, func(t *testing.T, g *ground) {
		g.give(model.OK, "saved")
		time.Sleep(30 * time.Minute)
		g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		g.forgetRuns()
		for start := g.wall(); len(g.times(model.Key{Task: "disk", Host: "loki"})) == 0; time.Sleep(time.Second) {
			if g.wall().Sub(start) > 20*time.Minute {
				t.Fatal("it did not run")
			}
		}
		time.Sleep(10 * time.Second)
		problem := "disk is CRITICAL on loki: full. `check show disk on loki`"
		g.wantLines(problem)
		var open int
		if err := g.DB.QueryRow(t.Context(), "SELECT COUNT(*) FROM check_outbox WHERE kind = ?", rowRun).Scan(&open); err != nil || open != 0 {
			t.Errorf("%d runs are asked for; %v", open, err)
		}
		// While it is a problem nothing is told of what depends on it.
		g.says(func(model.Key, int) outcome { return outcome{} })
		time.Sleep(15 * time.Minute)
		g.give(model.Critical, "the tape is full")
		time.Sleep(time.Minute)
		g.give(model.Critical, "the tape is full")
		g.give(model.Critical, "the tape is full")
		g.says(func(model.Key, int) outcome { return outcome{exit: 2, stdout: "full"} })
		time.Sleep(15 * time.Minute)
		if got := g.lines(); len(got) != 3 || !strings.HasPrefix(got[2], "backup is CRITICAL on loki") {
			t.Errorf("%q", got)
		}
	})
}

// What was so before what is known already is no news: it ends no problem, and stands nowhere in the history.
func TestDeliveriesInOrder(t *testing.T) {
	bubble(t, "tasks: [{name: backup, passive: true, fresh: 20s}]\nhost_tasks: [{tasks: [backup], hosts: [loki]}]\n", func(t *testing.T, g *ground) {
		late := func(ago time.Duration, want string) {
			t.Helper()
			ok := model.OK
			if _, _, err := g.Give(t.Context(), Given{Key: backupLoki, Status: &ok, At: g.wall().Add(-ago)}); err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, model.ErrInvalid) {
				t.Errorf("a result of %s ago: %v, want %q", ago, err, want)
			}
		}
		time.Sleep(40*time.Minute + 5*time.Second)
		late(32*time.Minute, "a result counts for 20s (fresh)")
		missed, err := g.Show(t.Context(), backupLoki)
		if err != nil || missed.Status != model.Unknown {
			t.Errorf("%+v %v", missed, err)
		}
		time.Sleep(time.Second)
		late(g.wall().Sub(missed.At)+time.Second, "is on record (UNKNOWN), which is newer than this one")
		g.give(model.OK, "saved")
		time.Sleep(15 * time.Second)
		late(16*time.Second, "is on record (OK), which is newer than this one")
		late(20*time.Second, "a result counts for 20s (fresh)")
		g.give(model.OK, "saved")
		res, err := g.Results(t.Context(), ResultFilter{Keys: []model.Key{backupLoki}})
		for i := 1; i < len(res); i++ {
			if res[i].At.After(res[i-1].At) {
				t.Errorf("%v stands before %v", res[i-1], res[i])
			}
		}
		time.Sleep(10 * time.Second)
		if got := g.lines(); err != nil || len(got) != 2 || !strings.HasPrefix(got[1], "backup is OK again on loki after ") {
			t.Errorf("%q %v", got, err)
		}
	})
}

// A key is of one check: whoever names each day's delivery by its date does so for all hosts.
func TestTheKeyOfADeliveryIsOfItsCheck(t *testing.T) {
	bubble(t, "tasks: [{name: backup, passive: true}]\nhost_tasks: [{tasks: [backup], hosts: [loki, thor]}]\n", func(t *testing.T, g *ground) {
		deliver := func(host, hash string) (bool, error) {
			_, again, err := g.Give(t.Context(), Given{Key: model.Key{Task: "backup", Host: host}, ID: "alice/today", Hash: hash})
			return again, err
		}
		for _, host := range []string{"loki", "thor"} {
			if again, err := deliver(host, host); again || err != nil {
				t.Errorf("%s: again %v %v", host, again, err)
			}
			if again, err := deliver(host, host); !again || err != nil {
				t.Errorf("%s a second time: again %v %v", host, again, err)
			}
			if _, err := deliver(host, "other"); !errors.Is(err, ErrOtherGiven) {
				t.Errorf("%s with another result: %v", host, err)
			}
		}
		// What an older Jarvis has noted, by the person alone, came before as well.
		if err := g.DB.Write(t.Context(), func(tx store.Tx) error {
			_, err := tx.Exec(t.Context(), "UPDATE check_given SET id = 'alice/today' WHERE hash = 'thor'")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if again, err := deliver("thor", "thor"); !again || err != nil {
			t.Errorf("of an older Jarvis: again %v %v", again, err)
		}
		if again, err := deliver("loki", "loki"); !again || err != nil {
			t.Errorf("beside one of an older Jarvis: again %v %v", again, err)
		}
	})
}
