package real

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goxmpp "gosrc.io/xmpp"
	"gosrc.io/xmpp/stanza"
)

// XMPPClient is a person on Jabber, on gosrc.io/xmpp: another library than the frontend under test uses, so that two
// implementations meet in each test. It keeps what it saw as lines: "FROM: text" for each line of a message, "* FROM
// joined|left" for presence in rooms.
type XMPPClient struct {
	*transcript
	JID string // bare

	client *goxmpp.Client // of this one connection: a second one of the same Client would go without TLS
	said   atomic.Int64
	lost   sync.Once // closes done
	closed sync.Once
}

// closeLimit is how long a connection is tried, and how long its end waits for the server's.
const closeLimit = 5 // seconds, as the library takes them

// DialXMPP logs in over STARTTLS and joins the rooms under its own name.
func DialXMPP(ctx context.Context, server interface{ Reach() XMPPServer }, user string, rooms ...string) (*XMPPClient, error) {
	s := server.Reach()
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c := &XMPPClient{transcript: newTranscript(user), JID: user + "@" + XMPPDomain}
	routes := goxmpp.NewRouter() // gives each stanza to a goroutine of its own: order keeps them in order
	routes.HandleFunc("message", func(_ goxmpp.Sender, p stanza.Packet) { c.message(p.(stanza.Message)) })
	routes.HandleFunc("presence", func(_ goxmpp.Sender, p stanza.Packet) { c.presence(p.(stanza.Presence)) })
	learnXMPP()
	c.client, err = goxmpp.NewClient(&goxmpp.Config{
		TransportConfiguration: goxmpp.TransportConfiguration{Address: s.Addr, TLSConfig: &tls.Config{ServerName: XMPPDomain, RootCAs: pool}},
		Jid:                    c.JID + "/lab", Credential: goxmpp.Password("pw-" + user), ConnectTimeout: closeLimit,
	}, routes, func(error) { c.lose() })
	if err != nil {
		return nil, fmt.Errorf("log in as %s: %w", user, err)
	}
	if err := c.connect(ctx); err != nil {
		return nil, fmt.Errorf("log in as %s: %w", user, err)
	}
	for _, r := range rooms {
		if err := c.Join(r); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// connect opens the stream. The library takes no context, and waits for ever for a server that says nothing.
func (c *XMPPClient) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Patience(15*time.Second))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.client.Connect() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		_ = c.client.Disconnect()
		return errors.Join(ctx.Err(), <-done)
	}
}

// Join enters a room; one that it makes is opened as it is.
func (c *XMPPClient) Join(room string) error {
	return c.JoinAs(room, strings.SplitN(c.JID, "@", 2)[0])
}

// JoinAs is Join by another nick.
func (c *XMPPClient) JoinAs(room, nick string) error {
	me := room + "/" + nick
	if err := c.client.Send(stanza.Presence{
		Attrs:      stanza.Attrs{To: me},
		Extensions: []stanza.PresExtension{stanza.MucPresence{History: stanza.History{MaxStanzas: stanza.NewNullableInt(0)}}},
	}); err != nil {
		return err
	}
	l, err := c.Wait(`^\* `+me+` (joined|made it|error)`, 10*time.Second)
	if err == nil && strings.Contains(l, "made it") { // the library knows no muc#owner
		err = c.Raw("<iq type='set' id='open' to='" + room + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
	}
	if err == nil && strings.Contains(l, "error") {
		err = errors.New(l)
	}
	return err
}

// message keeps what somebody said.
func (c *XMPPClient) message(m stanza.Message) {
	if m.Type == stanza.MessageTypeError {
		c.add("* " + m.From + " error")
	}
	for _, e := range m.Extensions {
		b, ok := e.(*xmppBody)
		if !ok {
			continue
		}
		b.inOrder(func() {
			for _, l := range strings.Split(b.Text, "\n") {
				if l != "" && m.Type != stanza.MessageTypeError {
					c.add(m.From + ": " + l)
				}
			}
		})
	}
}

// presence keeps who came, went, or was refused.
func (c *XMPPClient) presence(p stanza.Presence) {
	what := string(p.Type)
	switch p.Type {
	case "":
		what = "joined"
	case stanza.PresenceTypeUnavailable:
		what = "left"
	}
	line := func() { c.add("* " + p.From + " " + what) }
	for _, e := range p.Extensions {
		if o, ok := e.(*xmppOccupant); ok { // a second one is somebody's own, which the room let through
			if o.made() {
				what = "made it"
			}
			o.inOrder(line)
			line = func() {}
		}
	}
	line()
}

// Raw sends XML as it is: what the library has no form for, or would not say.
func (c *XMPPClient) Raw(s string) error { return c.client.SendRaw(s) }

// Say sends a message: to a room when the place is one of the server's rooms. Its id is pN, N counted from 1.
func (c *XMPPClient) Say(place, text string) {
	kind := stanza.MessageTypeChat
	if strings.HasSuffix(place, "@"+XMPPRooms) {
		kind = stanza.MessageTypeGroupchat
	}
	id := fmt.Sprintf("p%d", c.said.Add(1))
	_ = c.client.Send(stanza.Message{Attrs: stanza.Attrs{To: place, Type: kind, Id: id}, Body: text})
}

func (c *XMPPClient) lose() { c.lost.Do(func() { close(c.done) }) }

// Close leaves. Where the server does not answer any more it takes closeLimit.
func (c *XMPPClient) Close() {
	c.closed.Do(func() {
		_ = c.client.Disconnect()
		c.lose()
	})
}
