package slack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	goslack "github.com/slack-go/slack"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
)

// Each post carries this in its metadata, with a number of its own. By that we know ours again: Slack has no key that
// makes a post idempotent, and its client_msg_id is not a bot's to give.
const (
	metadataType = "jarvis_line"
	actionPrefix = "jarvis:"
)

// unsureKey is a part of a notice at a place. Its words are no part of it: another notice may have the same.
type unsureKey struct {
	id    int64
	place string
	part  int
}

// unsureLine is a part of which a lost answer left open whether it is there.
type unsureLine struct {
	id    string
	since time.Time
}

const (
	maxUnsure  = 1000
	unsureLife = time.Hour
)

// post posts one item, waiting for a link if there is none. wait is not 0 when Slack says to wait.
func (f *Frontend) post(ctx context.Context, it *item) (wait time.Duration, err error) {
	if p := guard.Do(func() { wait, err = f.postNow(ctx, it) }); p != nil {
		guard.Log(f.log, "post to slack", "app", f.name)(p)
		return 0, p
	}
	return wait, err
}

// postNow posts one item. wait > 0: Slack asks us to try again after that. After an error that is no ErrRefused it is
// tried again, too.
func (f *Frontend) postNow(ctx context.Context, it *item) (wait time.Duration, err error) {
	s, err := f.link.Wait(ctx)
	if err != nil {
		return 0, err
	}
	target, thread := cutPlace(it.place)
	f.recall(it)
	channel, err := s.channel(ctx, target)
	if err == nil && !it.since.IsZero() {
		var there string
		if there, err = s.there(ctx, channel, thread, it); there != "" {
			f.posted(it, there)
			return 0, nil
		}
		if code(err) != "" && !unclear(err) { // it must be said at least once
			f.tell("history "+channel, "slack does not show whether a line was said; it may be there twice", explain(err, target))
			err = nil
		}
	}
	began := f.clock.now()
	posting, ts := err == nil, ""
	if posting {
		if it.id == "" {
			it.id = rand.Text()
		}
		ts, err = s.send(ctx, channel, thread, it)
	}
	var limited *goslack.RateLimitedError
	switch {
	case err == nil:
		f.posted(it, ts)
		return 0, nil
	case errors.As(err, &limited):
		return max(limited.RetryAfter, time.Second), nil
	case errors.Is(err, bot.ErrRefused):
		return 0, err
	case unclear(err):
		it.tries++
		if posting && it.since.IsZero() {
			it.since = began
		}
		f.keep(it)
		return 0, err
	case refusesTokens(err):
		it.tries++
		s.end(err) // and connect waits long
		return 0, err
	}
	return 0, refused(err, target)
}

// posted is what follows when an item is there.
func (f *Frontend) posted(it *item, ts string) {
	f.forget(it)
	if it.change == "" && it.choices.Shown != nil {
		target, _ := cutPlace(it.place)
		it.choices.Shown(bot.Post{At: target + "/" + ts, Text: it.text})
	}
}

// send posts an item, or changes a post, and gives its ts.
func (s *session) send(ctx context.Context, channel, thread string, it *item) (ts string, err error) {
	opts := []goslack.MsgOption{goslack.MsgOptionText(it.text, false)}
	style := formatted(it.text)
	if !style {
		opts = append(opts, goslack.MsgOptionDisableMarkdown())
	}
	if it.change != "" {
		_, _, _, err = s.api.UpdateMessageContext(ctx, channel, it.change, append(opts, goslack.MsgOptionParse(false), goslack.MsgOptionBlocks())...)
		return it.change, err
	}
	opts = append(opts, goslack.MsgOptionDisableLinkUnfurl(), goslack.MsgOptionDisableMediaUnfurl(),
		goslack.MsgOptionMetadata(goslack.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{"id": it.id}}))
	if thread != "" {
		opts = append(opts, goslack.MsgOptionTS(thread))
	}
	if len(it.choices.List) > 0 {
		opts = append(opts, goslack.MsgOptionBlocks(blocks(it.text, style, it.choices.List)...))
	}
	_, ts, err = s.api.PostMessageContext(ctx, channel, opts...)
	return ts, err
}

// there gives the ts of a post that was sent, when the history shows it, by its number; else "".
func (s *session) there(ctx context.Context, channel, thread string, it *item) (ts string, err error) {
	if it.change != "" {
		return "", nil // a change can be made twice
	}
	err = s.history(ctx, channel, thread, it.since.Add(-time.Minute), func(m goslack.Message) bool {
		id, _ := m.Metadata.EventPayload["id"].(string)
		if m.User == s.me.UserID && m.Metadata.EventType == metadataType && id == it.id {
			ts = m.Timestamp
		}
		return ts == ""
	})
	return ts, err
}

// keep remembers of a notice what is not known.
func (f *Frontend) keep(it *item) {
	if it.notice.id == 0 || it.since.IsZero() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.unsure) >= maxUnsure {
		clear(f.unsure)
	}
	f.unsure[it.notice] = unsureLine{it.id, it.since}
}

// recall finds what is remembered of a notice that is tried again.
func (f *Frontend) recall(it *item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u, ok := f.unsure[it.notice]; ok && it.notice.id != 0 && it.since.IsZero() && f.clock.now().Sub(u.since) < unsureLife {
		it.id, it.since = u.id, u.since
	}
}

// forget ends the doubt about a part: it is there.
func (f *Frontend) forget(it *item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.unsure, it.notice)
}

// maxSection is how long the text of a block may be (https://docs.slack.dev/reference/block-kit/blocks/section-block).
const maxSection = 3000

// blocks gives a text with buttons under it.
func blocks(text string, style bool, choices []bot.Choice) []goslack.Block {
	if len(text) > maxSection {
		text, style = bot.Split(text, maxSection-4)[0]+" …", false
	}
	t := goslack.NewTextBlockObject(goslack.MarkdownType, text, false, false)
	if !style { // a plain text has no entities
		t = goslack.NewTextBlockObject(goslack.PlainTextType, entities.Replace(text), false, false)
	}
	var row []goslack.BlockElement
	for i, c := range choices {
		row = append(row, goslack.NewButtonBlockElement(actionPrefix+string(rune('0'+i)), c.Words, goslack.NewTextBlockObject(goslack.PlainTextType, c.Label, false, false)))
	}
	return []goslack.Block{goslack.NewSectionBlock(t, nil, nil), goslack.NewActionBlock("", row...)}
}

// Settle takes the buttons of a post away, and has its text end with how it was decided.
func (f *Frontend) Settle(ctx context.Context, p bot.Post, how string) error {
	text := p.Text
	if how != "" && text != "" {
		text += "\n" + escape(how)
	}
	return f.change(ctx, p, text)
}

// Edit is bot.Editor.
func (f *Frontend) Edit(ctx context.Context, p bot.Post, line string) error {
	return f.change(ctx, p, posts([]string{line})[0])
}

// change has a post say something else.
func (f *Frontend) change(ctx context.Context, p bot.Post, text string) error {
	target, ts, ok := strings.Cut(p.At, "/")
	if !ok || target == "" || ts == "" || text == "" {
		return fmt.Errorf("%w: %q is no post", bot.ErrRefused, p.At)
	}
	if _, err := f.link.Wait(ctx); err != nil {
		return err
	}
	it := item{place: target, text: text, change: ts, done: make(chan error, 1)}
	if !f.out.add(it) {
		return fmt.Errorf("too many lines wait for %s", target)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-it.done:
		return err
	}
}
