package matrix

import (
	"encoding/json"
	"strings"
)

// said is what we read of the content of a m.room.message
// (https://spec.matrix.org/v1.11/client-server-api/#mroommessage).
type said struct {
	text      string
	corrected bool
	thread    string // the event that it began with
}

type content struct {
	Type    string   `json:"msgtype"`
	Body    string   `json:"body"`
	New     *content `json:"m.new_content"`
	Relates *struct {
		Type  string `json:"rel_type"`
		ID    string `json:"event_id"`
		Reply *struct {
			ID string `json:"event_id"`
		} `json:"m.in_reply_to"`
	} `json:"m.relates_to"`
}

// read gives what somebody said; ok is false for what is not meant as speech: notices, which are of bots (§11.2.1.4),
// pictures, and what cannot be read.
func read(raw []byte) (out said, ok bool) {
	var c content
	if json.Unmarshal(raw, &c) != nil || c.Type != "m.text" {
		return said{}, false
	}
	out.text = c.Body
	if c.New != nil || c.Relates != nil && c.Relates.Type == "m.replace" { // an edit; its own body is a fallback for who does not know edits
		if c.New == nil || c.New.Type != "m.text" {
			return said{}, false
		}
		out.text, out.corrected = c.New.Body, true
	}
	if r := c.Relates; r != nil {
		if r.Type == "m.thread" && threadID(r.ID) {
			out.thread = r.ID
		}
		if r.Reply != nil {
			out.text = withoutQuote(out.text)
		}
	}
	return out, strings.TrimSpace(out.text) != ""
}

// threadID reports whether an event id can be a part of a place.
func threadID(id string) bool {
	return len(id) > 1 && len(id) <= 255 && id[0] == '$' && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// withoutQuote cuts off the lines that older clients quote in front of a reply, so that our name is found after them.
func withoutQuote(text string) string {
	if !strings.HasPrefix(text, "> ") {
		return text
	}
	for strings.HasPrefix(text, ">") {
		_, rest, more := strings.Cut(text, "\n")
		if !more {
			return ""
		}
		text = rest
	}
	return strings.TrimLeft(text, "\r\n")
}

// named has a text that begins with our full id or our display name, as mentions do, begin with our nick instead: the
// bot would take the id's server for a word.
func (f *Frontend) named(text string) string {
	t := strings.TrimLeft(text, " \t")
	for _, name := range []string{f.cfg.User, strings.TrimPrefix(f.cfg.User, "@")} {
		rest, ok := strings.CutPrefix(t, name)
		if ok && (rest == "" || strings.ContainsAny(rest[:1], " \t:,")) {
			return f.Nick() + ": " + strings.TrimLeft(rest, " \t:,")
		}
	}
	if shown, _ := f.shown.Load().(string); shown != "" {
		if rest, ok := strings.CutPrefix(t, shown); ok && rest != "" && strings.ContainsAny(rest[:1], ":,") {
			return f.Nick() + ": " + strings.TrimLeft(rest, " \t:,")
		}
	}
	return text
}

// nick gives what somebody is called: short on our own server, in full elsewhere, so that nobody looks like one of
// ours.
func (f *Frontend) nick(sender string) string {
	local, server, _ := strings.Cut(strings.TrimPrefix(sender, "@"), ":")
	if server == f.me.Homeserver() {
		return local
	}
	return sender
}
