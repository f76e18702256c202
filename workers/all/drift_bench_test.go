package all

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// BenchmarkDrift looks by the clock at a thousand hosts that were deployed on the simulator of Linode, with sandboxes
// that speak SSH and a real BIND, and counts what the provider was asked.
func BenchmarkDrift(b *testing.B) {
	hosts := 1000
	if testing.Short() {
		hosts = 20
	}
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	port, err := real.FreePort()
	check(err)
	rack := lab.NewRack(90, port, nil)
	b.Cleanup(rack.Stop)
	li, err := lablinode.Start(rack)
	check(err)
	b.Cleanup(li.Stop)
	named, err := real.StartNamed(b.Context(), "")
	check(err)
	b.Cleanup(named.Stop)
	var c struct{ Workers Config }
	check(yaml.Unmarshal(fmt.Appendf(nil, "workers:\n%s  dns: {server: %q, ttl: 2, tsig: {name: %s, secret: %s}}\n  ssh: {port: %d}\n", li.Config(), named.Addr, real.TSIGName, real.TSIGSecret, port), &c))
	dir := b.TempDir()
	set, err := Build(c.Workers, dir)
	check(err)
	b.Cleanup(set.Close)
	db, err := store.Open(b.Context(), store.Options{Dir: dir})
	check(err)
	b.Cleanup(func() { _ = db.Close() })
	key, err := clipboard.NewKey()
	check(err)
	made, err := firstKeys()
	check(err)
	serve := func(d pipeline.DriftConfig) (*pipeline.Engine, func()) {
		e, err := pipeline.New(b.Context(), pipeline.Config{DB: db, Registry: set.Registry, Key: key, Workers: 50, Drift: d})
		check(err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		return e, func() {
			cancel()
			check(<-done)
		}
	}

	e, stop := serve(pipeline.DriftConfig{})
	steps := []string{"keys:create", "linode:deploy", "linode:get_pub_ip", "ssh:wait", "dns:update_host"}
	for i := range hosts {
		cb, err := clipboard.Parse(fmt.Appendf(nil, "instance:\n  hostname: h%[1]d\n  fqdn: h%[1]d.websages.com\n  provider: linode\n  guestid: Debian 12\n  size: 512\n  hostkey_first: %[2]q\n", i, made.Get("hostkey_first")))
		check(err)
		for _, k := range []string{"hostkey_private", "root_password", "root_password_hash"} {
			s, err := made.Secret(k)
			check(err)
			check(cb.SetSecret(k, s))
		}
		_, err = e.Start(b.Context(), pipeline.Request{Clipboard: cb, Kind: pipeline.Kind{Verb: "deploy", Provider: "linode"}, Steps: steps, By: "alice"})
		check(err)
	}
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		live, err := e.Live(b.Context(), 1)
		check(err)
		if len(live) == 0 {
			break
		}
		if time.Since(began) > 10*time.Minute || live[0].State.Resting() {
			b.Fatalf("%s is %s at %s: %s", live[0].Host, live[0].State, live[0].Where(), live[0].Error)
		}
	}
	stop()

	const every = 4 * time.Second // and so all are due within its first quarter
	for b.Loop() {
		asked, cpu := li.Faults.Asked(), runtime.NumCPU()
		began := time.Now()
		e, stop := serve(pipeline.DriftConfig{Every: every})
		var d pipeline.Drifted
		for ; d.Looked < hosts; time.Sleep(50 * time.Millisecond) {
			d, err = e.Drifted(b.Context(), hosts)
			check(err)
			if time.Since(began) > 5*time.Minute {
				b.Fatalf("%d of %d hosts in %s", d.Looked, hosts, time.Since(began))
			}
		}
		took := time.Since(began)
		stop()
		for _, l := range d.Looks {
			if len(l.Differs) > 0 || !strings.Contains(fmt.Sprint(l.Unknown), "slow down") {
				b.Errorf("an untouched host: %+v, %+v", l.Differs, l.Unknown)
			}
		}
		b.ReportMetric(took.Seconds(), "s/all")
		b.ReportMetric(float64(hosts), "hosts")
		b.ReportMetric(float64(li.Faults.Asked()-asked)/float64(hosts), "calls/host")
		b.ReportMetric(float64(cpu), "cores")
	}
}
