package slack

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// spoken is what somebody said, or chose by a button.
type spoken struct {
	key       string // two that are equal are the same one
	channel   string
	user      string
	text      string
	at        string // when, by Slack's clock
	thread    string // "": in none
	corrected bool
	teams     []string // all the workspaces that it names
	// pressed is the button's post, when this is no message but the words of a button.
	pressed *pressed
}

type pressed struct{ ts, text string }

// message is that of an event (https://docs.slack.dev/reference/events/message) and of a history.
type message struct {
	Type       string `json:"type"`
	Subtype    string `json:"subtype"`
	Channel    string `json:"channel"`
	User       string `json:"user"`
	Text       string `json:"text"`
	TS         string `json:"ts"`
	ThreadTS   string `json:"thread_ts"`
	BotID      string `json:"bot_id"`
	Team       string `json:"team"`
	UserTeam   string `json:"user_team"`
	SourceTeam string `json:"source_team"`
	Edited     *struct {
		User string `json:"user"`
		TS   string `json:"ts"`
	} `json:"edited"`
	Message  *message `json:"message"`
	Previous *message `json:"previous_message"`
}

// readEvent reads the payload of an events_api envelope. ok is false for what nobody said to anybody: what bots post,
// who came and went, what was deleted, files.
func readEvent(payload []byte) (x spoken, ok bool) {
	var p struct {
		Type   string  `json:"type"`
		TeamID string  `json:"team_id"`
		Event  message `json:"event"`
	}
	if json.Unmarshal(payload, &p) != nil || p.Type != "event_callback" || p.Event.Type != "message" && p.Event.Type != "app_mention" {
		return spoken{}, false
	}
	return readMessage(p.Event, p.TeamID)
}

// readMessage reads one of an event or of a history; team is the workspace that it came by.
func readMessage(m message, team string) (x spoken, ok bool) {
	channel := m.Channel
	if m.Subtype == "message_changed" {
		// Slack sends it also when it shows what is behind a link: then nobody edited anything.
		if m.Message == nil || m.Message.Edited == nil || m.Message.Subtype == "message_changed" || m.Previous != nil && m.Previous.Text == m.Message.Text || m.Message.Edited.User != m.Message.User {
			return spoken{}, false
		}
		m = *m.Message
	}
	switch m.Subtype {
	case "", "thread_broadcast":
	default:
		return spoken{}, false
	}
	if m.BotID != "" || m.User == "" || channel == "" || m.TS == "" {
		return spoken{}, false
	}
	x = spoken{channel: channel, user: m.User, text: m.Text, at: m.TS, teams: named(team, m.Team, m.UserTeam, m.SourceTeam)}
	if m.ThreadTS != m.TS {
		x.thread = m.ThreadTS
	}
	x.key = channel + " " + m.TS
	if m.Edited != nil {
		x.corrected, x.at = true, m.Edited.TS
		x.key += " " + m.Edited.TS
	}
	return x, true
}

// readPress reads the payload of an interactive envelope: a press on a button of ours
// (https://docs.slack.dev/reference/interaction-payloads/block_actions-payload).
func readPress(payload []byte) (x spoken, ok bool) {
	var p struct {
		Type string `json:"type"`
		Team struct {
			ID string `json:"id"`
		} `json:"team"`
		User struct {
			ID     string `json:"id"`
			TeamID string `json:"team_id"`
		} `json:"user"`
		Channel struct {
			ID string `json:"id"`
		} `json:"channel"`
		Message message `json:"message"`
		Actions []struct {
			ActionID string `json:"action_id"`
			Value    string `json:"value"`
			At       string `json:"action_ts"`
		} `json:"actions"`
	}
	if json.Unmarshal(payload, &p) != nil || p.Type != "block_actions" || len(p.Actions) != 1 {
		return spoken{}, false
	}
	a := p.Actions[0]
	if !strings.HasPrefix(a.ActionID, actionPrefix) || a.Value == "" || a.At == "" || p.User.ID == "" || p.Channel.ID == "" || p.Message.TS == "" {
		return spoken{}, false
	}
	x = spoken{key: p.Channel.ID + " " + p.Message.TS + " " + a.At, channel: p.Channel.ID, user: p.User.ID, text: a.Value, at: a.At, thread: p.Message.ThreadTS,
		teams: named(p.Team.ID, p.User.TeamID), pressed: &pressed{p.Message.TS, p.Message.Text}}
	if x.thread == "" {
		x.thread = p.Message.TS
	}
	return x, true
}

// named gives those that are not empty.
func named(teams ...string) (out []string) {
	for _, t := range teams {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// stamp reads a ts: seconds since 1970, and what makes it unique. ok is false when it is not one.
func stamp(ts string) (at time.Time, ok bool) {
	secs, err := strconv.ParseFloat(ts, 64)
	if err != nil || math.IsNaN(secs) || secs <= 0 || secs > 1e11 {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(math.Round(secs * 1e6))), true
}

// asStamp writes a time as Slack does.
func asStamp(at time.Time) string {
	us := at.UnixMicro()
	return strconv.FormatInt(us/1e6, 10) + "." + strconv.FormatInt(us%1e6+1e6, 10)[1:]
}

// maxHeard is how many messages are remembered.
const maxHeard = 20_000

// heard knows what was heard. The zero heard knows nothing.
type heard struct {
	keys map[string]bool
	ring []string
	next int
}

// again reports whether something was heard before, and notes it.
func (h *heard) again(key string) bool {
	if h.keys == nil {
		h.keys = map[string]bool{}
	}
	if h.keys[key] {
		return true
	}
	h.keys[key] = true
	if len(h.ring) < maxHeard {
		h.ring = append(h.ring, key)
		return false
	}
	delete(h.keys, h.ring[h.next])
	h.ring[h.next] = key
	h.next = (h.next + 1) % maxHeard
	return false
}
