//go:build !race

// Not under the race detector, which would see only the simulators and make them slow: the process that is killed is
// not the test's. `make test` runs this file apart.

package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab"
	labec2 "github.com/jarvisops/jarvis/lab/ec2"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"

	godns "github.com/miekg/dns"
)

// TestCrash has a hundred deployments in flight on three providers, which play their faults, and kills the process with
// -9 again and again, between and inside steps and while it starts. In the end every run is ready, no machine was made
// twice, every step finished once, the commands on the hosts ran once, and alice has heard of every host. Then all is
// undone, with more kills and faults, and nothing is left anywhere. `make crash` does it for long.
func TestCrash(t *testing.T) {
	runs, kills := number("JARVIS_CRASH_RUNS", 150), number("JARVIS_CRASH_KILLS", 50)
	ctx := t.Context()
	dir := t.TempDir()
	bin := buildJarvis(t)
	port := must[int](t)(freePort())
	w := must[*lab.World](t)(lab.Start(ctx, lab.Options{Block: 79, Port: port}))
	t.Cleanup(w.Stop)
	clouds := []lab.Cloud{must[*lablinode.Server](t)(lablinode.Start(w.Rack)), labec2.Start(w.Rack), w.VSphere}
	t.Cleanup(clouds[0].Stop)
	t.Cleanup(clouds[1].Stop)
	titles := []string{"Linode", "EC2", "ESX"}
	kinds := [][]lab.Fault{all7, all7, {lab.Broken, lab.Slow, lab.Lost}}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i, c := range clouds {
		c.Chaos().Random([]float64{0.15, 0.1, 0.005}[i], seed+uint64(i), kinds[i]...)
	}
	git := must[*real.Gitolite](t)(real.StartGitolite(ctx))
	t.Cleanup(git.Stop)
	alerts := must[*real.Alertmanager](t)(real.StartAlertmanager(ctx))
	t.Cleanup(alerts.Stop)
	ircd := must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(ircd.Stop)
	gist := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		n, _ := strconv.Atoi(strings.TrimPrefix(name, "h"))
		_, _ = fmt.Fprint(rw, strings.Replace(lab.Clipboard(name), "provider: ESX", "provider: "+titles[n%3], 1))
	}))
	t.Cleanup(gist.Close)
	ext := filepath.Join(dir, "workers.d")
	if err := os.MkdirAll(ext, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"slow": slowProgram, "kids": kidsProgram} {
		if err := os.WriteFile(filepath.Join(ext, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lists := ""
	steps := map[string]int{}
	for _, p := range []string{"linode", "ec2", "esx"} {
		list := []string{"monitor:suppress", "keys:create", p + ":deploy", p + ":get_pub_ip", "ssh:wait", "dns:update_host", "ssh:make_root_keypair", "ldap:update_host_ou",
			"ssh:install_config_management", "ssh:run_config_management", "kids:play", "slow:nap", "monitor:resume"}
		if p == "linode" { // a push takes long, and pushes go one after another
			list = slices.Insert(list, 8, "keys:update_deploy_key")
		}
		steps[p] = len(list)
		lists += fmt.Sprintf("%s: [%s], ", p, strings.Join(list, ", "))
	}
	text := w.Config(filepath.Join(dir, "data"), fmt.Sprintf(`  external: {dir: %q}
%s%s  monitor: {alertmanager: {url: %q}}
  keys: {gitolite: {admin: %q, known_hosts: %q, key: %q}}
pipelines: {deploy: {%s}}
chat:
  - irc: {server: %q, nick: jarvis, channels: ["#ops"], rate: {burst: 200, interval: 5ms}}
people:
  - {name: alice, irc: "nick:alice", roles: [deploy]}
sources: {urls: [%q]}
`, ext, clouds[0].Config(), clouds[1].Config(), alerts.URL, git.Admin, git.KnownHosts, git.AdminKey, lists, ircd.Addr, gist.URL+"/"))
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := must[*os.File](t)(os.Create(filepath.Join(dir, "log")))
	p := &process{t: t, bin: bin, conf: conf, log: log}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("the end of the log:\n%s", b[max(0, len(b)-2500):])
		}
	})
	alice := must[*real.IRCClient](t)(real.DialIRC(ctx, ircd.Addr, "alice", "#ops"))
	t.Cleanup(alice.Close)

	hosts := func() map[string]pipeline.Run {
		out, err := p.cli(ctx, "hosts", "--json")
		var a struct{ Data []pipeline.Run }
		if err != nil || contract.Unmarshal(out, &a) != nil {
			return nil
		}
		m := map[string]pipeline.Run{}
		for _, r := range a.Data {
			m[r.Host] = r
		}
		return m
	}
	// Whoever hears no answer asks again, as people do; a host that is on record is not asked for twice.
	killing := make(chan struct{})
	var asked sync.WaitGroup
	asked.Add(1)
	go func() {
		defer asked.Done()
		for missing := runs; missing > 0 && ctx.Err() == nil; {
			have := hosts()
			if have == nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			missing = 0
			for i := range runs {
				name := fmt.Sprintf("h%03d", i)
				if _, ok := have[name]; !ok {
					missing++
					if missing <= 18 {
						alice.Say("#ops", "jarvis: deploy "+gist.URL+"/"+name)
					}
				}
			}
			time.Sleep(150 * time.Millisecond)
		}
		close(killing)
	}()
	inFlight := func() int {
		n := 0
		for _, r := range hosts() {
			if r.State.Moving() {
				n++
			}
		}
		return n
	}
	// Kills begin while the deployments are being asked for, a third of them inside the first 200 ms of a start.
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	most, full := 0, 0
	kill := func(i int) {
		pause := time.Duration(rnd.IntN(1500)) * time.Millisecond
		if i%3 == 0 {
			pause = time.Duration(rnd.IntN(200)) * time.Millisecond
		}
		time.Sleep(pause)
		if n := inFlight(); n > 0 { // 0: it was still starting
			most = max(most, n)
			if n >= 100 {
				full++
			}
		}
		p.kill()
		p.start()
		if i%5 == 2 {
			// Now and then an orderly stop in the middle of everything: the other way out must lose nothing either.
			time.Sleep(300 * time.Millisecond)
			p.end(syscall.SIGTERM)
			p.start()
		}
	}
	// The first part comes while deployments are being asked for; the rest hits whatever is left.
	done := 0
	for asking := true; asking && done < kills/5; done++ {
		time.Sleep(time.Second) // let some questions through
		kill(done)
		select {
		case <-killing:
			asking = false
		default:
		}
	}
	<-killing
	for ; done < kills; done++ {
		kill(done)
	}
	asked.Wait()
	// The last step naps until now, so that nobody is done before the last kill.
	if err := os.WriteFile(filepath.Join(ext, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// A run that met too many faults in a row has failed, and said so; then a person says the word again.
	settle := func(state pipeline.State, word string) {
		t.Helper()
		again := 0
		for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
			n, left := 0, ""
			for _, r := range hosts() {
				if r.State != state {
					left += fmt.Sprintf("\n%s is %s at %s since %s: %s", r.Host, r.State, r.Where(), time.Since(r.StageAt).Round(time.Second), r.Why)
				}
				switch {
				case r.State == state:
					n++
				case r.State == pipeline.Failed:
					again++
					t.Logf("%s failed at %s: %s", r.Host, r.Where(), r.Error)
					alice.Say("#ops", "jarvis: "+word+" "+r.Host)
					time.Sleep(100 * time.Millisecond)
				case !r.State.Moving():
					t.Fatalf("%s is %s at %s: %s", r.Host, r.State, r.Where(), r.Error)
				}
			}
			if n == runs {
				t.Logf("said `%s` again: %d times", word, again)
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d are %s; left are%s", n, runs, state, left)
			}
		}
	}
	began := time.Now()
	settle(pipeline.Ready, "retry")
	t.Logf("all were ready %s after the last kill", time.Since(began).Round(time.Second))
	t.Logf("%d runs, %d kills, up to %d in flight; 100 or more at %d of the kills that met a server in service", runs, kills, most, full)
	if runs >= 150 && most < 100 {
		t.Errorf("never were 100 deployments in flight at a kill; the most was %d", most)
	}

	// No program twice at the same time, no child that outlived its own, and nobody left now.
	checkPrograms(t, ext, runs)

	// No machine twice, none left over.
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	var machines []string
	for i, c := range clouds {
		machines = append(machines, c.Machines()...)
		t.Logf("%s played %v", titles[i], c.Chaos().Played())
	}
	if len(machines) != runs {
		t.Errorf("%d machines for %d hosts: %v", len(machines), runs, machines)
	}
	booted, _ := w.Rack.Booted()
	for name, n := range booted {
		if n != 1 || !strings.HasPrefix(name, "h") {
			t.Errorf("machine %s came up %d times", name, n)
		}
	}
	// What ran on the hosts ran once.
	for _, s := range w.Sandboxes() {
		ran := s.Ran()
		if len(ran) != 2 { // installing and running configuration management
			t.Errorf("on %s ran %v", s.Name, ran)
		}
		for cmd, n := range ran {
			if n != 1 {
				t.Errorf("on %s %q ran %d times", s.Name, cmd, n)
			}
		}
	}
	// Every finished step finished once; every name is in DNS and in the directory; every notice was heard.
	for name, r := range hosts() {
		out, err := p.cli(ctx, "log", strconv.FormatInt(r.ID, 10), "--json")
		var a struct{ Data []pipeline.Event }
		if err != nil || contract.Unmarshal(out, &a) != nil {
			t.Fatalf("log of %s: %v", name, err)
		}
		done := map[int]int{}
		for _, ev := range a.Data {
			if ev.Kind == pipeline.EvDone {
				done[ev.Stage]++
			}
		}
		_, provider, _ := strings.Cut(r.Pipeline, "/")
		for i := range steps[provider] {
			if done[i] != 1 {
				t.Errorf("%s: stage %d finished %d times", name, i+1, done[i])
			}
		}
		if got := w.DNS.Lookup(name+".websages.com", godns.TypeA); len(got) != 1 {
			t.Errorf("%s has the A records %v", name, got)
		}
		if got := w.Directory.Get(name, "ipHostNumber"); len(got) != 1 {
			t.Errorf("%s has the directory entry %v", name, got)
		}
		if _, err := alice.Wait("alice: "+name+" is ready: ", 60*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.Directory.Len(); got != runs {
		t.Errorf("the directory has %d entries", got)
	}
	if got := must[[]string](t)(git.Keys(ctx)); len(got) != (runs+2)/3 {
		t.Errorf("gitolite has %d keys", len(got))
	}
	if got := must[[]string](t)(alerts.Silences(ctx)); len(got) != 0 {
		t.Errorf("monitoring is still quiet: %v", got)
	}

	// And back: everything is undone, while the process is killed and the providers play their faults.
	asked.Add(1)
	go func() {
		defer asked.Done()
		for left := runs; left > 0 && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			left = 0
			have := hosts()
			if have == nil {
				left = runs
			}
			for name, r := range have {
				if r.State == pipeline.Ready {
					left++
					if left <= 18 {
						alice.Say("#ops", "jarvis: undo "+name)
					}
				}
			}
		}
	}()
	for i := range kills / 4 {
		kill(i)
	}
	asked.Wait()
	settle(pipeline.Undone, "undo")
	for i, c := range clouds {
		if got := c.Machines(); len(got) != 0 {
			t.Errorf("%s still has %v", titles[i], got)
		}
	}
	w.Rack.Each(func(lab.Machine) { t.Error("a host is still up") })
	for i := range runs {
		name := fmt.Sprintf("h%03d", i)
		for _, kind := range []uint16{godns.TypeA, godns.TypeAAAA, godns.TypeSSHFP} {
			if got := w.DNS.Lookup(name+".websages.com", kind); len(got) != 0 {
				t.Errorf("DNS still has %v", got)
			}
		}
		if _, err := alice.Wait("alice: "+name+" is undone: took back ", 60*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.Directory.Len(); got != 0 {
		t.Errorf("the directory still has %d entries", got)
	}
	if got := must[[]string](t)(git.Keys(ctx)); len(got) != 0 {
		t.Errorf("gitolite still has %v", got)
	}
	if got := must[[]string](t)(alerts.Silences(ctx)); len(got) != 0 {
		t.Errorf("monitoring is still quiet: %v", got)
	}
}

// slowProgram naps until the last kill is over.
const slowProgram = `#!/bin/sh
case $1 in
--steps) echo '- {name: slow:nap, doc: naps, needs: [hostname], gives: [napped], timeout: 600s, resume: again}' ;;
nap) in=$(cat); echo napping >&2; while [ ! -e "${0%/*}/go" ]; do sleep 0.5; done
	printf '%s\n' "$in"; case $in in *napped*) ;; *) echo "  napped: 'yes'" ;; esac ;;
esac
`

// kidsProgram works for a while with a child and one in a session of its own, and leaves that behind. Each of the three
// holds a lock of its own on the host's file (flock is let go by the kernel, whatever a process dies of): whoever finds
// one held when it begins has an older copy beside it, and says so. Every second time the program is deaf to TERM.
const kidsProgram = `#!/bin/bash
case $1 in
--steps) echo '- {name: kids:play, doc: has children, needs: [hostname], timeout: 600s, resume: again}'; exit ;;
--alone) # one that holds the lock for itself, and nothing of ours
	exec 9> "$2.$3.lock"; flock -n 9 || echo "OVERLAP $3 $$" >> "$2.lines"
	echo "begin $3 $$" >> "$2.lines"; exec sleep 300 ;;
esac
host=$(sed -n 's/^ *hostname: *//p' | head -n 1); me=${0%/*}/$host
exec 9> "$me.main.lock"; flock -n 9 || echo "OVERLAP main $$" >> "$me.lines"
echo "begin main $$" >> "$me.lines"
if [ $((RANDOM % 2)) = 0 ]; then trap '' TERM; else trap 'echo "end main $$" >> "$me.lines"; exit 1' TERM; fi
"$0" --alone "$me" child 9>&- &
setsid "$0" --alone "$me" setsid 9>&- &
for n in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1 9>&-; done
echo "end main $$" >> "$me.lines"
`

// checkPrograms reads what kidsProgram wrote, and looks for whoever carries the word of a step now.
func checkPrograms(t *testing.T, ext string, runs int) {
	t.Helper()
	begun, ended := 0, 0
	for i := range runs {
		b, err := os.ReadFile(filepath.Join(ext, fmt.Sprintf("h%03d.lines", i)))
		if err != nil {
			t.Error(err)
		}
		begun += strings.Count(string(b), "begin main")
		ended += strings.Count(string(b), "end main")
		if strings.Contains(string(b), "OVERLAP") || !strings.Contains(string(b), "begin setsid") {
			t.Errorf("h%03d: the programs were\n%s", i, b)
		}
	}
	t.Logf("programs began %d times for %d hosts, %d came to an end of their own or by a trap", begun, runs, ended)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		env, _ := os.ReadFile(f)
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if strings.Contains("\x00"+string(env), "\x00JARVIS_PROC=jarvis-") && strings.Contains(string(line), ext) {
			t.Errorf("%s lives on: %q", filepath.Dir(f), line)
		}
	}
}

// all7 are the faults of a provider's API.
var all7 = []lab.Fault{lab.TooMany, lab.Broken, lab.Slow, lab.Capacity, lab.Late, lab.Lost, lab.LostLate}
