package xmpp

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mellium.im/xmlstream"
	goxmpp "mellium.im/xmpp"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/mux"
	"mellium.im/xmpp/ping"
	"mellium.im/xmpp/stanza"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// session is one connection. stanza is called by the library's reader, in order; it only notes things.
type session struct {
	f    *Frontend
	x    *goxmpp.Session
	in   func(bot.Message)
	iq   goxmpp.Handler
	gone chan struct{} // closed when the connection is over
	end  context.CancelCauseFunc
	n    atomic.Int64
	// number is the connection's own.
	number int64

	mu      sync.Mutex
	waiting map[string]chan error // by stanza id: who waits for its answer
	rooms   map[string]*room      // by bare JID
}

func newSession(f *Frontend, x *goxmpp.Session, in func(bot.Message)) *session {
	s := &session{f: f, x: x, in: in, iq: mux.New(stanza.NSClient, ping.Handle()), gone: make(chan struct{}),
		number: f.dials.Add(1), waiting: map[string]chan error{}, rooms: map[string]*room{}}
	for _, r := range f.rooms {
		s.rooms[r.addr.String()] = &room{roomConfig: r, nick: f.cfg.Nick, occupants: map[string]jid.JID{}}
	}
	return s
}

// send writes a stanza. The library lets a context that ends spoil the connection's deadline for all who write later,
// so it gets one that does not end: a write that hangs is ended with the link, by pulse. A write that fails ends it,
// too.
func (s *session) send(r xml.TokenReader) error {
	err := s.x.Send(context.Background(), r)
	if err != nil {
		s.end(err)
	}
	return err
}

// id gives one that no earlier connection used, so that a room's echo or history cannot be mistaken for another.
func (s *session) id() string {
	return "jarvis-" + strconv.FormatInt(time.Now().UnixMilli(), 36) + "-" + strconv.FormatInt(s.n.Add(1), 10)
}

// incoming is what we read of a message or presence.
type incoming struct {
	ID      string    `xml:"id,attr"`
	From    string    `xml:"from,attr"`
	Type    string    `xml:"type,attr"`
	Body    string    `xml:"body"`
	Subject *struct{} `xml:"subject"`
	Delay   *struct{} `xml:"urn:xmpp:delay delay"`
	// Old is how servers and gateways said it before XEP-0203: XEP-0091.
	Old     *struct{} `xml:"jabber:x:delay x"`
	Replace *struct{} `xml:"urn:xmpp:message-correct:0 replace"`
	// EME says that the body stands for an encrypted message (XEP-0380), as OMEMO's does.
	EME *struct{} `xml:"urn:xmpp:eme:0 encryption"`
	// Invites is an invitation by whoever sends it (XEP-0249); one by a room is in Muc.
	Invites *struct {
		Room string `xml:"jid,attr"`
	} `xml:"jabber:x:conference x"`
	Muc *struct {
		Invite *struct {
			From string `xml:"from,attr"`
		} `xml:"invite"`
		Item struct {
			JID         string `xml:"jid,attr"`
			Nick        string `xml:"nick,attr"`
			Role        string `xml:"role,attr"`
			Affiliation string `xml:"affiliation,attr"`
		} `xml:"item"`
		Status []struct {
			Code int `xml:"code,attr"`
		} `xml:"status"`
	} `xml:"http://jabber.org/protocol/muc#user x"`
	Error *struct {
		Any []struct {
			XMLName xml.Name
			Text    string `xml:",chardata"`
		} `xml:",any"`
	} `xml:"error"`
}

// why gives the condition of an error stanza (RFC 6120 §8.3.3).
func (m *incoming) why() error {
	if m.Error == nil || len(m.Error.Any) == 0 {
		return fmt.Errorf("%w by the server", bot.ErrRefused)
	}
	text := m.Error.Any[0].XMLName.Local
	for _, e := range m.Error.Any[1:] {
		if e.XMLName.Local == "text" && e.Text != "" {
			text += ": " + e.Text
		}
	}
	return fmt.Errorf("%w: %s", bot.ErrRefused, text)
}

// past reports whether it was said before we came: what a server kept, or a room's history. The time itself does not
// matter; one that cannot be read is no reason to obey.
func (m *incoming) past() bool { return m.Delay != nil || m.Old != nil }

// encrypted reports whether the body only stands for what was said; OTR marks its own, without an element.
func (m *incoming) encrypted() bool { return m.EME != nil || strings.HasPrefix(m.Body, "?OTR") }

// invitation gives into which room somebody invites.
func (m *incoming) invitation(from jid.JID) (room, by string, ok bool) {
	switch {
	case m.Muc != nil && m.Muc.Invite != nil:
		return from.Bare().String(), m.Muc.Invite.From, true
	case m.Invites != nil:
		return m.Invites.Room, from.String(), true
	}
	return "", "", false
}

// status reports whether a room gave that status code (XEP-0045).
func (m *incoming) status(code int) bool {
	if m.Muc == nil {
		return false
	}
	for _, st := range m.Muc.Status {
		if st.Code == code {
			return true
		}
	}
	return false
}

// hear is the library's handler: a stanza on which we have a bug is skipped, too.
func (s *session) hear(t xmlstream.TokenReadEncoder, start *xml.StartElement) error {
	err := guard.Call(func() error { return s.stanza(t, start) })
	if p := (*guard.Panic)(nil); errors.As(err, &p) {
		guard.Log(s.f.log, "read from xmpp", "jid", s.f.me.String())(p)
		return nil
	}
	return err
}

// stanza reads one. A stanza that cannot be read is skipped, not the end of the link.
func (s *session) stanza(t xmlstream.TokenReadEncoder, start *xml.StartElement) error {
	switch start.Name.Local {
	case "iq":
		for _, a := range start.Attr {
			if a.Name.Local == "type" && (a.Value == "get" || a.Value == "set") {
				return s.iq.HandleXMPP(t, start)
			}
		}
	case "message", "presence":
	default:
		return nil
	}
	var m incoming
	// The start element is read already; the decoder wants to see it again.
	if err := xml.NewTokenDecoder(xmlstream.MultiReader(xmlstream.Token(*start), t)).Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		s.f.log.Debug("a stanza cannot be read", "err", err)
		return nil
	}
	var from jid.JID
	if m.From != "" {
		var err error
		if from, err = jid.Parse(m.From); err != nil {
			s.f.log.Debug("a stanza comes from nobody", "from", m.From)
			return nil
		}
	}
	switch start.Name.Local {
	case "iq":
		s.outside(from, &m)
		s.answered(m.ID, nil) // an error is an answer, too: the server is there
	case "presence":
		if m.Type == "subscribe" { // they may see whether the bot is there; it keeps no list of its own
			return s.send(stanza.Presence{To: from.Bare(), Type: stanza.SubscribedPresence}.Wrap(nil))
		}
		s.presence(from, &m)
	case "message":
		s.message(from, &m)
	}
	return nil
}

// message hands what people said now to the bot.
func (s *session) message(from jid.JID, m *incoming) {
	s.mu.Lock()
	r := s.rooms[from.Bare().String()]
	s.mu.Unlock()
	if m.Type == "error" {
		s.outside(from, m)
		if r == nil || from.Resourcepart() != "" { // a person; a room takes lines again
			s.f.left(from.String(), m.why())
		}
		s.answered(m.ID, m.why())
		return
	}
	if m.Type == "groupchat" {
		if r != nil {
			s.roomMessage(r, from, m)
		}
		return
	}
	if room, by, invited := m.invitation(from); invited { // its text is no command; and a room that we are to be in is in the configuration
		s.f.invited.Add(1)
		s.f.tell.Do(func() { // anybody can invite as often as they like
			s.f.log.Info("an invitation is not followed", "room", plain.Line(room), "by", plain.Line(by), "what to do", "put the room into chat.xmpp.rooms", "so far", s.f.invited.Load())
		})
		return
	}
	if m.Body == "" || m.Type == "headline" || from.Equal(jid.JID{}) {
		return
	}
	msg := bot.Message{Private: true, Text: m.Body, Corrected: m.Replace != nil, Encrypted: m.encrypted()}
	if r != nil { // a private message through a room: who that is, only the room can say
		msg.Nick, msg.Place, msg.Account = from.Resourcepart(), from.String(), s.account(r, from.Resourcepart())
	} else {
		if from.Bare().Equal(s.f.me) {
			return // our own, from another place
		}
		msg.Nick, msg.Place, msg.Account = from.Localpart(), from.Bare().String(), from.Bare().String()
		if msg.Nick == "" {
			return // a server's announcement
		}
	}
	msg.Direct = cmp.Or(msg.Account, msg.Place) // the nick of a room may be another's by the time of a notice
	if m.past() {
		msg.Past = s.number
	}
	s.in(msg)
}

// roomMessage is one of a room: history is not heard again, and our own is the proof that the room has it.
func (s *session) roomMessage(r *room, from jid.JID, m *incoming) {
	nick := from.Resourcepart()
	s.mu.Lock()
	own := nick != "" && nick == r.nick
	inside := r.inside()
	switch { // its owner changed that (XEP-0045 §10.2.1)
	case nick == "" && m.status(172):
		r.open = true
	case nick == "" && (m.status(173) || m.status(174)):
		r.open, r.warned = false, false
	}
	if m.Subject != nil && m.Body == "" {
		r.ready = r.joined // history is over (XEP-0045 §7.2.15)
	}
	s.mu.Unlock()
	switch {
	case m.Body == "" || nick == "":
	case own:
		if m.past() || !inside {
			s.f.unsureSeen(r.addr.String(), m.ID, m.Body)
		}
		if !m.past() {
			s.answered(m.ID, nil)
		}
	case m.past() || !inside: // history, which has what we have answered, too
	default:
		account := s.account(r, nick)
		direct := from.String()
		if account != "" {
			direct = account
		}
		s.in(bot.Message{Nick: nick, Account: account, Place: r.addr.String(), Direct: direct, Text: m.Body, Corrected: m.Replace != nil, Encrypted: m.encrypted()})
	}
}

// account gives the real bare JID of a nick, as the room's own presence told it; "" when the room does not tell.
func (s *session) account(r *room, nick string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j, ok := r.occupants[nick]; ok {
		return j.Bare().String()
	}
	return ""
}

// wait registers for the answer to a stanza. The first one counts.
func (s *session) wait(id string, answer chan error) {
	s.mu.Lock()
	s.waiting[id] = answer
	s.mu.Unlock()
}

// forget ends the waiting of whoever waits on a channel.
func (s *session) forget(answer chan error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, ch := range s.waiting {
		if ch == answer {
			delete(s.waiting, id)
		}
	}
}

// answered ends the wait for a stanza's answer, if somebody still waits.
func (s *session) answered(id string, err error) {
	s.mu.Lock()
	ch := s.waiting[id]
	delete(s.waiting, id)
	s.mu.Unlock()
	if ch != nil {
		select {
		case ch <- err:
		default:
		}
	}
}

// ping asks the server whether it is there (XEP-0199 §4.2), and by the order of stanzas whether it has worked through
// what was sent before (RFC 6120 §10.1).
func (s *session) ping(answer chan error) error {
	id := s.id()
	s.wait(id, answer)
	return s.send(stanza.IQ{ID: id, Type: stanza.GetIQ, To: s.f.me.Domain()}.Wrap(xmlstream.Wrap(nil, xml.StartElement{Name: xml.Name{Space: ping.NS, Local: "ping"}})))
}

// pulse ends with an error when the server is not there any more: TCP alone would notice after a quarter of an hour.
func (s *session) pulse(ctx context.Context) error {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		answer := make(chan error, 1)
		sent := make(chan error, 1)
		wait := time.NewTimer(pingTimeout)
		guard.Send(sent, func() error { return s.ping(answer) }) // it ends with the link at the latest
		var err error
		select {
		case err = <-sent:
		case <-wait.C:
			return fmt.Errorf("nothing could be sent in %s", pingTimeout)
		}
		if err == nil {
			select {
			case <-answer:
			case <-ctx.Done():
			case <-wait.C:
				err = fmt.Errorf("the server did not answer a ping in %s", pingTimeout)
			}
		}
		s.forget(answer)
		wait.Stop()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var errLost = errors.New("the link broke before the server answered")

func cutSpace(s string) (string, string) {
	a, b, _ := strings.Cut(strings.TrimSpace(s), " ")
	return a, strings.TrimSpace(b)
}
