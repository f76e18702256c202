package all

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab"
	labec2 "github.com/jarvisops/jarvis/lab/ec2"
	lablibvirt "github.com/jarvisops/jarvis/lab/libvirt"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
	"github.com/jarvisops/jarvis/store"
	"github.com/jarvisops/jarvis/workers/keys"
)

// site is a provider under test: to add one, add its line in sites.
type site struct {
	module string // of its steps
	start  func(t *testing.T, rack *lab.Rack) lab.Cloud
	create string      // what Faults calls the call that makes a machine
	lacks  []lab.Fault // that the provider does not know
	typos  map[string][2]string
	badKey [3]string // what makes its configuration's credentials or address wrong: from, to; and what is said of it
	noAges bool      // it does not know when a stranger's machine was made
}

func sites() []site {
	return []site{
		{module: "linode", create: "POST /v4/linode/instances", start: func(t *testing.T, rack *lab.Rack) lab.Cloud { return must(lablinode.Start(rack))(t) },
			typos: map[string][2]string{
				"guestid: Debain 12": {"guestid: Debian 12", `did you mean "Debian 12"?`}, "guestid: Debian 6": {"guestid: Debian 12", "newest there is Debian 13"},
				"size: 9999999": {"size: 512", "up to 196608 MB"}, "size: Linode 3GB": {"size: 512", `did you mean "Linode`}, `tags: {"a:b": c}`: {"#place", "has a colon"}, "datacenter: Atlantis": {"#place", `did you mean "Atlanta"?`}},
			badKey: [3]string{"token: " + lablinode.Token, "token: wrong", "token"}},
		{module: "ec2", create: "RunInstances", start: func(_ *testing.T, rack *lab.Rack) lab.Cloud { return labec2.Start(rack) },
			typos: map[string][2]string{
				"guestid: Debain 12": {"guestid: Debian 12", `did you mean "Debian 12"?`}, "guestid: Debian 6": {"guestid: Debian 12", "newest there is Debian 13"},
				"size: 9999999": {"size: 512", "up to 32768 MB"}, "size: t3.nanoo": {"size: 512", `did you mean "t3.nano"?`}, "datacenter: us-east-1z": {"#place", `did you mean "us-east-1`}, "datacenter: Ohio": {"#place", "workers.ec2.region is us-east-1"}},
			badKey: [3]string{"access_key: " + labec2.AccessKey, "access_key: AKIAWRONG", "access key"}},
		{module: "esx", create: "CloneVM_Task", lacks: []lab.Fault{lab.TooMany, lab.Denied, lab.Capacity, lab.Late, lab.LostLate},
			start: func(t *testing.T, rack *lab.Rack) lab.Cloud {
				return must(lab.StartVSphere(context.Background(), rack))(t)
			},
			typos:  map[string][2]string{"guestid: Debain 12": {"guestid: Debian 12", `did you mean "Debian 12"?`}, "guestid: Debian 6": {"guestid: Debian 12", "newest there is Debian 12"}, "size: huge": {"size: 512", "memory, as in 2GB"}},
			badKey: [3]string{"user:pass@", "user@", "password"}},
		{module: "libvirt", create: "DomainDefineXMLFlags", lacks: []lab.Fault{lab.TooMany, lab.Capacity, lab.Late, lab.LostLate}, noAges: true,
			start: func(t *testing.T, rack *lab.Rack) lab.Cloud {
				return must(lablibvirt.Start(context.Background(), rack))(t)
			},
			typos: map[string][2]string{"guestid: Debain 12": {"guestid: Debian 12", `did you mean "Debian 12"?`}, "guestid: Debian 6": {"guestid: Debian 12", "newest there is Debian 12"}, "size: huge": {"size: 512", "memory, as in 2GB"},
				"size: 9999999": {"size: 512", "the hypervisor has up to "}, "disk: 900000GB": {"#place", "make room, or ask for less"}},
			badKey: [3]string{"127.0.0.1", "127.0.0.2", "is workers.libvirt.socket or url right?"}},
	}
}

func siteOf(t *testing.T, module string) site {
	t.Helper()
	for _, s := range sites() {
		if s.module == module {
			return s
		}
	}
	t.Fatalf("%s has no line in sites", module)
	return site{}
}

// TestEveryProviderIsTested: the promises hold for all that are in machines.
func TestEveryProviderIsTested(t *testing.T) {
	for _, m := range Providers() {
		s := siteOf(t, m)
		if len(s.typos) == 0 || s.badKey[0] == "" {
			t.Errorf("the line of %s in sites names no typos, or no badKey", m)
		}
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// world is one provider with an engine.
type world struct {
	*testing.T
	site   site
	rack   *lab.Rack
	cloud  lab.Cloud
	engine *pipeline.Engine
	calls  provider.Calls
	dir    string // of the engine's record
	key    *clipboard.Key
	stop   func() // ends the engine; once is enough
}

var blocks atomic.Int32 // of 127/8, from 100 to 249; each world has a port of its own beside

func newWorld(t *testing.T, s site, change ...string) *world {
	t.Helper()
	w := &world{T: t, site: s, rack: lab.NewRack(100+int(blocks.Add(1))%150, must(real.FreePort())(t), nil)}
	t.Cleanup(w.rack.Stop)
	w.cloud = s.start(t, w.rack)
	t.Cleanup(w.cloud.Stop)
	t.Cleanup(func() {
		if c, ok := w.cloud.(interface{ Wrong() []string }); ok {
			for _, wrong := range c.Wrong() {
				t.Errorf("a request that the provider's API does not have: %s", wrong)
			}
		}
	})
	w.engine = w.newEngine(strings.NewReplacer(append(change, "\x00", "\x00")...).Replace(w.cloud.Config()))
	return w
}

// newEngine starts an engine with a database of its own on the provider.
func (w *world) newEngine(conf string) *pipeline.Engine {
	w.Helper()
	return w.newEngineIn(conf, w.TempDir())
}

// reconfigure goes on with the same record under another configuration.
func (w *world) reconfigure(conf string) {
	w.Helper()
	w.stop()
	w.engine = w.newEngineIn(conf, w.dir)
}

func (w *world) newEngineIn(conf, dir string) *pipeline.Engine {
	w.Helper()
	var c struct{ Workers Config }
	text := fmt.Sprintf("workers:\n%s  ssh: {port: %d}\n", conf, w.rack.Port)
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		w.Fatalf("%v in %s", err, text)
	}
	set := must(Build(c.Workers, dir))(w.T)
	w.Cleanup(set.Close)
	w.calls = set.Providers[0]
	db := must(store.Open(w.Context(), store.Options{Dir: dir}))(w.T)
	if w.dir != dir {
		w.dir, w.key = dir, must(clipboard.NewKey())(w.T)
	}
	e := must(pipeline.New(w.Context(), pipeline.Config{DB: db, Registry: set.Registry, Key: w.key, Retry: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}}))(w.T)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, db.Close()); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(w.stop)
	return e
}

func (w *world) clipboard(host string, change ...string) *clipboard.Clipboard {
	w.Helper()
	text := fmt.Sprintf("instance:\n  hostname: %[1]s\n  fqdn: %[1]s.websages.com\n  provider: %[2]s\n  guestid: Debian 12\n  size: 512\n  #place\n", host, w.site.module)
	c := must(clipboard.Parse([]byte(strings.NewReplacer(append(change, "\x00", "\x00")...).Replace(text))))(w.T)
	// What keys:create takes long to make, bcrypt under the race detector above all, is made once for all tests.
	made := must(firstKeys())(w.T)
	for _, k := range []string{"hostkey_private", "root_password", "root_password_hash"} {
		if err := c.SetSecret(k, must(made.Secret(k))(w.T)); err != nil {
			w.Fatal(err)
		}
	}
	if err := c.Set("hostkey_first", made.Get("hostkey_first")); err != nil {
		w.Fatal(err)
	}
	return c
}

var firstKeys = sync.OnceValues(func() (*clipboard.Clipboard, error) {
	c, err := clipboard.Parse([]byte("instance:\n  hostname: x\n  provider: x\n"))
	if err != nil {
		return nil, err
	}
	w, err := keys.New(keys.Config{})
	if err != nil {
		return nil, err
	}
	return c, w.Steps()[0].Do(context.Background(), c)
})

func (w *world) start(c *clipboard.Clipboard, tasks ...string) pipeline.Run {
	w.Helper()
	return must(w.engine.Start(w.Context(), pipeline.Request{Clipboard: c, Kind: pipeline.Kind{Verb: "test", Provider: w.site.module}, Steps: w.steps(tasks...), By: "alice"}))(w.T)
}

// until waits until the run stands still, or cond is true.
func (w *world) until(r pipeline.Run, cond func(pipeline.Run) bool) pipeline.Run {
	w.Helper()
	for range 1200 {
		now := must(w.engine.Get(w.Context(), r.ID))(w.T)
		if cond != nil && cond(now) || cond == nil && !now.State.Moving() {
			return now
		}
		time.Sleep(25 * time.Millisecond)
	}
	now := must(w.engine.Get(w.Context(), r.ID))(w.T)
	w.Fatalf("run %d is %s at %s: %s %s", now.ID, now.State, now.Where(), now.Why, now.Error)
	return now
}

func (w *world) ready(r pipeline.Run) pipeline.Run {
	w.Helper()
	if r = w.until(r, nil); r.State != pipeline.Ready {
		w.Fatalf("%s is %s at %s: %s", r.Host, r.State, r.Where(), r.Error)
	}
	return r
}

// failed makes sure that the run failed with those words.
func (w *world) failed(r pipeline.Run, words string) pipeline.Run {
	w.Helper()
	if r = w.until(r, nil); r.State != pipeline.Failed || !strings.Contains(r.Error, words) {
		w.Fatalf("%s is %s at %s: %q; want it to have failed with %q", r.Host, r.State, r.Where(), r.Error, words)
	}
	return r
}

func (w *world) undone(r pipeline.Run) string {
	w.Helper()
	must(w.engine.Undo(w.Context(), r.ID, "alice"))(w.T)
	if r = w.until(r, nil); r.State != pipeline.Undone {
		w.Fatalf("%s is %s: %s", r.Host, r.State, r.Error)
	}
	return r.Error
}

// machines makes sure that these are all there are.
func (w *world) machines(want ...string) {
	w.Helper()
	got := w.cloud.Machines()
	for i := range got {
		got[i], _, _ = strings.Cut(got[i], ".")
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		w.Fatalf("machines = %v, want %v", got, want)
	}
}

// said gives the last progress line of each step of a run, in order.
func (w *world) said(r pipeline.Run, kinds ...pipeline.EventKind) []string {
	w.Helper()
	var out []string
	for _, ev := range must(w.engine.Events(w.Context(), pipeline.EventFilter{Run: r.ID, Kinds: kinds}))(w.T) {
		out = append(out, ev.Step+": "+ev.Text)
	}
	return out
}

var whole = []string{"keys:create", "sp:deploy", "sp:get_pub_ip", "ssh:wait"}

// TestProviders is what every provider promises, one test a promise.
func TestProviders(t *testing.T) {
	promises := []struct {
		name string
		test func(w *world)
		need lab.Fault
	}{
		{"a deployed machine answers with the key that we gave it", func(w *world) {
			r := w.ready(w.start(w.clipboard("loki"), whole...))
			w.machines("loki")
			if ip := w.engine.Value(r, "ipaddress"); !strings.HasPrefix(ip, "127.") {
				w.Errorf("ipaddress = %q", ip)
			}
			if n, errs := w.rack.Booted(); len(errs) > 0 || len(n) != 1 {
				w.Errorf("booted %v, %v", n, errs)
			}
		}, ""},
		{"a second pass over the same clipboard has nothing to do", func(w *world) {
			r := w.ready(w.start(w.clipboard("loki"), append(whole, whole...)...))
			for _, s := range w.said(r, pipeline.EvDone)[len(whole):] {
				if !strings.Contains(s, "nothing to do") {
					w.Errorf("said %q", s)
				}
			}
		}, ""},
		{"what it would make is said, with where, and nothing is made", func(w *world) {
			lines := must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: w.clipboard("loki"), Steps: []string{"keys:create", w.site.module + ":deploy"}}))(w.T)
			if !strings.HasPrefix(lines[1].Text, "would ") || !strings.Contains(lines[1].Text, "loki") {
				w.Errorf("plan = %q", lines[1].Text)
			}
			w.Log(lines[1].Text)
			w.machines()
		}, ""},
		{"a typo is told with what was meant, and nothing is made", func(w *world) {
			for typo, right := range w.site.typos {
				r := w.failed(w.start(w.clipboard("loki", right[0], typo), "keys:create", "sp:deploy"), right[1])
				w.Log(r.Error)
				must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(w.T)
			}
			w.machines()
		}, ""},
		{"a machine of that name that this run did not make stops it, and stays", func(w *world) {
			w.ready(w.start(w.clipboard("loki"), whole...))
			r := w.failed(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"), "already, and this run did not make it (it carries jarvis-")
			if got := w.undone(r); strings.Contains(got, "could not") {
				w.Error(got)
			}
			w.machines("loki")
		}, ""},
		{"undo deletes the machine, and says so; again is fine", func(w *world) {
			w.ready(w.start(w.clipboard("other"), whole...))
			r := w.ready(w.start(w.clipboard("loki"), whole...))
			if got := w.undone(r); got != "took back ssh:wait, "+w.site.module+":deploy" {
				w.Error(got)
			}
			w.machines("other")
		}, ""},
		{"an answer that is lost makes no second machine", func(w *world) {
			w.cloud.Chaos().Next(lab.Lost, w.site.create, 1)
			w.ready(w.start(w.clipboard("loki"), whole...))
			w.machines("loki")
			if n, _ := w.rack.Booted(); len(n) != 1 {
				w.Errorf("booted %v", n)
			}
		}, lab.Lost},
		{"an answer that is lost, for a machine that is not shown yet, makes no second machine", func(w *world) {
			w.cloud.Chaos().Next(lab.LostLate, w.site.create, 1)
			w.ready(w.start(w.clipboard("loki"), whole...))
			w.machines("loki")
		}, lab.LostLate},
		{"a machine that is not shown yet is waited for", func(w *world) {
			w.cloud.Chaos().Next(lab.Late, w.site.create, 1)
			w.ready(w.start(w.clipboard("loki"), whole...))
			w.machines("loki")
		}, lab.Late},
		{"undo finds a machine whose answer was lost and that is not shown yet", func(w *world) {
			w.cloud.Chaos().Next(lab.LostLate, w.site.create, 1)
			r := w.start(w.clipboard("loki"), whole...)
			w.until(r, func(r pipeline.Run) bool {
				return w.cloud.Chaos().Played()[lab.LostLate] == 1 && len(w.cloud.Machines()) == 1
			})
			must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(w.T)
			r = w.until(r, func(r pipeline.Run) bool { return r.State == pipeline.Cancelled })
			w.machines("loki")
			w.undone(r)
			w.machines()
		}, lab.LostLate},
		{"too many requests are waited out as the provider says, and count as no try", func(w *world) {
			w.cloud.Chaos().Next(lab.TooMany, "", 6)
			r := w.ready(w.start(w.clipboard("loki"), whole...))
			said := w.said(r, pipeline.EvWaiting)
			if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "asks us to slow down, for 1s") }) && w.site.module == "linode" {
				w.Errorf("said %q", said)
			}
			if got := w.said(r, pipeline.EvRetrying); len(got) > 0 {
				w.Errorf("tries were counted: %q", got)
			}
		}, lab.TooMany},
		{"a server error is tried again", func(w *world) {
			w.cloud.Chaos().Next(lab.Broken, "", 2)
			w.ready(w.start(w.clipboard("loki"), whole...))
			w.machines("loki")
		}, lab.Broken},
		{"slow answers change nothing", func(w *world) {
			w.cloud.Chaos().Next(lab.Slow, "", 5)
			w.ready(w.start(w.clipboard("loki"), whole...))
			w.machines("loki")
		}, lab.Slow},
		{"no capacity is tried a few times and then told; nothing is left", func(w *world) {
			w.cloud.Chaos().Next(lab.Capacity, w.site.create, 100)
			r := w.failed(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"), "capacity")
			w.Log(r.Error)
			w.machines()
		}, lab.Capacity},
		{"a right that we lack is told at once; nothing is left, and retry goes on when we have it", func(w *world) {
			w.cloud.Chaos().Next(lab.Denied, w.site.create, 1)
			r := w.failed(w.start(w.clipboard("loki"), whole...), "has no right to")
			w.machines()
			must(w.engine.Retry(w.Context(), r.ID, "", "alice"))(w.T)
			w.ready(r)
			w.machines("loki")
		}, lab.Denied},
		{"a cancel while the machine is being made, and an undo, leave nothing", func(w *world) {
			w.cloud.Chaos().Next(lab.Slow, w.site.create, 1)
			r := w.start(w.clipboard("loki"), whole...)
			w.until(r, func(r pipeline.Run) bool { return w.cloud.Chaos().Played()[lab.Slow] == 1 })
			must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(w.T)
			r = w.until(r, func(r pipeline.Run) bool { return r.State == pipeline.Cancelled })
			w.undone(r)
			w.machines()
		}, lab.Slow},
		{"shutdown powers off, again has nothing to do, and undo powers on", func(w *world) {
			w.ready(w.start(w.clipboard("loki"), whole...))
			off := w.ready(w.start(w.clipboard("loki"), "sp:shutdown", "sp:shutdown"))
			if got := w.said(off, pipeline.EvDone); !strings.HasSuffix(got[0], " is off") || !strings.Contains(got[1], "nothing to do") {
				w.Errorf("said %q", got)
			}
			again := w.ready(w.start(w.clipboard("loki"), "sp:shutdown"))
			if got := w.said(again, pipeline.EvDone); !strings.Contains(got[0], "nothing to do") {
				w.Errorf("said %q", got)
			}
			w.undone(again)
			w.undone(off)
			on := w.ready(w.start(w.clipboard("loki"), "sp:startup"))
			if got := w.said(on, pipeline.EvDone); !strings.Contains(got[0], "nothing to do: it is on") {
				w.Errorf("said %q", got)
			}
			w.machines("loki")
		}, ""},
		{"startup powers on what is off", func(w *world) {
			w.ready(w.start(w.clipboard("loki"), whole...))
			w.ready(w.start(w.clipboard("loki"), "sp:shutdown", "sp:startup", "sp:startup"))
		}, ""},
		{"destroy finds the machine by name and deletes it; again has nothing to do, and undo says what stays", func(w *world) {
			w.ready(w.start(w.clipboard("loki"), whole...))
			w.ready(w.start(w.clipboard("other"), whole...))
			r := w.ready(w.start(w.clipboard("loki"), "sp:shutdown", "sp:destroy"))
			w.machines("other")
			again := w.ready(w.start(w.clipboard("loki"), "sp:destroy", "sp:shutdown"))
			for _, got := range w.said(again, pipeline.EvDone) {
				if !strings.Contains(got, "nothing to do") {
					w.Errorf("said %q", got)
				}
			}
			w.undone(again)
			if got := w.undone(r); !strings.Contains(got, "is deleted for good") || strings.Contains(got, "took back") {
				w.Error(got)
			}
		}, ""},
		{"a machine that is gone is told, not waited for", func(w *world) {
			r := w.ready(w.start(w.clipboard("loki"), whole...))
			id := w.engine.Value(r, "provider_id")
			w.ready(w.start(w.clipboard("loki"), "sp:destroy"))
			c := w.clipboard("loki")
			if err := c.Set("provider_id", id); err != nil {
				w.Fatal(err)
			}
			w.failed(w.start(c, "sp:get_pub_ip"), "gone")
		}, ""},
		{"the kernel is set, and the host rebooted, once and only when needed", func(w *world) {
			r := w.ready(w.start(w.clipboard("loki"), append(whole, "sp:set_kernel")...))
			said := w.said(r, pipeline.EvDone)
			if !strings.Contains(said[4], "nothing to do") {
				w.Errorf("said %q", said)
			}
			c := w.clipboard("loki")
			for _, k := range []string{"provider_id", "ipaddress"} {
				if err := c.Set(k, w.engine.Value(r, k)); err != nil {
					w.Fatal(err)
				}
			}
			if err := errors.Join(c.Set("hostkeys", w.engine.Values(r, "hostkeys")), c.Set("reboot_needed", "yes")); err != nil {
				w.Fatal(err)
			}
			r = w.ready(w.start(c, "sp:set_kernel", "sp:set_kernel"))
			said = w.said(r, pipeline.EvDone)
			if !strings.HasSuffix(said[0], "rebooted") || !strings.Contains(said[1], "nothing to do") {
				w.Errorf("said %q", said)
			}
		}, ""},
	}
	for _, s := range sites() {
		t.Run(s.module, func(t *testing.T) {
			t.Parallel()
			for _, p := range promises {
				if slices.Contains(s.lacks, p.need) {
					continue
				}
				t.Run(p.name, func(t *testing.T) {
					t.Parallel()
					p.test(newWorld(t, s))
				})
			}
			if s.module == "ec2" {
				t.Run("the console shows the host key that we gave it, and another key is an alarm", func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, s)
					r := w.ready(w.start(w.clipboard("loki"), append(whole, "ec2:wait_for_console")...))
					if got := w.said(r, pipeline.EvDone)[4]; !strings.HasSuffix(got, "the console shows our host key") {
						t.Errorf("said %q", got)
					}
					c := w.clipboard("loki")
					if err := errors.Join(c.Set("provider_id", w.engine.Value(r, "provider_id")), c.Set("hostkey_first", w.engine.Values(r, "hostkeys")[0])); err != nil {
						t.Fatal(err)
					}
					w.failed(w.start(c, "ec2:wait_for_console"), "this is not our machine")
				})
			}
			t.Run("wrong credentials are told, with the key to set", func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, s, s.badKey[0], s.badKey[1])
				r := w.until(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"), nil)
				t.Log(r.Error)
				if r.State != pipeline.Failed || !strings.Contains(r.Error, s.badKey[2]) {
					t.Errorf("run is %s: %s", r.State, r.Error)
				}
			})
		})
	}
}
