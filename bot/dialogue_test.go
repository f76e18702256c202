package bot_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/calendar"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

var update = flag.Bool("update", false, "rewrite the replies in testdata/dialogue")

// stage is the world of a dialogue: a chat network that keeps what is said, and steps that do what the script says.
type stage struct {
	name string // of the network; the chief one is "test"

	mu     sync.Mutex
	said   []string
	broken map[string]string // by step: the error it gives
	asking map[string]bool
	stuck  map[string]string // by step: why its undo cannot
	found  map[string]string // by step: what its look finds; "away": it cannot look
	in     func(bot.Message)
	down   bool
	pages  bool
}

func (s *stage) Name() string    { return s.name }
func (s *stage) Network() string { return "irc" }
func (s *stage) Nick() string    { return "jarvis" }
func (s *stage) Rooms() []string {
	return map[string][]string{"test": {"#ops", "#night", "#one"}}[s.name]
}
func (s *stage) Run(ctx context.Context, in func(bot.Message)) error {
	s.mu.Lock()
	s.in = in
	s.mu.Unlock()
	<-ctx.Done()
	return nil
}
func (s *stage) Say(place string, lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range lines {
		s.said = append(s.said, s.mark(place)+l)
	}
}
func (s *stage) Deliver(_ context.Context, n bot.Notice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errors.New("the link is down")
	}
	s.said = append(s.said, s.mark(n.Place)+n.Line)
	return nil
}
func (s *stage) mark(place string) string {
	on := ""
	if s.name != "test" {
		on = " on " + s.name
	}
	switch {
	case !strings.HasPrefix(place, "#"):
		return "(to " + place + on + ") "
	case on != "" || place == "#night" || place == "#one":
		return "(" + place + on + ") "
	}
	return ""
}

func (s *stage) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.said
	s.said = nil
	return out
}

// adopt shows what it would take, as the providers' does.
func (s *stage) adopt() pipeline.Step {
	st := s.step("esx:adopt", time.Second, map[string]string{"provider_id": "vm-9"}, true)
	st.Plan = func(_ context.Context, c *clipboard.Clipboard) (string, error) {
		if id := c.Get("adopt_id"); id != "vm-9" {
			return "", fmt.Errorf("there is no machine %s on vcenter.example.org", id)
		}
		return "would adopt vm-9 (loki, made 2024-02-29 08:00:00 UTC), which is poweredOn, on vcenter.example.org", nil
	}
	return st
}

// step takes a while and then does what the script says.
func (s *stage) step(name string, d time.Duration, gives map[string]string, undo bool) pipeline.Step {
	st := pipeline.Step{Name: name, Doc: "plays " + name, Timeout: 10 * time.Minute, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		s.mu.Lock()
		msg, ask := s.broken[name], s.asking[name]
		delete(s.broken, name)
		delete(s.asking, name)
		s.mu.Unlock()
		switch {
		case ask:
			return pipeline.AskPerson(errors.New("it may have half happened"))
		case msg == "hostile":
			pipeline.Progress(ctx, hostile)
			return pipeline.Permanent(errors.New(hostile))
		case msg == "wait":
			return pipeline.Wait(time.Minute, "nothing on 203.0.113.5:22 yet")
		case msg != "":
			return pipeline.Permanent(errors.New(msg))
		}
		for k, v := range gives {
			if err := c.Set(k, v); err != nil {
				return err
			}
		}
		return nil
	}}
	for k := range gives {
		st.Gives = append(st.Gives, k)
	}
	if undo {
		st.Drift = func(context.Context, *clipboard.Clipboard) ([]pipeline.Difference, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch s.found[name] {
			case "":
				return nil, nil
			case "away":
				return nil, errors.New("nothing on 203.0.113.5:22")
			}
			return []pipeline.Difference{{What: "what " + name + " left", Want: "this", Have: s.found[name]}}, nil
		}
	}
	if undo {
		st.Undo = func(context.Context, *clipboard.Clipboard) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if why := s.stuck[name]; why != "" {
				return pipeline.Permanent(errors.New(why))
			}
			return nil
		}
	}
	return st
}

const ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO"

// hostile is what a host can print: it fills a reader's clipboard, clears his screen, turns and colours the line,
// writes over it, and holds bytes that are no UTF-8.
const hostile = "a\x1b]52;c;cm0gLXJmIC8=\x07b\u009b2Jc\u202ed\x02e\x0304,12f\rg\x00h M\xfcnchen"

// TestDialogues plays testdata/dialogue/*.txt in a bubble of its own time:
//
//	> nick text      somebody says something in #ops; "> nick@ text" in private, "> nick@other text" on another network;
//	                 a ⏎ ends a line within one message
//	~ 30s            time passes
//	! step error     the step fails so the next time; "wait": it waits a minute; "ask": it does not know; "hostile": it
//	                 says what drives terminals
//	! undo step why  the step's undo fails from now on
//	! down | up      the first chat network is away, and back
//	! pages          long answers can be put on a page
//	! found step x   a look finds x in place of what the step left; nothing: that it is as it was; "away": it cannot look
//	! clock          (anywhere in the script) hosts are looked at every two minutes
//	! notices [...]  (anywhere in the script) the routes of the configuration, as YAML; it is midnight at the start
//	! checks         (anywhere in the script) loki has the checks disk and load, and cannot be reached
//	! leaves NICK    he is no longer one of the people
//	! steps LIST     the pipeline of ESX is another from now on
//	! freeze WHEN    there is a freeze from now on, for the fair; "none": there is none
//	< reply          what the bot said; go test ./bot -update writes it
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/dialogue/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, dir, string(b)) })
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(b), got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestEveryVerbHasADialogue: what a verb answers in chat is read by somebody as text before it is released.
func TestEveryVerbHasADialogue(t *testing.T) {
	var all strings.Builder
	files, err := filepath.Glob("testdata/dialogue/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, v := range command.Verbs() {
		if !regexp.MustCompile(`(?m)^> \S+(@\S*| jarvis:) ` + v.Name + `( |$)`).MatchString(all.String()) {
			t.Errorf("nobody says %s: begin bot/testdata/dialogue/%s.txt with `> alice jarvis: %s`, and let go test ./bot -run TestDialogues -update write the answers", v.Name, v.Name, v.Example)
		}
	}
}

// documents are what some addresses have besides a plain host.
var documents = map[string]string{
	"own":      "instance:\n  hostname: own\nsteps: [keys:create]\n",
	"cloud":    "instance:\n  hostname: cloud\n  provider: my-cloud\nsteps: [keys:create]\n",
	"sp":       "instance:\n  hostname: sp\nsteps: [\"sp:deploy\"]\n",
	"nobody":   "instance:\n  hostname: nobody\n",
	"pair":     "cluster: pair\ninstances:\n- {hostname: pair1}\nsteps: [keys:create]\n",
	"farm":     "cluster: farm\ninstances:\n- {hostname: farm1, provider: ESX}\n- {hostname: farm2, provider: ESX}\n- {hostname: farm3, provider: ESX}\n- {hostname: farm4, provider: ESX}\n- {hostname: farm5, provider: ESX}\n",
	"team":     "cluster: team\non_failure: undo\ninstances:\n- {hostname: t1, provider: ESX}\n- {hostname: t2, provider: ESX}\n",
	"adopting": "instance:\n  hostname: adopting\n  provider: ESX\n  adopt_id: vm-9\nsteps: [\"sp:adopt\", keys:create]\n",
	"named":    "instance:\n  hostname: !secret Correct Horse Battery\n  provider: ESX\n",
	"short":    "instance:\n  hostname: short\n  provider: ESX\n  pw: !secret abc\n",
	"misspelt": "instance:\n  hostname: misspelt\n  provider: ESX\n  pw: !secert hunter22\n",
	"ls":       "# a\u2028b\ninstance:\n  hostname: ls\n  provider: ESX\n  pw: !secret hunter22\n",
	"cr":       "instance:\r  hostname: cr\r  provider: ESX\r  pw: !secret hunter22\r",
}

func play(t *testing.T, dir, script string) string {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{name: "test", broken: map[string]string{}, asking: map[string]bool{}, stuck: map[string]string{}, found: map[string]string{}}
	other := &stage{name: "other"}
	reg := pipeline.NewRegistry()
	reg.Name("esx", "ESX")
	reg.Add(s.step("keys:create", time.Second, nil, false), s.step("esx:deploy", 60*time.Second, map[string]string{"provider_id": "vm-7"}, true),
		s.step("esx:get_pub_ip", 5*time.Second, map[string]string{"ipaddress": "203.0.113.5"}, false), s.step("ssh:wait", 30*time.Second, map[string]string{"hostkeys": ed25519Key}, true),
		s.step("dns:update_host", 2*time.Second, nil, true), s.adopt())
	var looks pipeline.DriftConfig
	if strings.Contains(script, "! clock") {
		looks.Every = 2 * time.Minute
	}
	var table *command.Table
	e, err := pipeline.New(ctx, pipeline.Config{DB: db, Registry: reg, Key: key, Drift: looks, MayBegin: func(ctx context.Context, r pipeline.Run) (pipeline.Objection, error) {
		return table.MayBegin(ctx, r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	people := []access.PersonConfig{{Name: "alice", Chat: []access.Account{irc.Account("nick:alice")}, Roles: []string{"deploy"}}, {Name: "bob", Chat: []access.Account{irc.Account("nick:bob")}, Roles: []string{"view"}},
		{Name: "root", Chat: []access.Account{irc.Account("nick:root")}, Roles: []string{"admin"}}}
	acc, err := access.New(ctx, people, db)
	if err != nil {
		t.Fatal(err)
	}
	var defs model.Config
	if strings.Contains(script, "! checks") {
		defs.Hosts = []model.Host{{Name: "loki"}}
		defs.Tasks = []model.Task{{Name: "disk", Command: "check_disk"}, {Name: "load", Command: "check_load"}}
		defs.HostTasks = []model.HostTask{{Tasks: []string{"*"}, Hosts: []string{"loki"}}}
	}
	if strings.Contains(script, "! passive") {
		defs.Tasks = []model.Task{{Name: "backup", Passive: true, Fresh: 30 * time.Minute, Attempts: 1}, {Name: "disk", Command: "check_disk"}}
		defs.HostTasks = []model.HostTask{{Tasks: []string{"backup"}, Hosts: []string{"loki"}}}
		defs.Periods = []calendar.Def{{Name: "patchday", When: []string{"tuesday 2 22:00-24:00"}}}
		defs.Downtimes = []model.RecurringDowntime{{Name: "patches", Hosts: []string{"*"}, Period: "patchday", Because: "they restart"}}
	}
	monitor, err := checks.New(defs)
	if err != nil {
		t.Fatal(err)
	}
	err = monitor.Open(ctx, checks.World{DB: db, Engine: e, Target: func(context.Context, string) (remote.Target, error) {
		return remote.Target{}, errors.New("dial tcp 203.0.113.5:22: connection refused")
	}})
	if err != nil {
		t.Fatal(err)
	}
	table = command.NewTable(&command.Env{Name: "jarvis", Version: "v1", Engine: e, Checks: monitor, Access: acc, Approvals: command.Approvals{Expires: 10 * time.Minute},
		Pages:     func() string { return "https://jarvis.example.org" },
		Pipelines: map[string]map[string][]string{"deploy": {"esx": {"keys:create", "esx:deploy", "esx:get_pub_ip", "ssh:wait", "dns:update_host"}}},
		Fetch: func(_ context.Context, u string) ([]byte, error) {
			host := u[strings.LastIndexByte(u, '/')+1:]
			if host == "panics" {
				panic("boom")
			}
			if host == "bad" {
				return []byte("instance:\n  hostname: 'loki\n"), nil
			}
			if doc, ok := documents[host]; ok {
				return []byte(doc), nil
			}
			return fmt.Appendf(nil, "instance:\n  hostname: %s\n  fqdn: %s.websages.com\n  provider: ESX\n  token: !secret hunter22\n", host, host), nil
		},
		Exec: func(_ context.Context, _ pipeline.Standing, args []string, line func(string)) (remote.Result, error) {
			switch args[0] {
			case "panics":
				panic("boom")
			case "hostile":
				line(hostile)
				return remote.Result{}, errors.New(hostile)
			}
			line("you said " + remote.Quote(args...))
			return remote.Result{}, nil
		}})
	var routes bot.Routes
	if _, rest, ok := strings.Cut(script, "! notices "); ok {
		line, _, _ := strings.Cut(rest, "\n")
		if err := yaml.Unmarshal([]byte(line), &routes); err != nil {
			t.Fatal(err)
		}
	}
	b, err := bot.New(ctx, bot.Config{Name: "jarvis", Table: table, Engine: e, DB: db, Access: acc, Frontends: []bot.Frontend{s, other}, Checks: monitor, Routes: routes,
		Page: func(context.Context, []string) (string, error) {
			if !s.pages {
				return "", errors.New("no pages here")
			}
			return "https://jarvis.example.org/p/1", nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, f := range []func(context.Context) error{e.Run, b.Run, monitor.Run} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f(ctx); err != nil {
				t.Error(err)
			}
		}()
	}
	time.Sleep(time.Second)
	var out strings.Builder
	for _, l := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		if strings.HasPrefix(l, "< ") {
			continue
		}
		out.WriteString(l + "\n")
		cmd, rest, _ := strings.Cut(l, " ")
		switch cmd {
		case ">":
			nick, text, _ := strings.Cut(strings.ReplaceAll(rest, "⏎", "\n"), " ")
			m := bot.Message{Nick: nick, Place: "#ops", Text: text}
			from := s
			if n, network, ok := strings.Cut(nick, "@"); ok {
				m = bot.Message{Nick: n, Place: n, Private: true, Text: text}
				if network != "" {
					from = other
				}
			}
			from.mu.Lock()
			in := from.in
			from.mu.Unlock()
			in(m)
		case "~":
			d, err := time.ParseDuration(rest)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
		case "!":
			what, msg, _ := strings.Cut(rest, " ")
			s.mu.Lock()
			switch {
			case what == "down" || what == "up":
				s.down = what == "down"
			case what == "leaves":
				people = slices.DeleteFunc(people, func(p access.PersonConfig) bool { return p.Name == msg })
				if err := acc.SetPeople(people); err != nil {
					t.Fatal(err)
				}
			case what == "steps":
				table.Change(func(e *command.Env) { e.Pipelines["deploy"]["esx"] = strings.Fields(msg) })
			case what == "freeze":
				list := command.Freezes{{When: msg, Because: "the fair"}}
				if msg == "none" {
					list = nil
				}
				table.Change(func(e *command.Env) { e.Freeze = list })
			case what == "pages":
				s.pages = true
			case what == "undo":
				step, why, _ := strings.Cut(msg, " ")
				s.stuck[step] = why
			case what == "found":
				step, x, _ := strings.Cut(msg, " ")
				s.found[step] = x
			case msg == "ask":
				s.asking[what] = true
			default:
				s.broken[what] = msg
			}
			s.mu.Unlock()
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		for _, line := range append(s.take(), other.take()...) {
			out.WriteString("< " + steady(line) + "\n")
		}
	}
	cancel()
	wg.Wait()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	return out.String()
}

// steady takes out of a line what the speed of this machine decides.
func steady(l string) string {
	l = regexp.MustCompile(`\b\d+ms\b`).ReplaceAllString(l, "0s")
	l = regexp.MustCompile(`/login/\S{43}`).ReplaceAllString(l, "/login/SECRET")
	l = regexp.MustCompile(`under [0-9a-f]{8}\b`).ReplaceAllString(l, "under 00000000")
	return regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ([+-]\d\d:\d\d|UTC)`).ReplaceAllString(l, "2000-01-01 00:00:00 UTC")
}
