//go:build !race

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// siege is a world in which very many hosts are deployed while whoever deploys them is hit: three providers that play
// their faults, and real servers for all else. What must be true in the end is here; who is hit, and how, is in the
// tests.
type siege struct {
	t      *testing.T
	runs   int
	dir    string
	world  *lab.World
	clouds []lab.Cloud
	titles []string
	git    *real.Gitolite
	alerts *real.Alertmanager
	ircd   *real.IRCd
	jabber *real.Prosody
	ext    string         // the folder of the external programs
	gist   string         // where clipboards are
	steps  map[string]int // of each provider
	lines  string         // of the configuration
	people []*asker       // each asks for every other host

	// cli asks whoever answers.
	cli func(ctx context.Context, args ...string) ([]byte, error)
}

// newSiege makes the world. block is a part of the network that no other test uses; more are steps that every host has
// as well.
func newSiege(t *testing.T, runs, block int, more ...string) *siege {
	t.Helper()
	ctx := t.Context()
	s := &siege{t: t, runs: runs, dir: t.TempDir(), titles: []string{"Linode", "EC2", "ESX"}, steps: map[string]int{}}
	port := must[int](t)(freePort())
	s.world = must[*lab.World](t)(lab.Start(ctx, lab.Options{Block: block, Port: port}))
	t.Cleanup(s.world.Stop)
	s.clouds = []lab.Cloud{must[*lablinode.Server](t)(lablinode.Start(s.world.Rack)), labec2.Start(s.world.Rack), s.world.VSphere}
	t.Cleanup(s.clouds[0].Stop)
	t.Cleanup(s.clouds[1].Stop)
	kinds := [][]lab.Fault{all7, all7, {lab.Broken, lab.Slow, lab.Lost}}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i, c := range s.clouds {
		c.Chaos().Random([]float64{0.15, 0.1, 0.005}[i], seed+uint64(i), kinds[i]...)
	}
	s.git = must[*real.Gitolite](t)(real.StartGitolite(ctx))
	t.Cleanup(s.git.Stop)
	s.alerts = must[*real.Alertmanager](t)(real.StartAlertmanager(ctx))
	t.Cleanup(s.alerts.Stop)
	s.ircd = must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(s.ircd.Stop)
	gist := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		n, _ := strconv.Atoi(strings.TrimPrefix(name, "h"))
		_, _ = fmt.Fprint(rw, strings.Replace(lab.Clipboard(name), "provider: ESX", "provider: "+s.titles[n%3], 1))
	}))
	t.Cleanup(gist.Close)
	s.jabber = must[*real.Prosody](t)(real.StartProsody("jarvis", "bob"))
	t.Cleanup(s.jabber.Stop)
	s.ext = filepath.Join(s.dir, "workers.d")
	if err := os.MkdirAll(s.ext, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"slow": slowProgram, "kids": kidsProgram, "near": signProgram, "far": signProgram} {
		if err := os.WriteFile(filepath.Join(s.ext, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lists := ""
	for _, p := range []string{"linode", "ec2", "esx"} {
		list := []string{"monitor:suppress", "keys:create", p + ":deploy", p + ":get_pub_ip", "ssh:wait", "dns:update_host", "ssh:make_root_keypair", "ldap:update_host_ou",
			"ssh:install_config_management", "ssh:run_config_management", "kids:play", "slow:nap", "monitor:resume"}
		if p == "linode" { // a push takes long, and pushes go one after another
			list = slices.Insert(list, 8, "keys:update_deploy_key")
		}
		list = slices.Insert(list, len(list)-3, more...)
		s.steps[p] = len(list)
		lists += fmt.Sprintf("%s: [%s], ", p, strings.Join(list, ", "))
	}
	s.gist = gist.URL + "/"
	s.lines = fmt.Sprintf(`  external: {dir: %q}
%s%s  monitor: {alertmanager: {url: %q}}
  keys: {gitolite: {admin: %q, known_hosts: %q, key: %q}}
pipelines: {deploy: {%s}}
chat:
  - irc: {server: %q, nick: jarvis, channels: ["#ops"], rate: {burst: 200, interval: 5ms}}
  - xmpp: {server: %q, ca: %q, jid: jarvis@%s, password: pw-jarvis, rooms: ["ops@%s"], rate: {burst: 200, interval: 5ms}}
people:
  - {name: alice, irc: "nick:alice", roles: [deploy]}
  - {name: bob, xmpp: bob@%[12]s, roles: [deploy]}
sources: {urls: [%[14]q]}
`, s.ext, s.clouds[0].Config(), s.clouds[1].Config(), s.alerts.URL, s.git.Admin, s.git.KnownHosts, s.git.AdminKey, lists, s.ircd.Addr, s.jabber.Addr, s.jabber.CA, real.XMPPDomain, real.XMPPRooms, s.gist)
	return s
}

// config gives a jarvis.yaml with its data in a folder, and more lines.
func (s *siege) config(data, more string) string { return s.world.Config(data, s.lines+more) }

// asker is a person in a place, who asks for hosts and hears of them.
type asker struct {
	crier
	who, place string
}

type crier interface {
	Say(place, text string)
	Count(pattern string) int
	Wait(pattern string, within time.Duration) (string, error)
	Close()
}

func (a *asker) says(line string) { a.Say(a.place, "jarvis: "+line) }

// enter has alice come to IRC, and bob to Jabber: after the bot, which makes a room in which it sees who people are.
func (s *siege) enter() {
	s.t.Helper()
	until(s.t, time.Minute, "the bot has made the room", func() bool {
		logs, _ := filepath.Glob(filepath.Join(s.dir, "*log"))
		return slices.ContainsFunc(logs, func(f string) bool { b, _ := os.ReadFile(f); return strings.Contains(string(b), "made a room") })
	})
	room := "ops@" + real.XMPPRooms
	s.people = []*asker{{must[*real.IRCClient](s.t)(real.DialIRC(s.t.Context(), s.ircd.Addr, "alice", "#ops")), "alice", "#ops"},
		{must[*real.XMPPClient](s.t)(real.DialXMPP(s.t.Context(), s.jabber, "bob", room)), "bob", room}}
	for _, a := range s.people {
		s.t.Cleanup(a.Close)
	}
}

// whose says who asks for a host.
func (s *siege) whose(host string) *asker {
	n, _ := strconv.Atoi(strings.TrimPrefix(host, "h"))
	return s.people[n%len(s.people)]
}

// hears waits until whoever asked for a host heard of it.
func (s *siege) hears(host, what string) {
	s.t.Helper()
	a := s.whose(host)
	if _, err := a.Wait(a.who+": ("+again+")?"+host+" "+what, 60*time.Second); err != nil {
		s.t.Fatal(err)
	}
}

// hosts gives what is on record, by name; nil when nobody answers.
func (s *siege) hosts() map[string]pipeline.Run {
	out, err := s.cli(s.t.Context(), "hosts", "--json")
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

// name of a host by its number.
func (s *siege) name(i int) string { return fmt.Sprintf("h%03d", i) }

// deploys has them ask for every host. Whoever hears no answer asks again, as people do; a host that is on record is
// not asked for twice.
func (s *siege) deploys(ctx context.Context) {
	for missing := s.runs; missing > 0 && ctx.Err() == nil; {
		have := s.hosts()
		if have == nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		missing = 0
		for i := range s.runs {
			name := s.name(i)
			if _, ok := have[name]; !ok {
				missing++
				if missing <= 18 {
					s.whose(name).says("deploy " + s.gist + name)
				}
			}
		}
		time.Sleep(150 * time.Millisecond)
	}
}

// undoes has them ask for the way back of each.
func (s *siege) undoes(ctx context.Context) {
	for left := s.runs; left > 0 && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		left = 0
		have := s.hosts()
		if have == nil {
			left = s.runs
		}
		for name, r := range have {
			if r.State == pipeline.Ready {
				left++
				if left <= 18 {
					s.whose(name).says("undo " + name)
				}
			}
		}
	}
}

// inFlight counts the runs that move.
func (s *siege) inFlight() int {
	n := 0
	for _, r := range s.hosts() {
		if r.State.Moving() {
			n++
		}
	}
	return n
}

// heardOut waits until all that they said has been answered: a line is answered after those before it. Whoever would
// have answered may die, and then they ask the next one.
func (s *siege) heardOut() {
	s.t.Helper()
	for _, a := range s.people {
		answered := false
		for i := 0; i < 10 && !answered; i++ {
			word := fmt.Sprintf("nobody%d", i)
			a.says("status " + word)
			_, err := a.Wait(a.who+": .*"+word, 30*time.Second)
			answered = err == nil
		}
		if !answered {
			s.t.Fatal("nobody answers " + a.who)
		}
	}
}

// letGo ends the nap of the last step, so that runs come to their end.
func (s *siege) letGo() {
	s.t.Helper()
	s.heardOut() // a deployment that is asked for again after the host is ready would be another one
	if err := os.WriteFile(filepath.Join(s.ext, "go"), nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// settle waits until all are in a state. A run that met too many faults in a row has failed, and said so; then a person
// says the word again, and so where a step asks one.
func (s *siege) settle(state pipeline.State, word string, within time.Duration) {
	s.t.Helper()
	again := 0
	for deadline := time.Now().Add(within); ; time.Sleep(200 * time.Millisecond) {
		n, left := 0, ""
		for _, r := range s.hosts() {
			if r.State != state {
				left += fmt.Sprintf("\n%s is %s at %s since %s: %s", r.Host, r.State, r.Where(), time.Since(r.StageAt).Round(time.Second), r.Why)
			}
			switch {
			case r.State == state:
				n++
			case r.State == pipeline.Failed, r.State == pipeline.Asking:
				again++
				s.t.Logf("%s failed at %s: %s", r.Host, r.Where(), r.Error)
				s.whose(r.Host).says(word + " " + r.Host)
				time.Sleep(100 * time.Millisecond)
			case !r.State.Moving():
				s.t.Fatalf("%s is %s at %s: %s", r.Host, r.State, r.Where(), r.Error)
			}
		}
		if n == s.runs {
			s.t.Logf("said `%s` again: %d times", word, again)
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d are %s; left are%s", n, s.runs, state, left)
		}
	}
}

// stands checks the world when all are ready.
func (s *siege) stands() {
	t := s.t
	t.Helper()
	// No program twice at the same time, no child that outlived its own, and nobody left now.
	checkPrograms(t, s.ext, s.runs)

	// No machine twice, none left over.
	if err := s.world.Check(); err != nil {
		t.Error(err)
	}
	var machines []string
	for i, c := range s.clouds {
		machines = append(machines, c.Machines()...)
		t.Logf("%s played %v", s.titles[i], c.Chaos().Played())
	}
	if len(machines) != s.runs {
		t.Errorf("%d machines for %d hosts: %v", len(machines), s.runs, machines)
	}
	booted, _ := s.world.Rack.Booted()
	for name, n := range booted {
		if n != 1 || !strings.HasPrefix(name, "h") {
			t.Errorf("machine %s came up %d times", name, n)
		}
	}
	// What ran on the hosts ran once.
	for _, box := range s.world.Sandboxes() {
		ran := box.Ran()
		if len(ran) != 2 { // installing and running configuration management
			t.Errorf("on %s ran %v", box.Name, ran)
		}
		for cmd, n := range ran {
			if n != 1 {
				t.Errorf("on %s %q ran %d times", box.Name, cmd, n)
			}
		}
	}
	begun, asked := 0, 0 // of steps that only a person repeats
	// Every finished step finished once; every name is in DNS and in the directory; every notice was heard.
	for name, r := range s.hosts() {
		out, err := s.cli(t.Context(), "log", strconv.FormatInt(r.ID, 10), "--json")
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
		n, m := s.signed(name, a.Data)
		begun, asked = begun+n, asked+m
		_, provider, _ := strings.Cut(r.Pipeline, "/")
		for i := range s.steps[provider] {
			if done[i] != 1 {
				t.Errorf("%s: stage %d finished %d times", name, i+1, done[i])
			}
		}
		if got := s.world.DNS.Lookup(name+".websages.com", godns.TypeA); len(got) != 1 {
			t.Errorf("%s has the A records %v", name, got)
		}
		if got := s.world.Directory.Get(name, "ipHostNumber"); len(got) != 1 {
			t.Errorf("%s has the directory entry %v", name, got)
		}
		s.hears(name, "is ready: ")
	}
	t.Logf("steps that ask began %d times, and asked %d times", begun, asked)
	if got := s.world.Directory.Len(); got != s.runs {
		t.Errorf("the directory has %d entries", got)
	}
	if got := must[[]string](t)(s.git.Keys(t.Context())); len(got) != (s.runs+2)/3 {
		t.Errorf("gitolite has %d keys", len(got))
	}
	if got := must[[]string](t)(s.alerts.Silences(t.Context())); len(got) != 0 {
		t.Errorf("monitoring is still quiet: %v", got)
	}
}

// gone checks the world when all are undone.
func (s *siege) gone() {
	t := s.t
	t.Helper()
	for i, c := range s.clouds {
		if got := c.Machines(); len(got) != 0 {
			t.Errorf("%s still has %v", s.titles[i], got)
		}
	}
	s.world.Rack.Each(func(lab.Machine) { t.Error("a host is still up") })
	for i := range s.runs {
		name := s.name(i)
		for _, kind := range []uint16{godns.TypeA, godns.TypeAAAA, godns.TypeSSHFP} {
			if got := s.world.DNS.Lookup(name+".websages.com", kind); len(got) != 0 {
				t.Errorf("DNS still has %v", got)
			}
		}
		s.hears(name, "is undone: took back ")
	}
	if got := s.world.Directory.Len(); got != 0 {
		t.Errorf("the directory still has %d entries", got)
	}
	if got := must[[]string](t)(s.git.Keys(t.Context())); len(got) != 0 {
		t.Errorf("gitolite still has %v", got)
	}
	if got := must[[]string](t)(s.alerts.Silences(t.Context())); len(got) != 0 {
		t.Errorf("monitoring is still quiet: %v", got)
	}
}

// all7 are the faults of a provider's API.
var all7 = []lab.Fault{lab.TooMany, lab.Broken, lab.Slow, lab.Capacity, lab.Late, lab.Lost, lab.LostLate}

// again is what a notice begins with of which nobody knows whether it was said, as a pattern.
const again = `\(perhaps again\) `
