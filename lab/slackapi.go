package lab

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

type fields = map[string]any

// slackMethod is one of the Web API. A scope that depends on the kind of channel is written "*:history".
type slackMethod struct {
	scope string
	need  []string // arguments without which Slack refuses
	call  func(s *Slack, a map[string]string) fields
}

var slackMethods = map[string]slackMethod{
	"auth.test":             {"", nil, (*Slack).authTest},
	"apps.connections.open": {"", nil, (*Slack).open},
	"chat.postMessage":      {"chat:write", []string{"channel"}, (*Slack).postMessage},
	"chat.update":           {"chat:write", []string{"channel", "ts"}, (*Slack).update},
	"conversations.history": {"*:history", []string{"channel"}, (*Slack).history},
	"conversations.replies": {"*:history", []string{"channel", "ts"}, (*Slack).history},
	"conversations.open":    {"im:write", []string{"users"}, (*Slack).openDirect},
	"users.conversations":   {"channels:read", nil, (*Slack).list},
	"users.info":            {"users:read", []string{"user"}, (*Slack).user},
}

// no refuses with a code of Slack's; more are names and values of further fields, in turn.
func no(code string, more ...any) fields {
	f := fields{"ok": false, "error": code}
	for i := 0; i+1 < len(more); i += 2 {
		f[more[i].(string)] = more[i+1]
	}
	return f
}

// ServeHTTP is the Web API, and where sockets are opened.
func (s *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/link/") {
		s.link(w, r)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/api/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	args, wrong := slackArgs(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.touch()
	s.calls[name]++
	f := s.fault(name)
	switch {
	case f == nil || f.Lost:
	case f.RetryAfter > 0:
		limited(w, f.RetryAfter)
		return
	case f.Status > 0:
		http.Error(w, "upstream", f.Status)
		return
	default:
		answer(w, no(f.Error))
		return
	}
	out := wrong
	if out == nil {
		out = s.call(name, r, args)
	}
	if f != nil && f.Lost {
		panic(http.ErrAbortHandler)
	}
	if out["error"] == "ratelimited" {
		limited(w, 1)
		return
	}
	answer(w, out)
}

func answer(w http.ResponseWriter, f fields) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(f)
}

func limited(w http.ResponseWriter, seconds int) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = io.WriteString(w, `{"ok":false,"error":"ratelimited"}`)
}

// slackArgs reads the arguments: a form, or JSON with a charset.
func slackArgs(r *http.Request) (map[string]string, fields) {
	args := map[string]string{}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		var m map[string]any
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil && err != io.EOF {
			return nil, no("invalid_json")
		}
		for k, v := range m {
			if text, ok := v.(string); ok {
				args[k] = text
			} else {
				b, _ := json.Marshal(v)
				args[k] = string(b)
			}
		}
		return args, nil
	}
	if err := r.ParseForm(); err != nil {
		return nil, no("invalid_form_data")
	}
	for k := range r.Form {
		args[k] = r.Form.Get(k)
	}
	return args, nil
}

// call checks what Slack checks of every call, and does it.
func (s *Slack) call(name string, r *http.Request, args map[string]string) fields {
	m, known := slackMethods[name]
	if !known {
		s.bad("%s is no method that Jarvis asks a scope for", name)
		return no("unknown_method")
	}
	if r.Method != http.MethodPost {
		s.bad("%s by %s", name, r.Method)
	}
	if r.URL.Query().Has("token") {
		s.bad("%s: a token in the address", name)
	}
	s.host = r.Host // a proxy in between is in between of the socket, too
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		token = args["token"]
	}
	switch {
	case token == "":
		return no("not_authed")
	case token != SlackBotToken && token != SlackAppToken:
		return no("invalid_auth")
	case (name == "apps.connections.open") != (token == SlackAppToken):
		return no("not_allowed_token_type")
	}
	for _, k := range m.need {
		if args[k] == "" {
			return no("invalid_arguments", "response_metadata", fields{"messages": []string{"[ERROR] missing required field: " + k}})
		}
	}
	if scope := s.scope(m.scope, args["channel"]); scope != "" && !slices.Contains(s.Scopes, scope) {
		return no("missing_scope", "needed", scope, "provided", strings.Join(s.Scopes, ","))
	}
	return m.call(s, args)
}

// scope gives the right that a call needs: of "*:history" that for the channel's kind. "": there is no such channel.
func (s *Slack) scope(form, channel string) string {
	rest, any := strings.CutPrefix(form, "*")
	if !any {
		return form
	}
	if c := s.channels[channel]; c != nil {
		return map[string]string{"channel": "channels", "group": "groups", "im": "im"}[c.kind()] + rest
	}
	return ""
}

func (s *Slack) authTest(map[string]string) fields {
	return fields{"ok": true, "url": "https://lab.slack.com/", "team": "Lab", "user": "jarvis", "team_id": SlackTeam, "user_id": SlackBotUser, "bot_id": slackBotID}
}

// open gives out a ticket for one connection; an app has ten at most.
func (s *Slack) open(map[string]string) fields {
	if len(s.sockets) >= 10 {
		return no("too_many_websockets")
	}
	ticket := s.id("t")
	s.tickets[ticket] = true
	return fields{"ok": true, "url": "ws://" + s.host + "/link/?ticket=" + ticket}
}

// place gives the channel of a call that writes, or the refusal.
func (s *Slack) place(id string) (*slackChannel, fields) {
	c := s.channels[id]
	if c == nil && s.users[id] != nil {
		c = s.direct(id)
	}
	switch {
	case c == nil, c.kind() == "group" && !slices.Contains(c.members, SlackBotUser):
		return nil, no("channel_not_found")
	case !slices.Contains(c.members, SlackBotUser):
		return nil, no("not_in_channel")
	case c.archived:
		return nil, no("is_archived")
	}
	return c, nil
}

// postMessage also sends the post to the app as an event, as Slack does.
func (s *Slack) postMessage(a map[string]string) fields {
	c, refused := s.place(a["channel"])
	switch {
	case refused != nil:
		return refused
	case a["text"] == "" && a["blocks"] == "":
		return no("no_text")
	case utf8.RuneCountInString(a["text"]) > 40_000:
		return no("msg_too_long")
	case !json.Valid([]byte(a["blocks"])) && a["blocks"] != "":
		return no("invalid_blocks_format")
	case !s.paced(c.id):
		return no("ratelimited")
	}
	if t := a["thread_ts"]; t != "" && s.find(c.id, t) == nil {
		s.bad("thread_ts %s is of no message of %s", t, c.id)
	}
	p := &SlackPost{Channel: c.id, User: SlackBotUser, Bot: true, Text: a["text"], TS: s.ts(), Thread: a["thread_ts"], Blocks: a["blocks"], Metadata: a["metadata"],
		Mrkdwn: a["mrkdwn"] != "false", Unfurl: a["unfurl_links"] != "false" || a["unfurl_media"] != "false"}
	s.posts = append(s.posts, p)
	own := fields{"type": "message", "user": SlackBotUser, "bot_id": slackBotID, "app_id": slackAppID, "text": p.Text, "ts": p.TS, "team": SlackTeam}
	if p.Thread != "" {
		own["thread_ts"] = p.Thread
	}
	ev := maps.Clone(own) // an app gets its own posts back
	ev["channel"], ev["channel_type"], ev["event_ts"] = c.id, c.kind(), p.TS
	s.queue("events_api", ev)
	return fields{"ok": true, "channel": c.id, "ts": p.TS, "message": own}
}

func (s *Slack) find(channel, ts string) *SlackPost {
	for _, p := range s.posts {
		if p.Channel == channel && p.TS == ts {
			return p
		}
	}
	return nil
}

func (s *Slack) update(a map[string]string) fields {
	if _, refused := s.place(a["channel"]); refused != nil {
		return refused
	}
	if a["parse"] != "none" { // its default is "client", unlike that of chat.postMessage: @channel would call all
		s.bad("chat.update reads names out of the text")
	}
	p := s.find(a["channel"], a["ts"])
	switch {
	case p == nil:
		return no("message_not_found")
	case !p.Bot:
		return no("cant_update_message")
	case a["text"] == "" && a["blocks"] == "":
		return no("no_text")
	}
	p.Text, p.Blocks = a["text"], a["blocks"]
	if p.Blocks == "[]" {
		p.Blocks = ""
	}
	return fields{"ok": true, "channel": p.Channel, "ts": p.TS, "text": p.Text}
}

// history is that of a channel, newest first, or of a thread, oldest first.
func (s *Slack) history(a map[string]string) fields {
	c, refused := s.place(a["channel"])
	if refused != nil && refused["error"] != "is_archived" {
		return refused
	}
	if refused != nil {
		c = s.channels[a["channel"]]
	}
	oldest, thread := a["oldest"], a["ts"]
	out := []fields{}
	for _, p := range s.posts {
		if p.Channel != c.id || oldest != "" && p.TS <= oldest || thread != "" && p.TS != thread && p.Thread != thread || thread == "" && p.Thread != "" && p.Thread != p.TS {
			continue
		}
		m := fields{"type": "message", "user": p.User, "text": p.Text, "ts": p.TS, "team": s.users[p.User].team}
		if p.Thread != "" {
			m["thread_ts"] = p.Thread
		}
		if p.Bot {
			m["bot_id"], m["app_id"] = slackBotID, slackAppID
		}
		if p.Metadata != "" && a["include_all_metadata"] != "" && a["include_all_metadata"] != "0" {
			m["metadata"] = json.RawMessage(p.Metadata)
		}
		out = append(out, m)
	}
	if thread == "" {
		slices.Reverse(out)
	}
	limit, err := strconv.Atoi(a["limit"])
	if err != nil || limit <= 0 || limit > 999 {
		limit = 100
	}
	from, _ := strconv.Atoi(a["cursor"])
	out = out[min(from, len(out)):]
	next := ""
	if len(out) > limit {
		out, next = out[:limit], strconv.Itoa(from+limit)
	}
	return fields{"ok": true, "messages": out, "has_more": next != "", "response_metadata": fields{"next_cursor": next}}
}

func (s *Slack) openDirect(a map[string]string) fields {
	if s.users[a["users"]] == nil {
		return no("user_not_found")
	}
	return fields{"ok": true, "channel": fields{"id": s.direct(a["users"]).id}}
}

func (s *Slack) list(a map[string]string) fields {
	out := []fields{}
	for _, id := range slices.Sorted(maps.Keys(s.channels)) {
		c := s.channels[id]
		kind := map[string]string{"channel": "public_channel", "group": "private_channel", "im": "im"}[c.kind()]
		types := a["types"]
		if types == "" {
			types = "public_channel"
		}
		if slices.Contains(strings.Split(types, ","), kind) && slices.Contains(c.members, SlackBotUser) {
			out = append(out, fields{"id": c.id, "name": c.name, "is_channel": c.kind() == "channel", "is_private": c.kind() == "group", "is_archived": c.archived, "is_member": true})
		}
	}
	return fields{"ok": true, "channels": out, "response_metadata": fields{"next_cursor": ""}}
}

func (s *Slack) user(a map[string]string) fields {
	u := s.users[a["user"]]
	if u == nil {
		return no("user_not_found")
	}
	return fields{"ok": true, "user": fields{"id": u.id, "team_id": u.team, "name": u.name, "real_name": u.name, "deleted": u.deactivated, "is_bot": u.bot, "is_stranger": u.stranger, "updated": time.Now().Unix(), "profile": fields{"display_name": "The Boss"}}}
}
