package xmpp_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// middle plays the server. The first connection is as it should be, TLS and all, and breaks after the login. From the
// second on it is the man in the middle: no STARTTLS, a login in clear.
type middle struct {
	cert tls.Certificate
	l    net.Listener
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns int
	auth  int    // logins on the first connection
	clear string // all that came in clear from the second on
}

func (m *middle) serve(n int, c net.Conn) {
	defer m.wg.Done()
	defer func() { _ = c.Close() }()
	const head = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='x%d' from='" + real.XMPPDomain + "' version='1.0'>"
	iq := regexp.MustCompile(`<iq[^>]*id=.([^'"]*)`)
	secure, authed := false, false
	buf := make([]byte, 65536)
	for {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		k, err := c.Read(buf)
		if err != nil {
			return
		}
		s := string(buf[:k])
		if !secure && n > 1 {
			m.mu.Lock()
			m.clear += s
			m.mu.Unlock()
		}
		say := func(x string) { _, _ = c.Write([]byte(x)) }
		switch {
		case strings.Contains(s, "<stream:stream") && authed:
			say(fmt.Sprintf(head, n) + "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>")
		case strings.Contains(s, "<stream:stream") && !secure && n == 1:
			say(fmt.Sprintf(head, n) + "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>")
		case strings.Contains(s, "<stream:stream"):
			say(fmt.Sprintf(head, n) + "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>")
		case strings.Contains(s, "<starttls") && n > 1:
			say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		case strings.Contains(s, "<starttls"):
			say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
			c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{m.cert}})
			secure = true
		case strings.Contains(s, "<auth"):
			m.mu.Lock()
			m.auth++
			m.mu.Unlock()
			authed = true
			say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
		case strings.Contains(s, "xmpp-bind"):
			say("<iq type='result' id='" + iq.FindStringSubmatch(s)[1] + "'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>jarvis@" + real.XMPPDomain + "/bot</jid></bind></iq>")
		case strings.Contains(s, "<presence"):
			return // cut
		}
	}
}

// The attack: whoever can cut a connection plays the server on the next one, without TLS, and is given the password.
func TestAManInTheMiddleOfTheSecondConnectionGetsNoPassword(t *testing.T) {
	s := server(t)
	cert, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middle{cert: cert, l: l}
	m.wg.Add(1)
	go func() {
		defer m.wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.conns++
			n := m.conns
			m.mu.Unlock()
			m.wg.Add(1)
			go m.serve(n, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		m.wg.Wait()
	})
	cfg := config(s)
	cfg.Server, cfg.Rooms = l.Addr().String(), nil
	f, log := link(t, cfg, nil)
	until(t, "a third connection", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.conns >= 3
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.auth != 1 {
		t.Errorf("it logged in %d times; once, over TLS, is right", m.auth)
	}
	if strings.Contains(m.clear, "<auth") || strings.Contains(m.clear, "jarvis\x00") || !strings.Contains(m.clear, "<stream:stream") {
		t.Errorf("in clear it said %q", m.clear)
	}
	if f.Up() || !strings.Contains(log.String(), "the server offers no TLS, so it gets no password") {
		t.Errorf("up = %v, and the log says:\n%s", f.Up(), log.String())
	}
}
