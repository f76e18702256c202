package real

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// XMPPClient is a person on Jabber, written by hand so that it shares nothing with the frontend under test. It keeps
// what it saw as lines: "FROM: text" for each line of a message, "* FROM joined|left" for presence in rooms.
type XMPPClient struct {
	*transcript
	JID string // bare

	conn  net.Conn
	dec   *xml.Decoder
	write sync.Mutex
	n     int
}

// DialXMPP logs in over STARTTLS and joins the rooms under its own name.
func DialXMPP(ctx context.Context, server interface{ Reach() XMPPServer }, user string, rooms ...string) (*XMPPClient, error) {
	s := server.Reach()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	c := &XMPPClient{transcript: newTranscript(user), JID: user + "@" + XMPPDomain, conn: conn}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	err = errors.Join(
		c.open(), c.Raw("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), c.expect("proceed"))
	if err == nil {
		t := tls.Client(conn, &tls.Config{ServerName: XMPPDomain, RootCAs: pool})
		c.conn = t
		err = t.HandshakeContext(ctx)
	}
	if err == nil {
		login := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00pw-" + user))
		err = errors.Join(c.open(), c.Raw("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"+login+"</auth>"), c.expect("success"))
	}
	if err == nil {
		err = errors.Join(c.open(), c.Raw("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>lab</resource></bind></iq>"), c.expect("iq"), c.Raw("<presence/>"))
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("log in as %s: %w", user, err)
	}
	go c.read()
	for _, r := range rooms {
		if err := c.Join(r); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Join enters a room; one that it makes is opened as it is.
func (c *XMPPClient) Join(room string) error {
	me := room + "/" + strings.SplitN(c.JID, "@", 2)[0]
	if err := c.Raw("<presence to='" + me + "'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"); err != nil {
		return err
	}
	l, err := c.Wait(`^\* `+me+` (joined|made it|error)`, 10*time.Second)
	if err == nil && strings.Contains(l, "made it") {
		err = c.Raw("<iq type='set' id='open' to='" + room + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
	}
	if err == nil && strings.Contains(l, "error") {
		err = errors.New(l)
	}
	return err
}

func (c *XMPPClient) open() error {
	err := c.Raw("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='" + XMPPDomain + "' version='1.0'>")
	c.dec = xml.NewDecoder(c.conn)
	return errors.Join(err, c.expect("features"))
}

// expect reads on to an element of that name, past the stream's own.
func (c *XMPPClient) expect(name string) error {
	for {
		t, err := c.dec.Token()
		if err != nil {
			return err
		}
		start, ok := t.(xml.StartElement)
		switch {
		case !ok || start.Name.Local == "stream":
		case start.Name.Local == name:
			return c.dec.Skip()
		default:
			return fmt.Errorf("the server said <%s> instead of <%s>", start.Name.Local, name)
		}
	}
}

type xmppStanza struct {
	XMLName xml.Name
	ID      string `xml:"id,attr"`
	From    string `xml:"from,attr"`
	Type    string `xml:"type,attr"`
	Body    string `xml:"body"`
	Status  []struct {
		Code int `xml:"code,attr"`
	} `xml:"http://jabber.org/protocol/muc#user x>status"`
	Ping *struct{} `xml:"urn:xmpp:ping ping"`
}

func (c *XMPPClient) read() {
	defer close(c.done)
	for {
		t, err := c.dec.Token()
		if err != nil {
			return
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		var st xmppStanza
		if c.dec.DecodeElement(&st, &start) != nil {
			return
		}
		switch start.Name.Local {
		case "iq":
			if st.Type == "get" {
				_ = c.Raw("<iq type='result' id='" + st.ID + "' to='" + st.From + "'/>")
			}
		case "presence":
			what := map[string]string{"": "joined", "unavailable": "left"}[st.Type]
			if what == "" {
				what = st.Type
			}
			for _, s := range st.Status {
				if s.Code == 201 {
					what = "made it"
				}
			}
			c.add("* " + st.From + " " + what)
		case "message":
			if st.Type == "error" {
				c.add("* " + st.From + " error")
				continue
			}
			for _, l := range strings.Split(st.Body, "\n") {
				if l != "" {
					c.add(st.From + ": " + l)
				}
			}
		}
	}
}

// Raw sends XML as it is.
func (c *XMPPClient) Raw(s string) error {
	c.write.Lock()
	defer c.write.Unlock()
	_, err := c.conn.Write([]byte(s))
	return err
}

// Say sends a message: to a room when the place is one of the server's rooms.
func (c *XMPPClient) Say(place, text string) {
	kind := "chat"
	if strings.HasSuffix(place, "@"+XMPPRooms) {
		kind = "groupchat"
	}
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	c.write.Lock()
	c.n++
	id := fmt.Sprintf("p%d", c.n)
	c.write.Unlock()
	_ = c.Raw("<message to='" + place + "' type='" + kind + "' id='" + id + "'><body>" + b.String() + "</body></message>")
}

// Close leaves.
func (c *XMPPClient) Close() {
	_ = c.Raw("</stream:stream>")
	_ = c.conn.Close()
	<-c.done
}
