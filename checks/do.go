package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/post"
)

const actAtOnce = 8

// doer does the rows of the outbox that are to be done: commands of the bot, and webhooks. It has no state: what is
// done stands on record. It needs what is declared, who takes commands, and which rows of runs may be done.
type doer struct {
	box     *outbox
	catalog func() *model.Catalog
	command func(ctx context.Context, line, key string) error // nil: nobody takes any
	askable func(outboxRow) error
	asked   func() // other nodes are to look for runs that are asked for
}

// run does what is in the outbox, each at least once, until ctx ends.
func (d *doer) run(ctx context.Context) {
	again := time.NewTicker(actPeriod)
	defer again.Stop()
	for {
		rows, err := d.box.open(ctx, rowDo, 64)
		if err == nil {
			err = d.box.giveUpRuns(ctx, d.askable)
		}
		if err != nil && ctx.Err() == nil {
			d.box.log.Error("read what is to be done", "err", err)
		}
		var wg guard.Group
		room := make(chan struct{}, actAtOnce)
		did := false
		for _, r := range rows {
			did = true
			room <- struct{}{}
			wg.Go(guard.Log(d.box.log, "do what follows on a result", "check", r.Key.String()), func() {
				defer func() { <-room }()
				_ = d.box.do(ctx, r, d.action) // it is noted
			})
		}
		wg.Wait()
		if did && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-d.box.acts:
		case <-again.C:
		}
	}
}

// goneError: what an action was to do is no longer declared.
type goneError struct{ what string }

func (e *goneError) Error() string { return e.what + " is no longer declared" }

// action does what a row asks for. errLater: it became a row of a run. A *goneError: what it was to do is no longer
// declared.
func (d *doer) action(ctx context.Context, r outboxRow) error {
	var a *model.Rule
	for _, x := range d.catalog().Rules {
		if x.Name == r.action {
			a = x
		}
	}
	switch {
	case a == nil:
		return &goneError{"the action " + r.action}
	case a.Task != "": // of a Jarvis for which that was no kind of its own
		if err := d.box.makeRun(ctx, r.id); err != nil {
			return err
		}
		d.asked()
		return errLater
	case a.Run != "":
		if d.command == nil {
			return errors.New("this bot takes no commands from actions")
		}
		return d.command(ctx, strings.ReplaceAll(strings.ReplaceAll(a.Run, "{host}", r.Host), "{task}", r.Task), fmt.Sprintf("check-action-%d", r.id))
	case a.Webhook != "":
		return postEvent(ctx, string(a.Webhook), r)
	}
	return &goneError{"what the action " + r.action + " did"}
}

// postEvent names the address in none of its own errors: it may hold a secret.
func postEvent(ctx context.Context, url string, r outboxRow) error {
	body, err := r.told()
	if err != nil {
		return err
	}
	h, err := post.NewHook(url, "", "")
	if err != nil {
		return errors.New("the webhook: its URL is not a valid one") // the URL is a secret
	}
	return h.Send(ctx, post.Message{ID: fmt.Sprintf("check-%d", r.id), At: r.at, Body: body})
}
