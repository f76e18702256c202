package real

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// MatrixClient is a person on Matrix, written by hand so that it shares nothing with the frontend under test. It keeps
// what it saw as lines: "ROOM SENDER: text" for each line of a message, "ROOM SENDER (thread EVENT): text" in a thread,
// "* ROOM USER joined|left|invited|banned" for members.
type MatrixClient struct {
	*transcript
	ID string // full user id

	s     *Dendrite
	token string
	end   context.CancelFunc
	n     int
}

// DialMatrix logs in and follows what is said in the person's rooms, from now on.
func DialMatrix(ctx context.Context, s *Dendrite, user string) (*MatrixClient, error) {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	c := &MatrixClient{transcript: newTranscript(user), s: s, end: end}
	var in struct {
		Token string `json:"access_token"`
		User  string `json:"user_id"`
	}
	err := s.call(ctx, "", http.MethodPost, "login", map[string]any{"type": "m.login.password",
		"identifier": map[string]string{"type": "m.id.user", "user": user}, "password": "pw-" + user + "-lab"}, &in)
	if err != nil {
		end()
		return nil, fmt.Errorf("log in as %s: %w", user, err)
	}
	c.token, c.ID = in.Token, in.User
	var first matrixSync
	if err := c.call(ctx, http.MethodGet, "sync?timeout=0", nil, &first); err != nil {
		end()
		return nil, err
	}
	go c.read(ctx, first.Next)
	return c, nil
}

func (c *MatrixClient) call(ctx context.Context, method, path string, body, out any) error {
	return c.s.call(ctx, c.token, method, path, body, out)
}

// MatrixEvent is what the lab reads of one.
type MatrixEvent struct {
	Type    string  `json:"type"`
	ID      string  `json:"event_id"`
	Sender  string  `json:"sender"`
	Key     *string `json:"state_key"`
	Content struct {
		MsgType    string `json:"msgtype"`
		Body       string `json:"body"`
		Format     string `json:"format"`
		Membership string `json:"membership"`
		Relates    struct {
			Type string `json:"rel_type"`
			ID   string `json:"event_id"`
		} `json:"m.relates_to"`
		New struct {
			Body string `json:"body"`
		} `json:"m.new_content"`
	} `json:"content"`
}

type matrixSync struct {
	Next  string `json:"next_batch"`
	Rooms struct {
		Join map[string]struct {
			Timeline struct {
				Events []json.RawMessage `json:"events"` // some of which tests make to be wrong
			} `json:"timeline"`
		} `json:"join"`
		Invite map[string]struct {
			State struct {
				Events []MatrixEvent `json:"events"`
			} `json:"invite_state"`
		} `json:"invite"`
	} `json:"rooms"`
}

// wholeTimeline has the server leave out nothing of a room in which much is said at once: its default is 20 events.
var wholeTimeline = url.QueryEscape(`{"room":{"timeline":{"limit":1000}}}`)

// read tries again after an error: a test may restart the server.
func (c *MatrixClient) read(ctx context.Context, since string) {
	defer close(c.done)
	for ctx.Err() == nil {
		var got matrixSync
		if err := c.call(ctx, http.MethodGet, "sync?timeout=20000&filter="+wholeTimeline+"&since="+url.QueryEscape(since), nil, &got); err != nil {
			select { // the server may be restarted
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		since = got.Next
		for room, r := range got.Rooms.Invite {
			for _, e := range r.State.Events {
				if e.Type == "m.room.member" && e.Key != nil && *e.Key == c.ID {
					c.add("* " + room + " " + c.ID + " invited")
				}
			}
		}
		for room, r := range got.Rooms.Join {
			for _, raw := range r.Timeline.Events {
				var e MatrixEvent
				if json.Unmarshal(raw, &e) == nil {
					c.saw(room, e)
				}
			}
		}
	}
}

// saw makes lines of an event, as MatrixClient describes them.
func (c *MatrixClient) saw(room string, e MatrixEvent) {
	switch e.Type {
	case "m.room.member":
		what := map[string]string{"join": "joined", "leave": "left", "invite": "invited", "ban": "banned"}[e.Content.Membership]
		c.add("* " + room + " " + *e.Key + " " + what)
	case "m.room.message":
		from := e.Sender
		if e.Content.Relates.Type == "m.thread" {
			from += " (thread " + e.Content.Relates.ID + ")"
		}
		if e.Content.Relates.Type == "m.replace" {
			from += " (instead of " + e.Content.Relates.ID + ", " + e.Content.New.Body + ")"
		}
		if e.Content.Format != "" {
			from += " (" + e.Content.Format + ")"
		}
		for _, l := range strings.Split(e.Content.Body, "\n") {
			c.add(room + " " + from + ": " + l)
		}
	}
}

// MakeRoom makes one, open to everybody under "#ALIAS:server" unless alias is "", and invites others.
func (c *MatrixClient) MakeRoom(ctx context.Context, alias string, direct bool, invite ...string) (room string, err error) {
	body := map[string]any{"preset": "private_chat", "invite": invite, "is_direct": direct}
	if alias != "" {
		body["preset"], body["room_alias_name"] = "public_chat", alias
	}
	var out struct {
		Room string `json:"room_id"`
	}
	err = c.call(ctx, http.MethodPost, "createRoom", body, &out)
	return out.Room, err
}

// Join enters a room by its id or alias, and gives its id.
func (c *MatrixClient) Join(ctx context.Context, room string) (string, error) {
	var out struct {
		Room string `json:"room_id"`
	}
	err := c.call(ctx, http.MethodPost, "join/"+url.PathEscape(room), struct{}{}, &out)
	return out.Room, err
}

// Do posts one of the verbs of a room: invite, kick, ban, unban, leave.
func (c *MatrixClient) Do(ctx context.Context, room, verb, user string) error {
	return c.call(ctx, http.MethodPost, "rooms/"+url.PathEscape(room)+"/"+verb, map[string]string{"user_id": user}, nil)
}

// Upgrade makes a new room of one, of another version.
func (c *MatrixClient) Upgrade(ctx context.Context, room, version string) (to string, err error) {
	var out struct {
		Room string `json:"replacement_room"`
	}
	err = c.call(ctx, http.MethodPost, "rooms/"+url.PathEscape(room)+"/upgrade", map[string]string{"new_version": version}, &out)
	return out.Room, err
}

// SetState sends a state event.
func (c *MatrixClient) SetState(ctx context.Context, room, kind string, content any) error {
	return c.call(ctx, http.MethodPut, "rooms/"+url.PathEscape(room)+"/state/"+kind+"/", content, nil)
}

// Send sends an event with any content, and gives its id.
func (c *MatrixClient) Send(ctx context.Context, room, kind string, content any) (id string, err error) {
	c.n++
	var out struct {
		ID string `json:"event_id"`
	}
	err = c.call(ctx, http.MethodPut, fmt.Sprintf("rooms/%s/send/%s/p%d", url.PathEscape(room), kind, c.n), content, &out)
	return out.ID, err
}

// Say sends a text, and gives the event's id.
func (c *MatrixClient) Say(ctx context.Context, room, text string) (string, error) {
	return c.Send(ctx, room, "m.room.message", map[string]string{"msgtype": "m.text", "body": text})
}

// Close ends it.
func (c *MatrixClient) Close() {
	c.end()
	<-c.done
	http.DefaultClient.CloseIdleConnections()
}

// LogoutAll takes all tokens of the person back, its own too.
func (c *MatrixClient) LogoutAll(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "logout/all", struct{}{}, nil)
}

// Rename sets the person's display name.
func (c *MatrixClient) Rename(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPut, "profile/"+url.PathEscape(c.ID)+"/displayname", map[string]string{"displayname": name}, nil)
}
