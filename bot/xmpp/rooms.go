package xmpp

import (
	"context"
	"encoding/xml"
	"fmt"
	"time"

	"mellium.im/xmlstream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/muc"
	"mellium.im/xmpp/stanza"

	"github.com/jarvisops/jarvis/bot"
)

// configureTimeout bounds how long a room that we made stays locked for the sake of one answer.
const configureTimeout = 10 * time.Second

// room is one we want to be in (XEP-0045). The session's mutex guards it.
type room struct {
	roomConfig
	nick      string    // what we are, or try to be, called there
	joined    bool      // the room said that we are in
	ready     bool      // and has told its history
	created   bool      // we made it, and it is locked until we configure it
	openAt    time.Time // when that is tried next
	open      bool      // everybody's real JID is seen there (status 100), or we are a moderator
	warned    bool
	tried     time.Time
	asked     time.Time // when we last asked whether we are in it; see selfping.go
	pause     time.Duration
	occupants map[string]jid.JID // by nick, as far as the room tells
}

// inside reports whether what is said in the room is said now: a room tells its history before its subject, marked as
// such or not (XEP-0045 §7.2.13). One that tells no subject is believed after a while.
func (r *room) inside() bool {
	return r.joined && (r.ready || time.Since(r.tried) > joinTimeout)
}

// presence keeps the list of who is where; only what comes from one of our rooms counts.
func (s *session) presence(from jid.JID, m *incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[from.Bare().String()]
	if r == nil {
		return
	}
	nick := from.Resourcepart()
	own := m.status(110) || nick != "" && nick == r.nick
	switch m.Type {
	case "error":
		if r.joined {
			return // a nick that we could not take back
		}
		err := m.why()
		s.f.log.Warn("cannot join", "room", r.addr.String(), "why", err)
		if m.Error != nil && len(m.Error.Any) > 0 && m.Error.Any[0].XMLName.Local == "conflict" {
			r.nick += "_"
			r.pause = 0
		}
	case "unavailable":
		delete(r.occupants, nick)
		if !own {
			defer s.f.left(from.String(), fmt.Errorf("%w: they left, or have another nick", bot.ErrRefused))
		}
		if m.status(303) && m.Muc.Item.Nick != "" { // a change of nick, not a leave
			if own {
				r.nick = m.Muc.Item.Nick
			}
			return
		}
		if own && nick == r.nick {
			r.joined, r.ready, r.tried = false, false, time.Now()
			clear(r.occupants)
			s.f.log.Warn("out of a room; coming back", "room", r.addr.String(), "kicked", m.status(307), "banned", m.status(301))
		}
	case "":
		if m.Muc == nil {
			return
		}
		if j, err := jid.Parse(m.Muc.Item.JID); err == nil && m.Muc.Item.JID != "" {
			r.occupants[nick] = j
		} else {
			delete(r.occupants, nick)
		}
		if !own {
			return
		}
		r.nick = nick
		r.joined, r.pause = true, 0
		r.created = r.created || m.status(201)
		r.open = r.open || m.status(100) || m.Muc.Item.Role == "moderator"
	}
}

// care joins what is to be joined, opens rooms it made, and takes its nick back, until the connection is over. The
// link counts as up when every room has been tried: what waits to be said finds them.
func (s *session) care(ctx context.Context) error {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	began := time.Now()
	up := false
	var nickAt time.Time
	for {
		if err := s.joinMissing(ctx); err != nil {
			return err
		}
		if !up && (s.settled() || time.Since(began) > joinTimeout) {
			up = true
			s.f.log.Info("the xmpp link is up", "jid", s.x.LocalAddr().String())
			s.f.link.Set(ctx, s)
		}
		if err := s.askWhetherIn(); err != nil {
			return err
		}
		if time.Since(nickAt) > 5*time.Second {
			nickAt = time.Now()
			if err := s.takeNicksBack(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// settled reports whether every room is joined with its history told, or has refused us.
func (s *session) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rooms {
		if !r.ready && (r.joined || r.pause < 4*time.Second) {
			return false
		}
	}
	return true
}

// joinMissing joins the rooms that we are not in, each after a pause that grows, and configures those that we made. Its
// error ends the connection.
func (s *session) joinMissing(ctx context.Context) error {
	s.mu.Lock()
	var join, configure []*room
	for _, r := range s.rooms {
		switch {
		case r.created && time.Now().After(r.openAt):
			r.created, r.openAt = false, time.Now().Add(configureTimeout)
			configure = append(configure, r)
		case r.created: // not yet again
		case !r.joined && time.Since(r.tried) >= r.pause:
			r.tried = time.Now()
			r.pause = min(max(2*r.pause, 2*time.Second), time.Minute)
			join = append(join, r)
		case r.ready && !r.open && !r.warned:
			r.warned = true
			s.f.log.Warn("this room hides who people are, so nobody in it can be recognised; make it non-anonymous, or the bot a moderator", "room", r.addr.String())
		}
	}
	s.mu.Unlock()
	for _, r := range configure {
		if err := s.configure(ctx, r); err != nil {
			s.f.log.Warn("configure a new room; it is tried again, and until then nobody else gets in", "room", r.addr.String(), "err", err)
			s.mu.Lock()
			r.created = r.joined
			s.mu.Unlock()
		}
	}
	for _, r := range join {
		if err := s.join(r); err != nil {
			return err
		}
	}
	return nil
}

// join asks to be let in. History is wanted only as far as it can tell whether a line of ours arrived.
func (s *session) join(r *room) error {
	s.mu.Lock()
	to, err := r.addr.WithResource(r.nick)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	attr := xml.Attr{Name: xml.Name{Local: "maxstanzas"}, Value: "0"}
	if since := s.f.unsureSince(r.addr.String()); !since.IsZero() {
		attr = xml.Attr{Name: xml.Name{Local: "since"}, Value: since.UTC().Format(time.RFC3339)}
	}
	inner := []xml.TokenReader{xmlstream.Wrap(nil, xml.StartElement{Name: xml.Name{Local: "history"}, Attr: []xml.Attr{attr}})}
	if r.password != "" {
		inner = append(inner, xmlstream.Wrap(xmlstream.Token(xml.CharData(r.password)), xml.StartElement{Name: xml.Name{Local: "password"}}))
	}
	x := xmlstream.Wrap(xmlstream.MultiReader(inner...), xml.StartElement{Name: xml.Name{Space: muc.NS, Local: "x"}})
	return s.send(stanza.Presence{ID: s.id(), To: to}.Wrap(x))
}

// configure opens a room that we made: people can enter, it stays, and everybody sees who everybody is
// (XEP-0045 §10.1.3, §16.5).
func (s *session) configure(ctx context.Context, r *room) error {
	ctx, cancel := context.WithTimeout(ctx, configureTimeout) // an answer that is lost must not end all care for the link
	defer cancel()
	form, err := muc.GetConfig(ctx, r.addr, s.x)
	if err != nil {
		return err
	}
	for name, value := range map[string]any{
		"muc#roomconfig_persistentroom": true,
		"muc#roomconfig_membersonly":    false,
		"muc#roomconfig_moderatedroom":  false,
		"muc#roomconfig_whois":          "anyone",
	} {
		if _, err := form.Set(name, value); err != nil {
			s.f.log.Debug("a room has no such option", "room", r.addr.String(), "option", name, "err", err)
		}
	}
	if err := muc.SetConfig(ctx, r.addr, form, s.x); err != nil {
		return err
	}
	s.mu.Lock()
	r.open = true
	s.mu.Unlock()
	s.f.log.Info("made a room", "room", r.addr.String())
	return nil
}

// takeNicksBack asks for our own nick where somebody else had it.
func (s *session) takeNicksBack() error {
	s.mu.Lock()
	var want []jid.JID
	for _, r := range s.rooms {
		if r.joined && r.nick != s.f.cfg.Nick {
			if to, err := r.addr.WithResource(s.f.cfg.Nick); err == nil {
				want = append(want, to)
			}
		}
	}
	s.mu.Unlock()
	for _, to := range want {
		if err := s.send(stanza.Presence{ID: s.id(), To: to}.Wrap(nil)); err != nil {
			return err
		}
	}
	return nil
}
