package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/console"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// way is one way in.
type way interface {
	// config is what jarvis.yaml says about it.
	config() string
	// open brings the people in, when the server runs.
	open(t *testing.T, s *talkSite)
	say(t *testing.T, who, text string)
	// hear waits for a line that somebody is told, behind the last one; a notice comes by itself.
	hear(t *testing.T, who, pattern string, notice bool)
}

// talkSite is a world with a server.
type talkSite struct {
	world *lab.World
	conf  string
	dir   string
	gists map[string]string // by name, as URLs
}

// TestTheSameTalkByEveryWay plays the same transcripts over a plain IRC server, one with accounts, ZNC before it, Jabber, Matrix, Slack, the console
// and the command line with tokens: the same words, and the same effects.
func TestTheSameTalkByEveryWay(t *testing.T) {
	block := 90
	for name, w := range map[string]way{"ngircd": &ircWay{}, "accounts": &ircWay{accounts: true}, "bouncer": &ircWay{accounts: true, bouncer: true}, "prosody": &xmppWay{}, "ejabberd": &xmppWay{ejabberd: true}, "dendrite": &matrixWay{}, "slack": &slackWay{}, "console": &consoleWay{}, "tokens": &tokenWay{}} {
		block++
		at := block
		t.Run(name, func(t *testing.T) {
			if name != "tokens" { // which come in the environment
				t.Parallel()
			}
			s := talk(t, w, at)
			play(t, s, w, "talk.txt")
			want := []string{"loki"}
			if name != "console" {
				play(t, s, w, "people.txt")
			}
			if got := s.world.VSphere.Machines(); !slices.Equal(got, want) {
				t.Errorf("machines are %v, want %v", got, want)
			}
			for host, there := range map[string]bool{"loki": true, "thor": false, "odin": false} {
				if got := len(s.world.DNS.Lookup(host+".websages.com", 1)) > 0; got != there {
					t.Errorf("%s in DNS: %v", host, got)
				}
			}
		})
	}
}

// talk starts a world and a server with one way in.
func talk(t *testing.T, w way, block int) *talkSite {
	t.Helper()
	s := &talkSite{dir: t.TempDir(), gists: map[string]string{}}
	s.world = must[*lab.World](t)(lab.Start(t.Context(), lab.Options{Block: block, Port: must[int](t)(freePort())}))
	t.Cleanup(s.world.Stop)
	bodies := map[string]string{
		"/loki": lab.Clipboard("loki"), "/odin": lab.Clipboard("odin"),
		"/thor": lab.Clipboard("thor") + "  commands: [\"exit 3\"]\nsteps: [keys:create, esx:deploy, esx:get_pub_ip, ssh:wait, ssh:run]\n",
	}
	gist := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, bodies[r.URL.Path]) }))
	t.Cleanup(gist.Close)
	for path := range bodies {
		s.gists["{"+path[1:]+"}"] = gist.URL + path
	}
	s.conf = filepath.Join(s.dir, "jarvis.yaml")
	own := w.config()
	text := s.world.Config(filepath.Join(s.dir, "data"), fmt.Sprintf("sources: {urls: [%q]}\n", gist.URL+"/")) + own
	text = strings.Replace(text, "approvals: {off: true}\n", "", 1)
	if strings.Contains(own, "\nlisten:") {
		text = strings.Replace(text, "listen: \"\"\n", "", 1)
	}
	if err := os.WriteFile(s.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.open(t, s)
	return s
}

func play(t *testing.T, s *talkSite, w way, file string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "transcript", file))
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; sc.Scan(); n++ {
		kind, rest, _ := strings.Cut(sc.Text(), " ")
		who, text, _ := strings.Cut(rest, " ")
		for name, url := range s.gists {
			text = strings.ReplaceAll(text, name, url)
		}
		switch kind {
		case ">":
			w.say(t, who, text)
		case "<", "!":
			w.hear(t, who, text, kind == "!")
		}
		if t.Failed() {
			t.Fatalf("at %s:%d", file, n)
		}
	}
}

const hearLimit = 60 * time.Second

// ircWay is a channel on an IRC server, plain or with services accounts.
type ircWay struct {
	accounts bool
	bouncer  bool // ZNC stands between the bot and the server
	addr     string
	chat     string
	people   map[string]*real.IRCClient
	register func(c *real.IRCClient, password string) error
	stop     func()
}

func (w *ircWay) config() string {
	prefix := "nick:"
	if w.accounts {
		s, err := real.StartAccountIRCd(context.Background())
		if err != nil {
			panic(err)
		}
		w.addr, w.register, w.stop, prefix = s.Addr, s.Register, s.Stop, ""
		owner, err := real.DialIRC(context.Background(), s.Addr, "jarvis")
		if err == nil {
			err = s.Register(owner, "sekrit123")
		}
		if err != nil {
			panic(err)
		}
		owner.Close()
		w.chat = fmt.Sprintf("server: %q, tls: true, ca: %q, sasl: {user: jarvis, password: sekrit123}", s.TLS, s.CA)
		if w.bouncer {
			w.bounce()
		}
	} else {
		s, err := real.StartIRCd()
		if err != nil {
			panic(err)
		}
		w.addr, w.stop = s.Addr, s.Stop
		w.chat = fmt.Sprintf("server: %q, tls: true, ca: %q", s.TLS, s.CA)
	}
	return fmt.Sprintf(`chat:
  - irc: {%s, nick: jarvis, channels: ["#ops"], rate: {burst: 50, interval: 20ms}}
people:
  - {name: alice, irc: "%[2]salice", roles: [deploy, run]}
  - {name: bob, irc: "%[2]sbob", roles: [deploy]}
  - {name: victor, irc: "%[2]svictor", roles: [view]}
`, w.chat, prefix)
}

// bounce has the bot come by ZNC, which offers it no account-tag.
func (w *ircWay) bounce() {
	watch, err := real.DialIRC(context.Background(), w.addr, "watch", "#ops")
	if err != nil {
		panic(err)
	}
	defer watch.Close()
	z, err := real.StartZNC(w.addr, watch)
	if err != nil {
		panic(err)
	}
	stop := w.stop
	w.stop = func() { z.Stop(); stop() }
	w.chat = fmt.Sprintf("server: %q, password: %q", z.Addr, z.Password)
}

func (w *ircWay) open(t *testing.T, s *talkSite) {
	t.Cleanup(w.stop)
	serveInProcess(t, s.conf)
	w.people = map[string]*real.IRCClient{}
	for _, name := range []string{"alice", "bob", "victor", "mallory"} {
		c := must[*real.IRCClient](t)(real.DialIRC(t.Context(), w.addr, name, "#ops"))
		t.Cleanup(c.Close)
		w.people[name] = c
		if w.register != nil && name != "mallory" {
			if err := w.register(c, "sekrit-"+name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := w.people["alice"].Wait(`jarvis.* JOIN|353 .*jarvis`, 30*time.Second); err != nil {
		t.Fatal(err)
	}
}

func (w *ircWay) say(_ *testing.T, who, text string) { w.people[who].Say("#ops", "jarvis: "+text) }

func (w *ircWay) hear(t *testing.T, who, pattern string, _ bool) {
	t.Helper()
	if _, err := w.people[who].Next(`^:jarvis!\S+ PRIVMSG #ops :`+who+": "+pattern+"$", hearLimit); err != nil {
		t.Error(err)
	}
}

// xmppWay is a room on a Jabber server.
type xmppWay struct {
	ejabberd bool // and not Prosody
	s        interface {
		Reach() real.XMPPServer
		Stop()
	}
	people map[string]*real.XMPPClient
}

func (w *xmppWay) config() string {
	names := []string{"jarvis", "alice", "bob", "victor", "mallory"}
	var err error
	if w.ejabberd {
		w.s, err = real.StartEjabberd(names...)
	} else {
		w.s, err = real.StartProsody(names...)
	}
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`chat:
  - xmpp: {server: %q, ca: %q, jid: jarvis@%[3]s, password: pw-jarvis, rooms: ["ops@%[4]s"]}
people:
  - {name: alice, xmpp: alice@%[3]s, roles: [deploy, run]}
  - {name: bob, xmpp: bob@%[3]s, roles: [deploy]}
  - {name: victor, xmpp: Victor@%[3]s, roles: [view]}
`, w.s.Reach().Addr, w.s.Reach().CA, real.XMPPDomain, real.XMPPRooms)
}

func (w *xmppWay) open(t *testing.T, s *talkSite) {
	t.Cleanup(w.s.Stop)
	_, log := serveInProcess(t, s.conf)
	for range 500 {
		if strings.Contains(log.String(), "made a room") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.people = map[string]*real.XMPPClient{}
	for _, name := range []string{"alice", "bob", "victor", "mallory"} {
		c := must[*real.XMPPClient](t)(real.DialXMPP(t.Context(), w.s, name, "ops@"+real.XMPPRooms))
		t.Cleanup(c.Close)
		w.people[name] = c
	}
}

func (w *xmppWay) say(_ *testing.T, who, text string) {
	w.people[who].Say("ops@"+real.XMPPRooms, "jarvis: "+text)
}

func (w *xmppWay) hear(t *testing.T, who, pattern string, _ bool) {
	t.Helper()
	if _, err := w.people[who].Next(`^ops@\S+/jarvis: `+who+": "+pattern+"$", hearLimit); err != nil {
		t.Error(err)
	}
}

// matrixWay is a room on a Matrix homeserver.
type matrixWay struct {
	s      *real.Dendrite
	people map[string]*real.MatrixClient
	room   string
}

func (w *matrixWay) config() string {
	s, err := real.StartDendrite(real.DendriteOptions{}, "jarvis", "alice", "bob", "victor", "mallory")
	if err != nil {
		panic(err)
	}
	w.s = s
	return fmt.Sprintf(`chat:
  - matrix: {homeserver: %q, ca: %q, user: "@jarvis:%[3]s", password: pw-jarvis-lab, rooms: ["#ops:%[3]s"]}
people:
  - {name: alice, matrix: "@alice:%[3]s", roles: [deploy, run]}
  - {name: bob, matrix: "@bob:%[3]s", roles: [deploy]}
  - {name: victor, matrix: "@victor:%[3]s", roles: [view]}
`, w.s.URL, w.s.CA, real.MatrixServer)
}

func (w *matrixWay) open(t *testing.T, s *talkSite) {
	t.Cleanup(w.s.Stop)
	w.people = map[string]*real.MatrixClient{}
	for _, name := range []string{"alice", "bob", "victor", "mallory"} {
		c := must[*real.MatrixClient](t)(real.DialMatrix(t.Context(), w.s, name))
		t.Cleanup(c.Close)
		w.people[name] = c
		if name == "alice" {
			w.room = must[string](t)(c.MakeRoom(t.Context(), "ops", false))
		} else {
			must[string](t)(c.Join(t.Context(), w.room))
		}
	}
	_, log := serveInProcess(t, s.conf)
	for end := time.Now().Add(hearLimit); !strings.Contains(log.String(), "the matrix link is up"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(log)
		}
	}
}

func (w *matrixWay) say(t *testing.T, who, text string) {
	if _, err := w.people[who].Say(t.Context(), w.room, "jarvis: "+text); err != nil {
		t.Error(err)
	}
}

func (w *matrixWay) hear(t *testing.T, who, pattern string, _ bool) {
	t.Helper()
	if _, err := w.people[who].Next(`^\S+ @jarvis:\S+: `+who+": "+pattern+"$", hearLimit); err != nil {
		t.Fatal(err)
	}
}

// slackWay is a channel on Slack. What can be said by a button is said by it.
type slackWay struct {
	s  *lab.Slack
	at map[string]int // how many posts each has read
}

func (w *slackWay) config() string {
	w.s, w.at = lab.StartSlack(lab.SlackOptions{PostEvery: 20 * time.Millisecond, Burst: 50}), map[string]int{}
	return fmt.Sprintf(`chat:
  - slack: {app_token: %s, bot_token: %s, channels: ["#ops"], url: %q, rate: {burst: 50, interval: 20ms}}
people:
  - {name: alice, slack: U0ALICE, roles: [deploy, run]}
  - {name: bob, slack: U0BOB, roles: [deploy]}
  - {name: victor, slack: U0VICTOR, roles: [view]}
`, lab.SlackAppToken, lab.SlackBotToken, w.s.URL)
}

func (w *slackWay) open(t *testing.T, s *talkSite) {
	t.Cleanup(w.s.Close)
	t.Cleanup(func() {
		pressed := 0
		for _, p := range w.s.Posts() {
			if len(p.Buttons()) > 0 {
				t.Errorf("buttons that nothing waits for: %+v", p)
			}
			if strings.Contains(p.Text, "It waits for a second person") {
				pressed++
			}
		}
		if bad := w.s.Violations(); len(bad) > 0 || w.s.Calls("chat.update") != pressed || pressed == 0 {
			t.Errorf("it broke rules: %q; %d lines had buttons, and lost them %d times", bad, pressed, w.s.Calls("chat.update"))
		}
	})
	_, log := serveInProcess(t, s.conf)
	if err := w.s.Connected(1, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "connected to slack") && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

func (w *slackWay) say(t *testing.T, who, text string) {
	for _, p := range w.s.Posts() {
		if slices.Contains(p.Buttons(), text) {
			if err := w.s.Press(lab.SlackUser(who), p, text); err != nil {
				t.Error(err)
			}
			return
		}
	}
	w.s.Say(lab.Said{User: lab.SlackUser(who), Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> " + html.EscapeString(text)})
}

func (w *slackWay) hear(t *testing.T, who, pattern string, _ bool) {
	t.Helper()
	re := regexp.MustCompile("^" + who + ": " + pattern + "$")
	err := w.s.Until(pattern, hearLimit, func() bool {
		posts := w.s.Posts()
		for i := w.at[who]; i < len(posts); i++ {
			if re.MatchString(html.UnescapeString(posts[i].Text)) {
				w.at[who] = i + 1
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Error(err)
	}
}

// consoleWay is the demo's prompt: one person, who may do everything.
type consoleWay struct {
	in  io.Writer
	out *real.Buffer
	at  int
}

func (w *consoleWay) config() string { return "" }

func (w *consoleWay) open(t *testing.T, s *talkSite) {
	r, wr := io.Pipe()
	w.in, w.out = wr, &real.Buffer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runConsole(ctx, s.conf, "alice", r, w.out) }()
	t.Cleanup(func() {
		_ = wr.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the console does not end with its input")
		}
		cancel()
	})
}

func (w *consoleWay) say(t *testing.T, _, text string) {
	if _, err := fmt.Fprintln(w.in, text); err != nil {
		t.Error(err)
	}
}

func (w *consoleWay) hear(t *testing.T, _, pattern string, _ bool) {
	t.Helper()
	re := regexp.MustCompile(`(?m)^(?:jarvis> )?(?:alice: )?` + pattern + `$`)
	for end := time.Now().Add(hearLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if loc := re.FindStringIndex(w.out.String()[w.at:]); loc != nil {
			w.at += loc[1]
			return
		}
	}
	t.Errorf("the console shows no %s behind:\n%s", pattern, w.out.String()[w.at:])
}

// tokenWay is the command line of people elsewhere, each with a token.
type tokenWay struct {
	url    string
	tokens map[string]string
	last   map[string]string // what each was told
}

func (w *tokenWay) config() string {
	return `
listen: 127.0.0.1:0
people:
  - {name: alice, roles: [deploy, run]}
  - {name: bob, roles: [deploy]}
  - {name: victor, roles: [view]}
  - {name: mallory, roles: []}
`
}

func (w *tokenWay) open(t *testing.T, s *talkSite) {
	_, log := serveInProcess(t, s.conf)
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatal(log)
	}
	w.url, w.tokens, w.last = "http://"+m[1], map[string]string{}, map[string]string{}
	for _, name := range []string{"alice", "bob", "victor"} {
		code, out, errs := jarvis(t, "", "--config", s.conf, "token", "new", "test", "for", name)
		if code != 0 {
			t.Fatal(errs)
		}
		w.tokens[name] = strings.Fields(out)[0]
	}
}

func (w *tokenWay) say(t *testing.T, who, text string) {
	if who == "mallory" {
		w.tokens[who] = "jarvis_guessed"
		text = "whoami"
	}
	t.Setenv("JARVIS_TOKEN", w.tokens[who])
	args := append([]string{"--server", w.url}, strings.Fields(text)...)
	_, out, errs := jarvis(t, "", append(args, noWait(text)...)...)
	w.last[who] = out + strings.TrimPrefix(errs, "jarvis: ")
}

// noWait is for what would wait for a run: in chat nobody waits.
func noWait(text string) []string {
	verb, _, _ := strings.Cut(text, " ")
	if slices.Contains([]string{"deploy", "destroy", "redeploy", "retry", "undo", "cancel", "approve", "deny"}, verb) {
		return []string{"--no-wait"}
	}
	return nil
}

func (w *tokenWay) hear(t *testing.T, who, pattern string, notice bool) {
	t.Helper()
	if notice { // nobody is told; he asks
		host, _, _ := strings.Cut(strings.TrimSuffix(pattern, ":"), " ")
		host = strings.TrimSuffix(host, ":")
		for end := time.Now().Add(hearLimit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if w.say(t, who, "status "+host); !strings.Contains(w.last[who], ": stage ") && !strings.Contains(w.last[who], "being undone") {
				return
			}
		}
		t.Errorf("%s does not come to rest: %s", host, w.last[who])
		return
	}
	if who == "mallory" { // nobody gets so far without a token
		pattern = "this token is not known here; .*"
	}
	re := regexp.MustCompile("(?m)^" + strings.TrimSuffix(pattern, `\.`) + `\.?$`)
	if !re.MatchString(w.last[who]) {
		t.Errorf("%s was told %q, want %s", who, w.last[who], pattern)
	}
}

// runConsole is a server whose one frontend is a console.
func runConsole(ctx context.Context, confFile, user string, in io.Reader, out io.Writer) error {
	conf, err := config.Load(confFile)
	if err != nil {
		return err
	}
	a, err := newApp(ctx, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer a.close()
	return a.serve(ctx, []bot.Frontend{&console.Frontend{In: in, Out: out, Bot: conf.Name, User: user}}, nil)
}
