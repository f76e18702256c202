package irc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
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

// TestARefusalBeforeTheNextLineCounts: a server that refuses the first piece of a line at once was not heard, because
// nobody listened before the last piece was sent: the notice counted as said.
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

// TestALineIsDoubtedByItsNotice: a notice of which a broken link left open whether it arrived says so when it is said
// again. Another notice of the same words is another one, and was never said before.
func TestALineIsDoubtedByItsNotice(t *testing.T) {
	lost := false
	s := newScript(t, "CHANTYPES=#", nil, func(s *script, command string, _ []string) bool {
		if command == "PRIVMSG" && !lost {
			lost = true
			s.mu.Lock()
			_ = s.conn.Close()
			s.mu.Unlock()
		}
		return command == "PRIVMSG"
	})
	f, _ := link(t, irc.Config{Server: s.Addr, Channels: []string{"#ops"}}, nil)
	say := func(id int64) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		return f.Deliver(ctx, bot.Notice{ID: id, Place: "#ops", Line: "loki is ready"})
	}
	if err := say(1); err == nil {
		t.Fatal("the link broke, and Deliver says nothing of it")
	}
	for _, id := range []int64{2, 1} {
		if err := say(id); err != nil {
			t.Fatal(err)
		}
	}
	if n, again := s.count("loki is ready"), s.count("said again"); n != 3 || again != 1 {
		t.Errorf("said %d times, %d of them as said again; want 3 and 1: %q", n, again, s.all())
	}
	said := slices.DeleteFunc(s.all(), func(l string) bool { return !strings.HasPrefix(l, "PRIVMSG") })
	if !strings.HasSuffix(said[len(said)-1], "said again: I could not see whether it arrived)") {
		t.Errorf("the notice that was said again came last, and another one is marked: %q", said)
	}
}
