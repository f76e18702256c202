// Package post hands one message to a receiver outside: a webhook or a mail server. It tries once; who calls it keeps
// what is to be sent, and tries again.
//
//	checks, bot (rows in the database) ──► Hook.Send ──► POST, signed      (HTTPS)
//	                                  └──► Mail.Send ──► a mail            (SMTP)
//
// Each try has its end after Timeout. A message has the same ID at each try, so that the receiver can tell a
// repetition. It starts no goroutine of its own, keeps no state but idle connections, and its errors hold neither a URL
// nor a secret.
package post

import (
	"context"
	"errors"
	"time"
)

// Timeout bounds one try.
const Timeout = 10 * time.Second

// Message is what is sent. A Hook takes Body, a Mail the others.
type Message struct {
	ID      string // the same at each try; letters, digits, ".", "-", "_"
	At      time.Time
	Body    []byte   // JSON
	Subject string   // one line
	Text    string   // lines
	Replies []string // IDs of messages that it belongs to, of a mail its thread; nil: none
}

// Sender is where messages go. Send returns nil only when the receiver took it. It is safe for concurrent use.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// ErrRefused is wrapped by the error of a receiver that is there, and does not take this message. Others may be taken.
var ErrRefused = errors.New("refused")
