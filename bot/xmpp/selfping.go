package xmpp

import (
	"encoding/xml"
	"time"

	"mellium.im/xmlstream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/ping"
	"mellium.im/xmpp/stanza"
)

// A room that is started again, or that a split between servers cut off, has forgotten us and tells nobody: we would
// hear nothing more in it, for ever. So each is asked now and then whether we are in it, by a ping to ourselves through
// it (XEP-0410).

// askWhetherIn pings ourselves in each room whose turn it is.
func (s *session) askWhetherIn() error {
	s.mu.Lock()
	var to []jid.JID
	for _, r := range s.rooms {
		if !r.joined {
			r.asked = time.Now() // the joining itself tells
			continue
		}
		if time.Since(r.asked) < s.f.cfg.SelfPing {
			continue
		}
		r.asked = time.Now()
		if at, err := r.addr.WithResource(r.nick); err == nil {
			to = append(to, at)
		}
	}
	s.mu.Unlock()
	for _, at := range to {
		iq := stanza.IQ{ID: s.id(), Type: stanza.GetIQ, To: at}.Wrap(xmlstream.Wrap(nil, xml.StartElement{Name: xml.Name{Space: ping.NS, Local: "ping"}}))
		if err := s.send(iq); err != nil {
			return err
		}
	}
	return nil
}

// outside reads a refusal that comes from ourselves in a room: of a ping, or of what we said. That we are not in it
// ("not-acceptable", XEP-0045 §7.4), or not under that nick, has us join again; anything else is of who answered, or of
// the way there, and says nothing (XEP-0410 §3.2).
func (s *session) outside(from jid.JID, m *incoming) {
	if m.Type != "error" || m.Error == nil || len(m.Error.Any) == 0 {
		return
	}
	switch m.Error.Any[0].XMLName.Local {
	case "not-acceptable", "item-not-found":
	default:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[from.Bare().String()]
	if r == nil || !r.joined {
		return
	}
	r.joined, r.ready, r.pause = false, false, 0
	clear(r.occupants)
	s.f.log.Warn("a room has forgotten that we are in it; coming back", "room", r.addr.String())
}
