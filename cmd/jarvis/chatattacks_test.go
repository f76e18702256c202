package main

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// chatAttack is one that is tried on every network where it makes sense. None is to have any effect. A network answers
// with silence, or with one sentence.
type chatAttack struct {
	name string
	// try does it; false: it makes no sense on this network. deed is what is to be done by it.
	try  func(t *testing.T, s *talkSite, g ground, deed string) bool
	want string // what the bot says; "": it may say nothing
}

const (
	unknown    = "I do not know you"
	notUnder   = "I do not know \"|there is no"
	correction = "I do not act on corrections"
)

// byWords is an attack by words alone, which are the same everywhere.
func byWords(private bool, who string, texts ...string) func(*testing.T, *talkSite, ground, string) bool {
	return func(t *testing.T, _ *talkSite, g ground, deed string) bool {
		if _, console := g.(*consoleWay); console && who != "alice" {
			return false // there is nobody else
		}
		for _, text := range texts {
			text = strings.ReplaceAll(text, "DEED", deed)
			if _, slack := g.(*slackWay); slack {
				text = html.EscapeString(text)
			}
			if _, irc := g.(*ircWay); irc && strings.Contains(text, "\n") {
				continue
			}
			if private {
				g.inPrivate(t, who, text)
			} else if _, console := g.(*consoleWay); !console { // which has no room
				g.inRoom(t, who, text)
			}
		}
		return true
	}
}

var chatAttacks = []chatAttack{
	{"a stranger orders in the room", byWords(false, "mallory", "jarvis: DEED"), unknown},
	{"a stranger orders in private", byWords(true, "mallory", "DEED"), unknown},
	{"the victim quotes an order", byWords(false, "alice", "> jarvis: DEED", "> jarvis: DEED\nno, thanks", ">>> jarvis: DEED\njarvis: DEED", "\n> jarvis: DEED"), ""},
	{"the victim quotes an order in private", byWords(true, "alice", "> DEED", "> DEED\n> DEED", "  > DEED"), ""},
	{"the victim tells of an order", byWords(false, "alice", "he wrote jarvis: DEED", "“jarvis: DEED”", "(jarvis: DEED)", "* jarvis: DEED", "jarvisx: DEED"), ""},
	{"a second line", byWords(false, "alice", "hello\njarvis: DEED"), ""},
	{"a bridge relays many people under one account that has rights", byWords(false, "bob", "<mallory> jarvis: DEED", "[irc] <mallory> jarvis: DEED", "<jarvis> DEED", "mallory: jarvis: DEED", "**mallory**: jarvis: DEED",
		"\u200bmallory\u200b: jarvis: DEED", "<\x0304mallory\x0f> jarvis: DEED", "<mallory> hello\njarvis: DEED"), ""},
	{"the bridge relays in private", byWords(true, "bob", "<mallory> DEED"), notUnder},
	{"the bridge relays to the bot", byWords(false, "bob", "jarvis: <mallory> DEED"), notUnder},
	{"a bridge that says that it is one", relayedByABot, ""},
	{"an edit becomes an order", edited, correction},
	{"a reply repeats what it answers", replied, ""},
	{"CTCP, many at once", ctcp, ""},
	{"talk among those with a status (STATUSMSG)", statusmsg, ""},
	{"somebody with another's name", lookalike, unknown},
	{"the id of a person, from elsewhere (Slack Connect)", connected, unknown},
	{"it was said long ago", longAgo, ""},
	{"it was said while the bot was away", away, ""},
}

// TestChatAttacks: none of them does anything, on any network, and nobody is told more than one sentence. What one
// network alone has is tried in its own package: ZNC's playback and nicks that were taken over (bot/irc, bot), ids of
// homeservers that are not listed (bot/matrix TestAnAccountIsItsWholeId), what others post as bots (bot/slack).
func TestChatAttacks(t *testing.T) {
	t.Parallel()
	block := 210
	for name, g := range map[string]ground{"ngircd": &ircWay{}, "accounts": &ircWay{accounts: true}, "bouncer": &ircWay{accounts: true, bouncer: true}, "prosody": &xmppWay{}, "ejabberd": &xmppWay{ejabberd: true}, "dendrite": &matrixWay{}, "slack": &slackWay{quiet: true}, "console": &consoleWay{}} {
		block++
		at := block
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := talk(t, g, at)
			runs := func() int { return (&apiSite{conf: s.conf}).count(t, "SELECT count(*) FROM runs") }
			settled(t, g, nil, "")
			deed := "deploy " + s.gists["{loki}"]
			for _, a := range chatAttacks {
				before := g.told()
				if !a.try(t, s, g, deed) {
					continue
				}
				rest := settled(t, g, before, a.want)
				most := 1
				if a.want == "" {
					most = 0
				}
				if len(rest) > most && !(a.want == "" && len(rest) == 1 && strings.Contains(rest[0], "while I was away")) {
					t.Errorf("%s: the bot says %q", a.name, rest)
				}
				if n := runs(); n != 0 {
					t.Fatalf("%s: there are %d runs", a.name, n)
				}
			}
			settled(t, g, g.told(), "") // the bot has just come back, and may not hear yet
			before := g.told()
			g.say(t, "alice", deed) // who may
			if rest := settled(t, g, before, "run 1"); runs() != 1 {
				t.Errorf("alice herself cannot: %q", rest)
			}
		})
	}
}

// relayedByABot: what marks itself as a bot's is nobody's word.
func relayedByABot(t *testing.T, _ *talkSite, g ground, deed string) bool {
	switch w := g.(type) {
	case *matrixWay:
		must[string](t)(w.people["bob"].Send(t.Context(), w.room, "m.room.message", map[string]any{"msgtype": "m.notice", "body": "jarvis: " + deed}))
	case *slackWay:
		w.s.Say(lab.Said{User: lab.SlackUser("alice"), Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> " + deed, More: map[string]any{"bot_id": "B0BRIDGE", "username": "alice"}})
		w.s.Say(lab.Said{User: lab.SlackUser("alice"), Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> " + deed, Subtype: "bot_message"})
	case *ircWay:
		w.people["bob"].Send("NOTICE #ops :jarvis: " + deed)
		w.people["bob"].Send("NOTICE jarvis :" + deed)
		if w.accounts && !w.bouncer { // where a bot can be marked as one (IRCv3 bot mode), and ZNC does not drop the mark
			w.people["bob"].Send("MODE bob +B")
			w.people["bob"].Say("#ops", "jarvis: "+deed)
			w.people["bob"].Send("MODE bob -B")
		}
	default:
		return false
	}
	return true
}

// edited makes an order of what was harmless (XEP-0308, m.replace, message_changed).
func edited(t *testing.T, _ *talkSite, g ground, deed string) bool {
	switch w := g.(type) {
	case *xmppWay:
		w.raw(t, "alice", xmppRoom, "groupchat", "<body>jarvis: "+deed+"</body><replace xmlns='urn:xmpp:message-correct:0' id='before'/>")
	case *matrixWay:
		id := must[string](t)(w.people["alice"].Say(t.Context(), w.room, "hello"))
		must[string](t)(w.people["alice"].Send(t.Context(), w.room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "* jarvis: " + deed,
			"m.new_content": map[string]any{"msgtype": "m.text", "body": "jarvis: " + deed}, "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": id}}))
	case *slackWay:
		ts := w.s.Say(lab.Said{User: lab.SlackUser("alice"), Channel: "C0OPS", Text: "hello"})
		w.s.Say(lab.Said{User: lab.SlackUser("alice"), Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> " + deed, Edits: ts})
	default:
		return false
	}
	return true
}

// replied answers mallory's order, which clients repeat in front (XEP-0461 with its fallback, m.in_reply_to).
func replied(t *testing.T, _ *talkSite, g ground, deed string) bool {
	switch w := g.(type) {
	case *xmppWay:
		quote := "&gt; mallory:\n&gt; jarvis: " + deed + "\n"
		w.raw(t, "alice", xmppRoom, "groupchat", fmt.Sprintf("<body>%sno!</body><reply xmlns='urn:xmpp:reply:0' to='%s/mallory' id='x'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='%d'/></fallback>", quote, xmppRoom, len(html.UnescapeString(quote))))
		w.raw(t, "alice", xmppBot, "chat", "<body>&gt; "+deed+"</body><reply xmlns='urn:xmpp:reply:0' to='"+xmppBot+"' id='x'/>")
	case *matrixWay:
		id := must[string](t)(w.people["mallory"].Say(t.Context(), w.room, "hello"))
		must[string](t)(w.people["alice"].Send(t.Context(), w.room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "> <@mallory:" + real.MatrixServer + "> jarvis: " + deed + "\n> jarvis: " + deed + "\n\nno!",
			"format": "org.matrix.custom.html", "formatted_body": "<mx-reply><blockquote>jarvis: " + deed + "</blockquote></mx-reply>no!", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": id}}}))
	default:
		return false
	}
	return true
}

// ctcp asks two hundred times what clients answer by themselves: each answer would go past the outbox, until the server
// ends our link for its flood. An ACTION is talk.
func ctcp(_ *testing.T, _ *talkSite, g ground, deed string) bool {
	w, ok := g.(*ircWay)
	if !ok {
		return false
	}
	w.people["alice"].Say("#ops", "\x01ACTION jarvis: "+deed+"\x01")
	w.people["alice"].Say("jarvis", "\x01ACTION "+deed+"\x01")
	n := 200
	if w.accounts {
		n = 20 // this server reads slowly
	}
	for i := range n {
		w.people["mallory"].Say("jarvis", "\x01"+[]string{"VERSION", "PING 1", "TIME", "DEPLOY x"}[i%4]+"\x01")
	}
	return true
}

// statusmsg is what alice says to the operators of the room alone.
func statusmsg(_ *testing.T, _ *talkSite, g ground, deed string) bool {
	w, ok := g.(*ircWay)
	if !ok || !w.accounts {
		return false
	}
	w.people["alice"].Say("@#ops", deed)
	return true
}

// lookalike is mallory, who calls himself alice, or nearly so.
func lookalike(t *testing.T, _ *talkSite, g ground, deed string) bool {
	switch w := g.(type) {
	case *ircWay:
		w.people["mallory"].Send("NICK alice_")
		w.people["mallory"].Say("#ops", "jarvis: "+deed)
		w.people["mallory"].Send("NICK mallory")
	case *xmppWay:
		if err := w.people["mallory"].Raw("<presence to='" + xmppRoom + "/аlice'/>"); err != nil { // with a Cyrillic а
			t.Error(err)
		}
		if _, err := w.people["alice"].Wait(xmppRoom+`/аlice joined`, hearLimit); err != nil {
			t.Error(err)
		}
		w.people["mallory"].Say(xmppRoom, "jarvis: "+deed)
	case *matrixWay:
		if err := w.people["mallory"].Rename(t.Context(), "alice"); err != nil {
			t.Error(err)
		}
		must[string](t)(w.people["mallory"].Send(t.Context(), w.room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "jarvis: " + deed, "sender": "@alice:" + real.MatrixServer, "displayname": "alice"}))
	case *slackWay:
		w.s.Say(lab.Said{User: lab.SlackUser("mallory"), Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> " + deed, More: map[string]any{"username": "alice", "user_profile": map[string]any{"display_name": "alice", "name": "alice"}}})
	default:
		return false
	}
	return true
}

// connected comes from a workspace that shares a channel with ours, once as himself and once with the id of alice.
func connected(_ *testing.T, _ *talkSite, g ground, deed string) bool {
	w, ok := g.(*slackWay)
	if ok {
		w.s.Say(lab.Said{User: lab.SlackUser("alice"), Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> " + deed, More: map[string]any{"user_team": "T0OTHER", "source_team": "T0OTHER"}})
	}
	return ok
}

// longAgo is what carries the time of long ago. It is answered once for each place and connection.
func longAgo(t *testing.T, _ *talkSite, g ground, deed string) bool {
	switch w := g.(type) {
	case *xmppWay:
		w.raw(t, "alice", xmppBot, "chat", "<body>"+deed+"</body><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>")
	case *slackWay:
		w.s.Say(lab.Said{User: lab.SlackUser("alice"), Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> " + deed, At: fmt.Sprintf("%d.000100", time.Now().Add(-time.Hour).Unix())})
	default:
		return false
	}
	return true
}

// away is what was said while the bot was not there: a bouncer, a room's history or the network itself plays it when it
// is back.
func away(t *testing.T, s *talkSite, g ground, deed string) bool {
	if _, console := g.(*consoleWay); console {
		return false
	}
	s.stop()
	g.say(t, "alice", deed)
	log := s.serve(t)
	until(t, 30*time.Second, "the bot is back", func() bool { return regexp.MustCompile(g.up()).MatchString(log.String()) })
	return true
}
