package main

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// ground is a way in on which attacks are tried.
type ground interface {
	way
	// inRoom and inPrivate have somebody say a text as it is, to nobody in particular or to the bot alone.
	inRoom(t *testing.T, who, text string)
	inPrivate(t *testing.T, who, text string)
	// told gives all that the bot said so far, in the room and to anybody in private.
	told() []string
	// up is what the log says when the bot is there again.
	up() string
}

var everybody = []string{"alice", "bob", "victor", "mallory"}

// lines gives those of a client that the bot said in the room and, by who asks, in private.
func linesBy(people func(name string) []string, room, private string) (out []string) {
	for _, who := range everybody {
		for _, l := range people(who) {
			if text, ok := after(l, room); ok {
				if who == "alice" { // all read the same there
					out = append(out, text)
				}
			} else if text, ok := after(l, strings.ReplaceAll(private, "WHO", who)); ok {
				out = append(out, "(to "+who+") "+text)
			}
		}
	}
	return out
}

// after gives what follows what a pattern finds at the begin of a line.
func after(line, pattern string) (string, bool) {
	loc := regexp.MustCompile(pattern).FindStringIndex(line)
	if loc == nil {
		return "", false
	}
	return line[loc[1]:], true
}

func (w *ircWay) inRoom(_ *testing.T, who, text string)    { w.people[who].Say("#ops", text) }
func (w *ircWay) inPrivate(_ *testing.T, who, text string) { w.people[who].Say("jarvis", text) }
func (w *ircWay) up() string                               { return "the irc link is up" }

func (w *ircWay) told() []string {
	return linesBy(func(n string) []string { return w.people[n].Lines() }, `^(@\S+ )?:jarvis!\S+ (PRIVMSG|NOTICE) #ops :`, `^(@\S+ )?:jarvis!\S+ (PRIVMSG|NOTICE) (?i:WHO) :?`)
}

const xmppBot, xmppRoom = "jarvis@" + real.XMPPDomain, "ops@" + real.XMPPRooms

func (w *xmppWay) inRoom(_ *testing.T, who, text string)    { w.people[who].Say(xmppRoom, text) }
func (w *xmppWay) inPrivate(_ *testing.T, who, text string) { w.people[who].Say(xmppBot, text) }
func (w *xmppWay) up() string                               { return "the xmpp link is up" }

func (w *xmppWay) told() []string {
	return linesBy(func(n string) []string { return w.people[n].Lines() }, `^`+xmppRoom+`/jarvis: `, `^`+xmppBot+`(/\S+)?: `)
}

// raw sends a message with more in it than a text.
func (w *xmppWay) raw(t *testing.T, who, to, kind, inner string) {
	t.Helper()
	if err := w.people[who].Raw(fmt.Sprintf("<message to='%s' type='%s' id='%s%d'>%s</message>", to, kind, who, time.Now().UnixNano(), inner)); err != nil {
		t.Error(err)
	}
}

func (w *matrixWay) inRoom(t *testing.T, who, text string) {
	must[string](t)(w.people[who].Say(t.Context(), w.room, text))
}

func (w *matrixWay) inPrivate(t *testing.T, who, text string) {
	must[string](t)(w.people[who].Say(t.Context(), w.directRoom(t, who), text))
}

// directRoom gives somebody's room with the bot.
func (w *matrixWay) directRoom(t *testing.T, who string) string {
	t.Helper()
	if w.direct == nil {
		w.direct = map[string]string{}
	}
	if w.direct[who] == "" {
		me := "@jarvis:" + real.MatrixServer
		w.direct[who] = must[string](t)(w.people[who].MakeRoom(t.Context(), "", true, me))
		if _, err := w.people[who].Wait(`^\* `+w.direct[who]+" "+me+" joined$", hearLimit); err != nil {
			t.Fatal(err)
		}
	}
	return w.direct[who]
}

func (w *matrixWay) up() string { return "the matrix link is up" }

func (w *matrixWay) told() []string {
	return linesBy(func(n string) []string { return w.people[n].Lines() }, `^`+regexp.QuoteMeta(w.room)+` @jarvis:\S+: `, `^![^ ]+ @jarvis:\S+: `)
}

func (w *slackWay) inRoom(_ *testing.T, who, text string) {
	w.s.Say(lab.Said{User: lab.SlackUser(who), Channel: "C0OPS", Text: text})
}

func (w *slackWay) inPrivate(_ *testing.T, who, text string) {
	w.s.Say(lab.Said{User: lab.SlackUser(who), Text: text})
}

func (w *slackWay) up() string { return "connected to slack" }

func (w *slackWay) told() (out []string) {
	for _, p := range w.s.Posts() {
		if p.User == lab.SlackBotUser {
			out = append(out, html.UnescapeString(p.Text))
		}
	}
	return out
}

func (w *consoleWay) inRoom(t *testing.T, who, text string)    { w.say(t, who, text) }
func (w *consoleWay) inPrivate(t *testing.T, who, text string) { w.say(t, who, text) }
func (w *consoleWay) up() string                               { return "" }

func (w *consoleWay) told() (out []string) {
	for _, l := range strings.Split(w.out.String(), "\n") {
		if text, ok := strings.CutPrefix(l, "jarvis> "); ok {
			out = append(out, text)
		}
	}
	return out
}

// news gives what was told beside what had been told before, whatever the order.
func news(g ground, before []string) (out []string) {
	had := map[string]int{}
	for _, l := range before {
		had[l]++
	}
	for _, l := range g.told() {
		if had[l]--; had[l] < 0 {
			out = append(out, l)
		}
	}
	return out
}

// settled has alice ask who she is, and gives what else the bot said since then: at least what want matches, when it is
// not "".
func settled(t *testing.T, g ground, before []string, want string) []string {
	t.Helper()
	const known = `you are alice\b`
	ask := time.Now()
	g.say(t, "alice", "whoami")
	re, me := regexp.MustCompile(want), regexp.MustCompile(known)
	var rest []string
	for end := time.Now().Add(real.Patience(30 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all := news(g, before)
		rest = slices.DeleteFunc(slices.Clone(all), me.MatchString)
		if len(rest) < len(all) && (want == "" || slices.ContainsFunc(rest, re.MatchString)) {
			return rest
		}
		if time.Since(ask) > 5*time.Second { // it may have been away
			ask = time.Now()
			g.say(t, "alice", "whoami")
		}
	}
	t.Errorf("alice has no answer, or nobody was told %q: %q", want, rest)
	return rest
}
