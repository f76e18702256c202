package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// nodes are several servers on one PostgreSQL: real processes, each with a data folder of its own, and one IRC network.
type nodes struct {
	t    *testing.T
	dir  string
	pg   *real.Postgres
	wire *wire  // all nodes' way to the database
	url  string // of the database, by that wire
	ircd *real.IRCd
	key  string
	gist string // where chat gets clipboards from
	list []*process
}

// nodeToy notes each time that a step begins, and waits as long as a file says so. A step `ask` is never repeated
// unasked.
const nodeToy = `#!/bin/sh
dir=%[1]q
case $1 in
--steps) echo '[{name: toy:make, resume: again}, {name: toy:wait, resume: again}, {name: toy:once, resume: ask}]'; exit ;;
esac
host=$(sed -n 's/^ *hostname: *//p' | head -n 1)
echo "$1" >> "$dir/began.$host"
while [ "$1" != make ] && [ ! -e "$dir/gate.$host" ] && [ ! -e "$dir/gate.$1.$host" ]; do sleep 0.05; done
exit 0
`

func newNodes(t *testing.T, names ...string) *nodes {
	t.Helper()
	n := &nodes{t: t, dir: t.TempDir()}
	n.pg = must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(n.pg.Stop)
	db := must[*url.URL](t)(url.Parse(must[string](t)(n.pg.Database(t.Context()))))
	n.wire = newWire(t, db.Host)
	db.Host = n.wire.Listen
	n.url = db.String()
	n.ircd = must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(n.ircd.Stop)
	n.key = must[*age.X25519Identity](t)(age.GenerateX25519Identity()).String()
	gist := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, toyClipboard("toy", strings.Trim(r.URL.Path, "/")))
	}))
	t.Cleanup(gist.Close)
	n.gist = gist.URL + "/"
	write := writeIn(t, n.dir)
	write("w/toy", fmt.Sprintf(nodeToy, n.dir), 0o755)
	bin := buildJarvis(t)
	for _, name := range names {
		conf := write(name+".yaml", fmt.Sprintf(`data: ./%[1]s
node: {name: %[1]s}
database: %[2]q
age_key: %[3]s
listen: ""
workers: {external: {dir: w}}
pipelines: {deploy: {toy: ["toy:make", "toy:wait", "toy:make"], once: ["toy:make", "toy:once"], late: ["toy:wait", "toy:once"]}}
chat:
  - irc: {server: %[4]q, nick: jarvis, channels: ["#ops"], rate: {burst: 200, interval: 5ms}}
people:
  - {name: alice, irc: "nick:alice", roles: [deploy]}
limit: {burst: 10000}
sources: {urls: [%[5]q]}
`, name, n.url, n.key, n.ircd.Addr, n.gist), 0o600)
		log := must[*os.File](t)(os.Create(filepath.Join(n.dir, name+".log")))
		p := &process{t: t, bin: bin, conf: conf, log: log}
		n.list = append(n.list, p)
		p.start()
		t.Cleanup(func() {
			p.kill()
			if b, _ := os.ReadFile(log.Name()); t.Failed() {
				t.Logf("the end of the log of %s:\n%s", name, b[max(0, len(b)-3000):])
			}
		})
	}
	for i := range n.list {
		n.awake(i)
	}
	return n
}

// awake waits until a node answers.
func (n *nodes) awake(i int) {
	n.t.Helper()
	until(n.t, 30*time.Second, "the node is up", func() bool { _, err := n.list[i].cli(n.t.Context(), "nodes"); return err == nil })
}

// says runs a command line at a node.
func (n *nodes) says(i int, args ...string) string {
	n.t.Helper()
	out, err := n.list[i].cli(n.t.Context(), args...)
	if err != nil {
		n.t.Errorf("%v at node %d: %v: %s", args, i, err, out)
	}
	return string(out)
}

func toyClipboard(provider, host string) string {
	return fmt.Sprintf("instance:\n  provider: %s\n  hostname: %s\n  fqdn: %s.example.org\n", provider, host, host)
}

// deploy begins one, at a node.
func (n *nodes) deploy(i int, provider, host string) {
	n.t.Helper()
	file := filepath.Join(n.dir, host+".yaml")
	if err := os.WriteFile(file, []byte(toyClipboard(provider, host)), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.says(i, "deploy", "--no-wait", "--json", file)
}

func (n *nodes) open(host string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, "gate."+host), nil, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// began gives the steps of a host that began, in their order.
func (n *nodes) began(host string) string {
	b, _ := os.ReadFile(filepath.Join(n.dir, "began."+host))
	return strings.Join(strings.Fields(string(b)), " ")
}

// who gives the nodes as one of them sees them.
func (n *nodes) who(i int) []pipeline.Node {
	n.t.Helper()
	out, err := n.list[i].cli(n.t.Context(), "nodes", "--json")
	var a struct{ Data command.Servers }
	if err != nil || contract.Unmarshal(out, &a) != nil {
		return nil
	}
	return a.Data.Nodes
}

// speaker waits until one of the nodes speaks on the network, and gives its number.
func (n *nodes) speaker(ask int) (found int) {
	n.t.Helper()
	found = -1
	until(n.t, 40*time.Second, "somebody speaks", func() bool {
		for _, x := range n.who(ask) {
			if x.State != "lives" || !strings.Contains(strings.Join(x.Roles, " "), "chat irc/") {
				continue
			}
			for i, p := range n.list {
				if strings.HasSuffix(p.conf, "/"+x.Name+".yaml") {
					found = i
				}
			}
		}
		return found >= 0
	})
	return found
}

// TestThreeNodes: what one is told another does, and all of them know it; one speaks; who is killed, is frozen or
// drains is replaced, and nothing is said or done twice.
func TestThreeNodes(t *testing.T) {
	n := newNodes(t, "one", "two", "three")
	alice := must[*real.IRCClient](t)(real.DialIRC(t.Context(), n.ircd.Addr, "alice", "#ops"))
	t.Cleanup(alice.Close)
	hear := func(pattern string, within time.Duration) {
		t.Helper()
		if _, err := alice.Next(pattern, within); err != nil {
			t.Errorf("%v; she saw:\n%s", err, strings.Join(alice.Lines(), "\n"))
		}
	}
	first := n.speaker(0)
	other := (first + 1) % 3
	hear(`( JOIN|353 ).*jarvis|jarvis!.* JOIN`, 20*time.Second)

	// A run asked for at one node; cancelled at another, whoever carries it.
	n.deploy(other, "toy", "loki")
	until(t, 20*time.Second, "it waits", func() bool { return n.began("loki") == "make wait" })
	for i := range n.list {
		if out := n.says(i, "status", "loki"); !strings.Contains(out, "toy:wait") {
			t.Errorf("node %d: %s", i, out)
		}
	}
	n.says((other+1)%3, "cancel", "loki")
	until(t, 10*time.Second, "it is cancelled", func() bool { return strings.Contains(n.says(other, "status", "loki"), "cancelled") })

	// The one that speaks is killed. Another takes over its voice and its runs, and a step is repeated once.
	alice.Say("#ops", "jarvis: status")
	hear(`jarvis!.* PRIVMSG #ops :alice: `, 10*time.Second)
	alice.Say("#ops", "jarvis: deploy "+n.gist+"thor")
	until(t, 20*time.Second, "it waits", func() bool { return n.began("thor") == "make wait" })
	n.open("thor")
	hear(`thor.* is ready`, 20*time.Second)
	n.list[first].kill()
	hear(`jarvis!.* JOIN`, 30*time.Second)
	second := n.speaker(other)
	if second == first {
		t.Fatal("the dead one speaks")
	}
	alice.Say("#ops", "jarvis: status thor")
	hear(`jarvis!.* PRIVMSG #ops :alice: .*thor.*ready`, 10*time.Second)
	n.list[first].start()
	n.awake(first)

	// The one that speaks now drains, as before it is replaced by a newer one.
	n.says(first, "drain", n.name(second))
	until(t, 20*time.Second, "another speaks", func() bool { s := n.speaker(first); return s != second })
	hear(`jarvis!.* JOIN`, 30*time.Second)
	until(t, 20*time.Second, "it is drained", func() bool { return strings.Contains(n.says(first, "nodes"), "it can be stopped") })
	alice.Say("#ops", "jarvis: deploy "+n.gist+"odin")
	until(t, 20*time.Second, "it waits", func() bool { return n.began("odin") == "make wait" })
	for _, x := range n.who(first) {
		if x.State == "lives" && x.Name == n.name(second) && x.Runs > 0 {
			t.Errorf("a node that drains carries: %+v", x)
		}
	}
	n.open("odin")
	hear(`odin.* is ready`, 20*time.Second)
	n.list[second].end(syscall.SIGTERM)
	n.list[second].start()
	n.awake(second)
	for _, host := range []string{"thor", "odin"} {
		// One that was killed in the moment between saying it and noting that may have said it before; then the other
		// says so.
		if got := alice.Count(`#ops :alice: ` + host + ` is ready`); got > 1 {
			t.Errorf("that %s is ready was said %d times:\n%s", host, got, strings.Join(alice.Lines(), "\n"))
		}
	}
}

func (n *nodes) name(i int) string {
	return strings.TrimSuffix(filepath.Base(n.list[i].conf), ".yaml")
}

// TestAStepOfAFrozenNode: a node is stopped in the middle of steps, and wakes up after others took its runs. A step
// that may be repeated is, by somebody else; one that may not asks a person; and what wakes up does nothing more.
func TestAStepOfAFrozenNode(t *testing.T) {
	n := newNodes(t, "one")
	n.deploy(0, "toy", "loki")
	n.deploy(0, "once", "thor")
	until(t, 20*time.Second, "they wait", func() bool { return n.began("loki") == "make wait" && n.began("thor") == "make once" })
	log := must[*os.File](t)(os.Create(filepath.Join(n.dir, "two.log")))
	b := must[[]byte](t)(os.ReadFile(n.list[0].conf))
	two := &process{t: t, bin: n.list[0].bin, log: log, conf: writeIn(t, n.dir)("two.yaml", strings.NewReplacer("./one", "./two", "name: one", "name: two").Replace(string(b)), 0o600)}
	n.list = append(n.list, two)
	two.start()
	t.Cleanup(two.kill)
	n.awake(1)
	if err := n.list[0].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	until(t, 40*time.Second, "the run goes on elsewhere", func() bool { return n.began("loki") == "make wait wait" })
	t.Logf("taken up after %s", time.Since(began).Round(100*time.Millisecond))
	until(t, 10*time.Second, "a person is asked", func() bool { return strings.Contains(n.says(1, "status", "thor"), "may have half happened") })
	if err := n.list[0].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := n.list[0].cmd.Wait(); err == nil {
		t.Error("the one that was frozen ended well")
	}
	n.open("loki")
	until(t, 20*time.Second, "it is ready", func() bool { return strings.Contains(n.says(1, "status", "loki"), "ready") })
	if got := n.began("loki"); got != "make wait wait make" {
		t.Errorf("the steps that began: %s", got)
	}
	if got := n.began("thor"); got != "make once" {
		t.Errorf("the steps that began: %s", got)
	}
	n.list[0].start()
	n.awake(0)
}
