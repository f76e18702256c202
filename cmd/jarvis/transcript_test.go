package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
	// hear waits for a line that somebody is told, after the last one; a notice comes by itself.
	hear(t *testing.T, who, pattern string, notice bool)
}

// namedWay is a way, and the network of the configuration that it is: "" for none.
type namedWay struct {
	name, network string
	way           way
}

// ways lists all: each stands in a file of its own.
func ways() []namedWay {
	return []namedWay{
		{"ngircd", "irc", &ircWay{}},
		{"accounts", "irc", &ircWay{accounts: true}},
		{"bouncer", "irc", &ircWay{accounts: true, bouncer: true}},
		{"prosody", "xmpp", &xmppWay{}},
		{"ejabberd", "xmpp", &xmppWay{ejabberd: true}},
		{"dendrite", "matrix", &matrixWay{}},
		{"slack", "slack", &slackWay{}},
		{"console", "", &consoleWay{}},
		{"tokens", "", &tokenWay{}},
	}
}

// talkSite is a world with a server.
type talkSite struct {
	world *lab.World
	conf  string
	dir   string
	gists map[string]string // by name, as URLs
	stop  func()
}

// serve starts the server, and gives its log.
func (s *talkSite) serve(t *testing.T) (log *real.Buffer) {
	t.Helper()
	s.stop, log = serveInProcess(t, s.conf)
	return log
}

// TestTheSameTalkByEveryWay plays the same transcripts over a plain IRC server, one with accounts, ZNC before it,
// Jabber, Matrix, Slack, the console and the command line with tokens: the same words, and the same effects.
func TestTheSameTalkByEveryWay(t *testing.T) {
	for _, n := range config.Networks() {
		if !slices.ContainsFunc(ways(), func(w namedWay) bool { return w.network == n }) {
			t.Errorf("nobody talks by %s here: give it a line in ways, and a way in transcript_%s_test.go, like that in transcript_slack_test.go", n, n)
		}
	}
	for i, w := range ways() {
		name, w, at := w.name, w.way, 91+i
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
