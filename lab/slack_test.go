package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	goslack "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/jarvisops/jarvis/lab"
)

func slackClient(t *testing.T, o lab.SlackOptions) (*lab.Slack, *goslack.Client) {
	t.Helper()
	s := lab.StartSlack(o)
	t.Cleanup(s.Close)
	return s, goslack.New(lab.SlackBotToken, goslack.OptionAppLevelToken(lab.SlackAppToken), goslack.OptionAPIURL(s.URL))
}

// TestSlackRefusesWhatSlackRefuses has the library's own client do what is wrong.
func TestSlackRefusesWhatSlackRefuses(t *testing.T) {
	s, api := slackClient(t, lab.SlackOptions{Scopes: []string{"chat:write", "channels:history"}})
	ctx := t.Context()
	post := func(token, channel, text string) error {
		_, _, err := goslack.New(token, goslack.OptionAPIURL(s.URL)).PostMessageContext(ctx, channel, goslack.MsgOptionText(text, false))
		return err
	}
	s.Archive("C0OTHER")
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a token that is none": {post("xoxb-guessed", "C0OPS", "x"), "invalid_auth"},
		"no token":             {post("", "C0OPS", "x"), "not_authed"},
		"the app's token":      {post(lab.SlackAppToken, "C0OPS", "x"), "not_allowed_token_type"},
		"no such channel":      {post(lab.SlackBotToken, "C0NONE", "x"), "channel_not_found"},
		"not in the channel":   {post(lab.SlackBotToken, "C0OTHER", "x"), "not_in_channel"},
		"no text":              {post(lab.SlackBotToken, "C0OPS", ""), "no_text"},
		"too long":             {post(lab.SlackBotToken, "C0OPS", strings.Repeat("x", 40_001)), "msg_too_long"},
		"a scope":              {func() error { _, err := api.GetUserInfoContext(ctx, "U0ALICE"); return err }(), "missing_scope"},
		"a kind of channel": {func() error {
			_, err := api.GetConversationHistoryContext(ctx, &goslack.GetConversationHistoryParameters{ChannelID: "G0VAULT"})
			return err
		}(), "missing_scope"},
		"somebody else's post": {func() error {
			ts := s.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "x"})
			_, _, _, err := api.UpdateMessageContext(ctx, "C0OPS", ts, goslack.MsgOptionText("y", false), goslack.MsgOptionParse(false))
			return err
		}(), "cant_update_message"},
		"the bot token opens no socket": {func() error {
			_, _, err := goslack.New(lab.SlackBotToken, goslack.OptionAppLevelToken(lab.SlackBotToken), goslack.OptionAPIURL(s.URL)).StartSocketModeContext(ctx)
			return err
		}(), "not_allowed_token_type"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, c.err, c.want)
		}
	}
	var limited *goslack.RateLimitedError
	n := 0
	for ; n < 10 && !errors.As(post(lab.SlackBotToken, "C0OPS", "x"), &limited); n++ {
	}
	if limited == nil || limited.RetryAfter != time.Second || n > 3 {
		t.Errorf("after %d posts: %v", n, limited)
	}
	if bad := s.Violations(); len(bad) > 0 {
		t.Errorf("%q", bad)
	}
	if _, err := api.GetTeamInfoContext(ctx); err == nil || err.Error() != "unknown_method" || len(s.Violations()) == 0 {
		t.Errorf("a method that we do not use: %v", err)
	}
}

// TestSlackSendsAsSlackDoes: a mention is two events of one ts, a lost ack brings an event again, our own posts come
// back.
func TestSlackSendsAsSlackDoes(t *testing.T) {
	s, api := slackClient(t, lab.SlackOptions{Ack: 300 * time.Millisecond, Retries: []time.Duration{0, 50 * time.Millisecond}})
	client := socketmode.New(api, socketmode.OptionLog(log.New(io.Discard, "", 0)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- client.RunContext(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	type seen struct {
		id, kind, ts, bot string
		retry             int
	}
	next := func() seen {
		t.Helper()
		for {
			select {
			case ev := <-client.Events:
				if ev.Type != socketmode.EventTypeEventsAPI {
					continue
				}
				var p struct {
					ID    string `json:"event_id"`
					Event struct {
						Type, TS string
						Bot      string `json:"bot_id"`
					}
				}
				if err := json.Unmarshal(ev.Request.Payload, &p); err != nil {
					t.Fatal(err)
				}
				if err := client.Ack(*ev.Request); err != nil {
					t.Fatal(err)
				}
				return seen{p.ID, p.Event.Type, p.Event.TS, p.Event.Bot, ev.Request.RetryAttempt}
			case <-time.After(10 * time.Second):
				t.Fatal("no event")
			}
		}
	}
	ts := s.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> hi"})
	a, b := next(), next()
	if kinds := []string{a.kind, b.kind}; a.id == b.id || a.ts != ts || b.ts != ts || !slices.Contains(kinds, "app_mention") || !slices.Contains(kinds, "message") {
		t.Errorf("a mention: %+v and %+v", a, b)
	}
	if err := s.Settled(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	s.LoseAcks(1)
	s.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "plain"})
	if a, b := next(), next(); a.id != b.id || a.retry != 0 || b.retry != 1 {
		t.Errorf("a lost ack: %+v and %+v", a, b)
	}
	_, ts, err := api.PostMessage("C0OPS", goslack.MsgOptionText("mine", false))
	if own := next(); err != nil || own.ts != ts || own.bot == "" {
		t.Errorf("my own: %+v, %v", own, err)
	}
	if err := s.Settled(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if bad := s.Violations(); len(bad) > 0 {
		t.Errorf("the library breaks rules: %q", bad)
	}
}

// TestSlackSeesWhatIsWrongOnASocket: acks that are none, late, or of another socket; and a ticket is good once.
func TestSlackSeesWhatIsWrongOnASocket(t *testing.T) {
	s, api := slackClient(t, lab.SlackOptions{Ack: 50 * time.Millisecond, Retries: []time.Duration{}})
	_, url, err := api.StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	if _, resp, err := websocket.DefaultDialer.Dial(url, nil); err == nil || resp == nil || resp.StatusCode != 401 {
		t.Errorf("a ticket twice: %v", err)
	}
	s.Say(lab.Said{User: "U0ALICE", Channel: "C0OPS", Text: "x"})
	var env struct {
		ID string `json:"envelope_id"`
	}
	for env.ID == "" {
		if err := ws.ReadJSON(&env); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Settled(10 * time.Second); err != nil { // given up
		t.Fatal(err)
	}
	for _, text := range []string{`{"envelope_id":"` + env.ID + `"}`, `{"envelope_id":"made up"}`, `nonsense`} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Until("three violations", 10*time.Second, func() bool { return len(s.Violations()) == 3 }); err != nil {
		t.Error(err)
	}
}
