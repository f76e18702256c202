package real

import (
	"bufio"
	"context"
	"net"
	"regexp"
	"strings"
	"time"
)

// IRCClient is a person on IRC, as simple as it gets: it keeps every line it saw.
type IRCClient struct {
	*transcript
	Nick string
	conn net.Conn
}

// DialIRC connects in clear, registers and joins the channels.
func DialIRC(ctx context.Context, addr, nick string, channels ...string) (*IRCClient, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &IRCClient{transcript: newTranscript(nick), Nick: nick, conn: conn}
	go c.read()
	c.Send("NICK " + nick)
	c.Send("USER " + nick + " 0 * :" + nick)
	if _, err := c.Wait(` 001 `, 10*time.Second); err != nil {
		return nil, err
	}
	for _, ch := range channels {
		c.Send("JOIN " + ch)
		if _, err := c.Wait(` 366 .*`+regexp.QuoteMeta(ch), 10*time.Second); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// read keeps every line but a PING, which it answers.
func (c *IRCClient) read() {
	defer close(c.done)
	sc := bufio.NewScanner(c.conn)
	for sc.Scan() {
		l := strings.TrimRight(sc.Text(), "\r")
		if rest, ok := strings.CutPrefix(l, "PING "); ok {
			c.Send("PONG " + rest)
			continue
		}
		c.add(l)
	}
}

// Send sends one raw line.
func (c *IRCClient) Send(line string) { _, _ = c.conn.Write([]byte(line + "\r\n")) }

// Say sends a message.
func (c *IRCClient) Say(place, text string) { c.Send("PRIVMSG " + place + " :" + text) }

// Close leaves.
func (c *IRCClient) Close() {
	_ = c.conn.Close()
	<-c.done
}
