package lab

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jarvisops/jarvis/internal/guard"
)

// slackEvent is what must reach the app: sent to one socket, and again when no ack comes.
type slackEvent struct {
	kind     string
	payload  fields
	attempts int
	next     time.Time
	flying   bool
	acked    bool
	givenUp  bool
}

type slackEnvelope struct {
	event *slackEvent
	to    *slackSocket
	sent  time.Time
	done  bool
}

// slackSocket is one WebSocket. Its envelopes are guarded by Slack's lock.
type slackSocket struct {
	ws     *websocket.Conn
	n      int
	write  sync.Mutex
	frozen bool
	sent   map[string]*slackEnvelope
}

// id gives another one each time. s.mu is held.
func (s *Slack) id(prefix string) string {
	s.seq++
	return fmt.Sprintf("%s%08d", prefix, s.seq)
}

// queue adds what is to be sent. It is called with the lock.
func (s *Slack) queue(kind string, inner fields) {
	e := &slackEvent{kind: kind, payload: inner, next: time.Now()}
	if kind == "events_api" {
		e.payload = fields{"token": "t", "team_id": SlackTeam, "api_app_id": slackAppID, "type": "event_callback", "event_id": s.id("Ev"), "event_time": time.Now().Unix(), "event": inner,
			"authorizations": []fields{{"team_id": SlackTeam, "user_id": SlackBotUser, "is_bot": true}}, "is_ext_shared_channel": false}
	}
	s.events = append(s.events, e)
	s.touch()
}

// Raw sends the app a message as it stands, whatever it is.
func (s *Slack) Raw(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sockets {
		c.send(json.RawMessage(text))
	}
}

// LoseAcks loses the next acks, as when a socket breaks at that moment.
func (s *Slack) LoseAcks(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = n
}

// Again sends all events once more that were acked already, with the same event ids.
func (s *Slack) Again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.acked {
			e.acked, e.next = false, time.Now()
		}
	}
}

// Cut resets all sockets.
func (s *Slack) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sockets {
		if t, ok := c.ws.NetConn().(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.ws.Close()
	}
}

// Freeze keeps all sockets open and silent.
func (s *Slack) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sockets {
		c.write.Lock()
		c.frozen = true
		c.write.Unlock()
	}
}

// Disconnect tells all sockets to go: "warning", "refresh_requested" or "link_disabled", as Slack does before it closes
// them.
func (s *Slack) Disconnect(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sockets {
		c.send(fields{"type": "disconnect", "reason": reason, "debug_info": fields{"host": "lab"}})
	}
}

// send drops what goes to a frozen socket, as a network does that lets nothing through.
func (c *slackSocket) send(v any) {
	c.write.Lock()
	defer c.write.Unlock()
	if c.frozen {
		return
	}
	_ = c.ws.SetWriteDeadline(time.Now().Add(3 * time.Second))
	_ = c.ws.WriteJSON(v)
}

// link is a socket from its ticket to its end.
func (s *Slack) link(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	s.mu.Lock()
	ok := s.tickets[ticket]
	delete(s.tickets, ticket) // it is good for one connection
	s.mu.Unlock()
	if !ok {
		http.Error(w, "ticket", http.StatusUnauthorized)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.opened++
	c := &slackSocket{ws: ws, n: s.opened, sent: map[string]*slackEnvelope{}}
	c.send(fields{"type": "hello", "num_connections": len(s.sockets) + 1, "connection_info": fields{"app_id": slackAppID}, "debug_info": fields{"host": "lab", "approximate_connection_time": 3600}})
	s.sockets = append(s.sockets, c)
	s.touch()
	s.mu.Unlock()
	for {
		kind, b, err := ws.ReadMessage()
		if err != nil {
			break
		}
		s.mu.Lock()
		s.ack(c, kind, b)
		s.touch()
		s.mu.Unlock()
	}
	_ = ws.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = slices.DeleteFunc(s.sockets, func(x *slackSocket) bool { return x == c })
	for _, v := range c.sent {
		s.missed(v)
	}
	s.touch()
}

// ack takes what the app sent: the ack of an envelope that came on the same socket, in time, once, without a payload.
func (s *Slack) ack(c *slackSocket, kind int, b []byte) {
	var a struct {
		ID      string          `json:"envelope_id"`
		Payload json.RawMessage `json:"payload"`
	}
	if kind != websocket.TextMessage || json.Unmarshal(b, &a) != nil || a.ID == "" {
		s.bad("no ack: %.80q", b)
		return
	}
	v := c.sent[a.ID]
	switch {
	case v == nil:
		s.bad("the ack of an envelope that did not come on this socket: %s", a.ID)
	case v.event.acked && v.done:
		s.bad("an envelope is acked twice")
	case v.done:
		s.bad("an ack after %s; there are %s", time.Since(v.sent).Round(time.Millisecond), s.Ack)
	case len(a.Payload) > 0 && string(a.Payload) != "null":
		s.bad("a payload in the ack of %s, which takes none", v.event.kind)
	case s.lose > 0:
		s.lose--
	default:
		v.done, v.event.acked, v.event.flying = true, true, false
	}
}

// missed has an event sent again, unless it was often enough. Presses are not sent again. It is called with the lock.
func (s *Slack) missed(v *slackEnvelope) {
	e := v.event
	if v.done {
		return
	}
	v.done, e.flying = true, false
	if e.kind != "events_api" || e.attempts > len(s.Retries) {
		e.givenUp = true
		return
	}
	e.next = time.Now().Add(s.Retries[e.attempts-1])
}

// pump sends what is due, each event to one socket, and pings.
func (s *Slack) pump() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		guard.Do(func() { s.send(n%200 == 0) })
	}
}

// send notes acks that are late, and sends each event that is due to one socket; with ping it also pings them all.
func (s *Slack) send(ping bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sockets {
		for _, v := range c.sent {
			if !v.done && time.Since(v.sent) > s.Ack {
				s.missed(v)
				s.touch()
			}
		}
		if c.write.Lock(); ping && !c.frozen {
			_ = c.ws.WriteControl(websocket.PingMessage, []byte("lab"), time.Now().Add(time.Second))
		}
		c.write.Unlock()
	}
	for _, e := range s.events {
		if e.acked || e.givenUp || e.flying || time.Now().Before(e.next) || len(s.sockets) == 0 {
			continue
		}
		c := s.sockets[s.seq%len(s.sockets)] // never to all
		e.attempts++
		e.flying = true
		env := fields{"type": e.kind, "envelope_id": s.id("env"), "payload": e.payload, "accepts_response_payload": e.kind != "events_api"}
		if e.kind == "events_api" {
			env["retry_attempt"], env["retry_reason"] = e.attempts-1, ""
			if e.attempts > 1 {
				env["retry_reason"] = "timeout"
			}
		}
		c.sent[env["envelope_id"].(string)] = &slackEnvelope{event: e, to: c, sent: time.Now()}
		c.send(env)
	}
}
