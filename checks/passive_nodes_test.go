package checks

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestAnyNodeTakesADelivery: whichever node hears a result takes it, it counts once however often and wherever it
// comes, and the node that watches over the host knows that it came.
func TestAnyNodeTakesADelivery(t *testing.T) {
	ctx := t.Context()
	conf := manyConf()
	conf.HostTasks[0].Tasks, conf.HostTasks[0].Hosts = []string{"disk"}, []string{"web[1-12]"}
	conf.Tasks = append(conf.Tasks, model.Task{Name: "backup", Passive: true, Fresh: model.ShortestFresh, Attempts: 3})
	conf.HostTasks = append(conf.HostTasks, model.HostTask{Tasks: []string{"backup"}, Hosts: []string{"loki"}})
	m := newMany(t, conf)
	a, b := m.start("a", ""), m.start("b", "")
	m.settled("a", "b")
	both := []*node{a, b}
	var wg sync.WaitGroup
	var took, repeated atomic.Int64
	for i := range 6 {
		for _, n := range both {
			for range 3 { // a client that asks again before it has an answer
				wg.Go(func() {
					_, again, err := n.Give(ctx, Given{Key: backupLoki, Output: "saved", ID: fmt.Sprint("alice/", i), Hash: "x"})
					switch {
					case err != nil:
						t.Error(err)
					case again:
						repeated.Add(1)
					default:
						took.Add(1)
					}
				})
			}
		}
	}
	wg.Wait()
	if took.Load() != 6 || repeated.Load() != 30 {
		t.Errorf("%d were taken, %d had come before", took.Load(), repeated.Load())
	}
	for _, n := range both {
		res, err := n.Results(ctx, ResultFilter{Keys: []model.Key{backupLoki}})
		v, verr := n.Show(ctx, backupLoki)
		if err != nil || verr != nil || len(res) != 6 || len(v.Recent) != 6 {
			t.Errorf("%s has %d results and shows %d: %v %v", n.name, len(res), len(v.Recent), err, verr)
		}
	}
	state := func(n *node) string {
		v, err := n.Show(ctx, backupLoki)
		if err != nil {
			t.Fatal(err)
		}
		return v.Word + " " + v.Line
	}
	for _, n := range both { // one of them watches over loki; the other hears of it
		m.until("nothing came", real.Patience(30*time.Second), func() bool { return strings.HasPrefix(state(a), "UNKNOWN no result since") })
		if _, _, err := n.Give(ctx, Given{Key: backupLoki, Output: "saved"}); err != nil {
			t.Fatal(err)
		}
		for _, n := range both {
			if got := state(n); got != "OK saved" {
				t.Errorf("%s: %s", n.name, got)
			}
		}
	}
	// Nothing is missed that has come, wherever that was: the record says so.
	for i := range 20 {
		if _, _, err := both[i%2].Give(ctx, Given{Key: backupLoki, Output: "saved"}); err != nil {
			t.Fatal(err)
		}
		next := time.Now().Add(model.ShortestFresh / 8)
		m.until("a while passes", real.Patience(30*time.Second), func() bool { return time.Now().After(next) })
	}
	res, err := a.Results(ctx, ResultFilter{Keys: []model.Key{backupLoki}})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range res[:len(res)-1] { // the newest first
		if before := res[i+1]; r.Status != model.OK && r.At.Sub(before.At) < model.ShortestFresh {
			t.Errorf("missed at %s (%s), and %s at %s", r.At, r.Line, before.Word, before.At)
		}
	}
	m.once()
}
