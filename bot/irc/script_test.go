package irc_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
)

// script is a small server for what no real one can be made to do: it lets everybody in, and says what the test says.
type script struct {
	Addr string

	mu      sync.Mutex
	conn    net.Conn
	lines   []string
	options string                                           // of 005
	clock   func() time.Time                                 // of its `time` tags; nil: none
	on      func(s *script, command string, p []string) bool // true: the test has answered
}

func newScript(t *testing.T, options string, clock func() time.Time, on func(s *script, command string, p []string) bool) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &script{Addr: l.Addr().String(), options: options, clock: clock, on: on}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conn = c
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
	return s
}

func (s *script) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	for sc := bufio.NewScanner(c); sc.Scan(); {
		line := strings.TrimRight(sc.Text(), "\r")
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		head, text, has := strings.Cut(line, " :")
		p := strings.Fields(head)
		if has {
			p = append(p, text)
		}
		if len(p) == 0 || s.on != nil && s.on(s, p[0], p[1:]) {
			continue
		}
		switch p[0] {
		case "CAP":
			switch p[1] {
			case "LS":
				s.send(":x CAP * LS :server-time batch message-tags")
			case "REQ":
				s.send(":x CAP * ACK :%s", p[len(p)-1])
			}
		case "USER":
			s.send(":x 001 jarvis :hello")
			s.send(":x 005 jarvis %s :are supported by this server", s.options)
		case "PING":
			s.now(":x PONG x :%s", p[1])
		case "JOIN":
			s.now(":jarvis!jarvis@bot JOIN %s", p[1])
			s.send(":x 366 jarvis %s :End", p[1])
		}
	}
}

// send says a line as it is; now with the time it has; at with another.
func (s *script) send(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_, _ = fmt.Fprintf(s.conn, format+"\r\n", a...)
	}
}

func (s *script) now(format string, a ...any) { s.at(0, format, a...) }

func (s *script) at(ago time.Duration, format string, a ...any) {
	if s.clock != nil {
		format = "@time=" + s.clock().Add(-ago).UTC().Format("2006-01-02T15:04:05.000Z") + " " + format
	}
	s.send(format, a...)
}

// wait gives the first line from the bot with that in it.
func (s *script) wait(t *testing.T, part string) string {
	t.Helper()
	for range 1000 {
		for _, l := range s.all() {
			if strings.Contains(l, part) {
				return l
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the bot never said %q: %q", part, s.all())
	return ""
}

func (s *script) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

func (s *script) count(part string) (n int) {
	for _, l := range s.all() {
		if strings.Contains(l, part) {
			n++
		}
	}
	return n
}

// next gives what the bot hears next.
func next(t *testing.T, got <-chan bot.Message) bot.Message {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("the bot heard nothing more")
		return bot.Message{}
	}
}

// TestARefusalBeforeTheNextLineCounts: a server that refuses the first piece of a line at once was not heard, because nobody
// listened before the last piece was sent: the notice counted as said.
func TestARefusalBeforeTheNextLineCounts(t *testing.T) {
	refused := false
	s := newScript(t, "CHANTYPES=#", nil, func(s *script, command string, p []string) bool {
		if command == "PRIVMSG" && !refused {
			refused = true
			s.send(":x 404 jarvis %s :Cannot send to channel", p[0])
		}
		return command == "PRIVMSG"
	})
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}, Rate: irc.Rate{Burst: 1, Interval: 300 * time.Millisecond}}, nil)
	if err := deliver(t, f, "#ops", strings.Repeat("a long line ", 60)); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("Deliver = %v, want ErrRefused", err)
	}
}
