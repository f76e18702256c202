package checks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/internal/proc"
	"github.com/jarvisops/jarvis/post"
)

// commandTime is how long the program of a contact may take.
const commandTime = 30 * time.Second

// SetMail changes the server that takes mails.
func (m *Monitor) SetMail(c post.MailConfig) { m.letters.by(c) }

// letters sends the rows of the outbox that are letters. It owns which server takes mails; what is under way is known
// to run alone. It needs what is declared, and how the letters of this record are named.
type letters struct {
	box     *outbox
	mail    atomic.Pointer[post.MailConfig]
	catalog func() *model.Catalog
	of      func() string // ends the names of letters: other records have other names
}

// by has another server take mails.
func (s *letters) by(c post.MailConfig) { s.mail.Store(&c) }

// mailsAtOnce is how many mails are under way at once: all go to the same server.
const mailsAtOnce = 8

// run sends what contacts outside of chat are to be told, until ctx ends. Each contact has one letter under way, so
// that none waits for another whose receiver does not answer, and its letters go in order.
func (s *letters) run(ctx context.Context) {
	again := time.NewTicker(actPeriod)
	defer again.Stop()
	var wg guard.Group
	defer wg.Wait()
	room := make(chan struct{}, mailsAtOnce)
	order, known := newLetterOrder(), map[int64]string{}
	for {
		list, err := order.begin(s.box.now(), func() ([]waiting, error) { return s.box.openLetters(ctx, known) })
		if err != nil && ctx.Err() == nil {
			s.box.log.Error("read what is to be sent", "err", err)
		}
		for _, w := range list {
			r, err := s.box.row(ctx, w.id)
			if err != nil {
				order.end(w, err)
				if ctx.Err() == nil {
					s.box.log.Error("read what is to be sent", "err", err)
				}
				continue
			}
			wg.Go(guard.Log(s.box.log, "send a letter", "contact", w.contact), func() {
				err := s.box.do(ctx, r, func(ctx context.Context, r outboxRow) error { return s.send(ctx, r, room) })
				order.end(w, err)
				poke(s.box.sends)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-s.box.sends:
		case <-again.C:
		}
	}
}

// contactOf gives whom a letter is to; "": it cannot be read.
func contactOf(body string) string {
	var l struct {
		Contact string `json:"contact"`
	}
	_ = json.Unmarshal([]byte(body), &l) // send tells it
	return l.Contact
}

// id is the name of a letter, the same at each try.
func (s *letters) id(id int64) string { return fmt.Sprintf("check-%d.%s", id, s.of()) }

// lettersOf is what ends the names of the letters of this record.
func (m *Monitor) lettersOf() string {
	if m.Engine != nil {
		return m.Engine.Installation()
	}
	return m.known
}

// send sends one; a mail when there is room for it.
func (s *letters) send(ctx context.Context, r outboxRow, room chan struct{}) error {
	var l letter
	if err := json.Unmarshal([]byte(r.body), &l); err != nil {
		return err
	}
	to, ok := s.catalog().Contact(l.Contact)
	if !ok || to.InChat() || len(l.Events) == 0 {
		return &goneError{"the contact " + l.Contact}
	}
	id := s.id(r.id)
	msg := post.Message{ID: id, At: r.at, Subject: l.subject(), Text: l.text(id)}
	for _, first := range l.Replies {
		msg.Replies = append(msg.Replies, s.id(first))
	}
	var err error
	mail := mailed{ID: id, Contact: l.Contact, Subject: msg.Subject}
	for _, e := range l.Events {
		mail.Events = append(mail.Events, e.spelled())
	}
	if msg.Body, err = contract.Marshal(mail); err != nil {
		return err
	}
	switch {
	case to.Mail != "":
		select {
		case <-ctx.Done():
			return ctx.Err()
		case room <- struct{}{}:
		}
		defer func() { <-room }()
		return s.sendMail(ctx, to.Mail, msg)
	case to.Webhook != "":
		h, err := post.NewHook(string(to.Webhook), "", "")
		if err != nil {
			return errors.New("the webhook: its URL is not a valid one") // the URL is a secret
		}
		return h.Send(ctx, msg)
	}
	return tellProgram(ctx, to, &l, msg)
}

// mailed is what a webhook and a program of a contact are told. The same id may come again.
type mailed struct {
	ID      string    `json:"id"`
	Contact string    `json:"contact"`
	Subject string    `json:"subject"`
	Events  []spelled `json:"events"`
}

// sendMail asks for the mail server each time: a reload may have brought another.
func (s *letters) sendMail(ctx context.Context, address string, msg post.Message) error {
	cfg := s.mail.Load()
	if cfg.Server == "" {
		return errors.New("mail.server is not set: nobody takes mails")
	}
	to, err := cfg.To(address)
	if err != nil {
		return err
	}
	return to.Send(ctx, msg)
}

// tellProgram runs the program of a contact. It took the letter when it ends with 0. What an earlier try left running
// is ended first.
func tellProgram(ctx context.Context, to model.Contact, l *letter, msg post.Message) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	env := append(proc.Environ(), "JARVIS_CONTACT="+to.Name, "JARVIS_ID="+msg.ID, "JARVIS_SUBJECT="+msg.Subject, "JARVIS_EVENTS="+strconv.Itoa(len(l.Events)))
	first := outboxRow{action: l.Events[0].Action, Event: l.Events[0].Event}
	for k, v := range first.environment() {
		env = append(env, k+"="+strings.ReplaceAll(v, "\x00", ""))
	}
	var out tail
	e, err := proc.Run(ctx, proc.Command{Path: to.Command[0], Args: to.Command[1:], Dir: "/", Env: env, Word: msg.ID, Stdin: bytes.NewReader(msg.Body), Stdout: &out, Stderr: &out})
	name := to.Command[0]
	switch {
	case e.Stopped || ctx.Err() != nil:
		return fmt.Errorf("%s was ended after %s", name, commandTime)
	case err != nil:
		return fmt.Errorf("%s cannot be run: %w", name, plain.Error(err))
	case e.Signal != 0:
		return fmt.Errorf("%s was ended by signal %d (%s)", name, e.Signal, e.Signal)
	case e.Code != 0:
		return fmt.Errorf("%s ended with %d: %s", name, e.Code, cmp.Or(out.last(), "it said nothing"))
	}
	return nil
}

// tail keeps the end of what a program writes.
type tail struct{ b []byte }

const maxTail = 1 << 10

// Write is io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(p), nil
}

// last gives the last line.
func (t *tail) last() string {
	text := strings.TrimSpace(string(t.b))
	return plain.Line(text[strings.LastIndexByte(text, '\n')+1:])
}
