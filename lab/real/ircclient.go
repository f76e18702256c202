package real

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"
)

// IRCClient is a person on IRC, as simple as it gets: it keeps every line it saw.
type IRCClient struct {
	next int // behind the line that Next gave last
	Nick string

	conn  net.Conn
	mu    sync.Mutex
	lines []string
	more  chan struct{}
	done  chan struct{}
}

// DialIRC connects in clear, registers and joins the channels.
func DialIRC(ctx context.Context, addr, nick string, channels ...string) (*IRCClient, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &IRCClient{Nick: nick, conn: conn, more: make(chan struct{}, 1), done: make(chan struct{})}
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

func (c *IRCClient) read() {
	defer close(c.done)
	sc := bufio.NewScanner(c.conn)
	for sc.Scan() {
		l := strings.TrimRight(sc.Text(), "\r")
		if rest, ok := strings.CutPrefix(l, "PING "); ok {
			c.Send("PONG " + rest)
			continue
		}
		c.mu.Lock()
		c.lines = append(c.lines, l)
		c.mu.Unlock()
		select {
		case c.more <- struct{}{}:
		default:
		}
	}
}

// Send sends one raw line.
func (c *IRCClient) Send(line string) { _, _ = c.conn.Write([]byte(line + "\r\n")) }

// Say sends a message.
func (c *IRCClient) Say(place, text string) { c.Send("PRIVMSG " + place + " :" + text) }

// Lines gives all lines seen so far.
func (c *IRCClient) Lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines...)
}

// Count tells how many lines match.
func (c *IRCClient) Count(pattern string) int {
	re := regexp.MustCompile(pattern)
	n := 0
	for _, l := range c.Lines() {
		if re.MatchString(l) {
			n++
		}
	}
	return n
}

// Wait gives the first line that matches, seen already or to come.
func (c *IRCClient) Wait(pattern string, limit time.Duration) (string, error) {
	l, _, err := c.wait(0, pattern, limit)
	return l, err
}

// Next gives the first line that matches behind the one that Next gave last. For one goroutine.
func (c *IRCClient) Next(pattern string, limit time.Duration) (string, error) {
	l, at, err := c.wait(c.next, pattern, limit)
	if err == nil {
		c.next = at + 1
	}
	return l, err
}

func (c *IRCClient) wait(from int, pattern string, limit time.Duration) (line string, at int, err error) {
	re := regexp.MustCompile(pattern)
	t := time.NewTimer(limit)
	defer t.Stop()
	for {
		lines := c.Lines()
		for ; from < len(lines); from++ {
			if re.MatchString(lines[from]) {
				return lines[from], from, nil
			}
		}
		select {
		case <-c.more:
		case <-c.done:
			return "", 0, fmt.Errorf("the link of %s broke while it waited for %s", c.Nick, pattern)
		case <-t.C:
			last := lines[max(0, len(lines)-8):]
			return "", 0, fmt.Errorf("%s saw no line like %s in %s; the last were:\n%s", c.Nick, pattern, limit, strings.Join(last, "\n"))
		}
	}
}

// Close leaves.
func (c *IRCClient) Close() {
	_ = c.conn.Close()
	<-c.done
}
