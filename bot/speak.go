package bot

import (
	"context"
	"errors"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/store"
)

// Of several nodes one speaks on a network: it has the link, hears, answers, and says the notices that wait there. The
// others have no link at all. Whoever speaks and finds the network out of reach for a while lets another try.

// chanNotices is the channel on which nodes tell each other that there are notices.
const chanNotices = "jarvis_notices"

// What a node that speaks may be without a link before it lets another try.
const (
	muteFor  = 45 * time.Second
	lookLink = 5 * time.Second
)

// Voice is the name of the role of speaking on a network.
func Voice(frontend string) string { return "chat " + frontend }

// speak serves a frontend while this node has its voice. The console is this process's own.
func (b *Bot) speak(ctx context.Context, f Frontend) error {
	if f.Network() == "console" {
		return b.serveFrontend(ctx, f)
	}
	return b.DB.InRole(ctx, Voice(f.Name()), func(ctx context.Context) error {
		b.forget(f)
		b.setSpeaks(f.Name(), true)
		defer b.setSpeaks(f.Name(), false)
		return b.serveFrontend(ctx, f)
	})
}

func (b *Bot) setSpeaks(frontend string, yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.speaking[frontend] = yes
}

// Speaks reports whether this node is the one that speaks on a network. Of several nodes one does, and only that has a
// link.
func (b *Bot) Speaks(frontend string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.speaking[frontend]
}

// forget drops what was known of a network the last time that we spoke on it.
func (b *Bot) forget(f Frontend) {
	b.notices.mu.Lock()
	defer b.notices.mu.Unlock()
	clear(b.notices.seats) // other nodes have noted others meanwhile
}

// serveFrontend has the link and says what waits. It returns the frontend's error; ErrYield when it has no link and
// another node lives that may have one.
func (b *Bot) serveFrontend(ctx context.Context, f Frontend) error {
	ctx, stop := context.WithCancelCause(ctx)
	var wg guard.Group
	defer wg.Wait()
	defer stop(nil) // also after a panic: begun again, two would deliver
	wake := b.notices.waker(f.Name())
	caught := guard.Log(b.Log, "deliver notices", "frontend", f.Name())
	wg.Go(caught, func() {
		_ = guard.Loop(ctx, caught, func(ctx context.Context) error { b.notices.deliver(ctx, f, wake); return nil })
	})
	if l, ok := f.(LinkChecker); ok && b.DB.Shared() {
		wg.Go(guard.Log(b.Log, "look whether there is a link", "frontend", f.Name()), func() {
			if b.mute(ctx, f.Name(), l) {
				stop(store.ErrYield)
			}
		})
	}
	err := f.Run(ctx, func(m Message) { b.hear(ctx, f, m) })
	if errors.Is(context.Cause(ctx), store.ErrYield) {
		return store.ErrYield
	}
	return err
}

// mute returns true when there was no link for too long, while another node lives that may try; false when ctx ends.
func (b *Bot) mute(ctx context.Context, name string, l LinkChecker) bool {
	up := time.Now()
	t := time.NewTicker(lookLink)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
		switch {
		case l.Up():
			up = time.Now()
		case time.Since(up) > muteFor && b.company(ctx):
			b.Log.Warn("no link to this chat network; another node may try", "frontend", name, "for", time.Since(up).Round(time.Second).String())
			return true
		}
	}
}

// company reports whether another node lives that takes roles.
func (b *Bot) company(ctx context.Context) bool {
	lives, err := b.DB.Lives(ctx)
	if err != nil {
		return false
	}
	for _, l := range lives {
		if l.State == store.Lives && l.Holder != b.DB.Holder() && l.Drains.IsZero() {
			return true
		}
	}
	return false
}

// waker gives the channel on which a frontend's deliverer is told that something may wait.
func (n *notices) waker(frontend string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	ch := n.wake[frontend]
	if ch == nil {
		ch = make(chan struct{}, 1)
		n.wake[frontend] = ch
	}
	return ch
}

// wakeAll has those who speak here look.
func (n *notices) wakeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, ch := range n.wake {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// tell has those who speak look, on every node.
func (n *notices) tell(ctx context.Context) {
	n.wakeAll()
	if !n.b.DB.Shared() {
		return
	}
	if err := n.b.DB.Notify(ctx, chanNotices, n.b.DB.Holder()); err != nil {
		n.b.Log.Debug("tell the other nodes of notices", "err", err) // they look by themselves
	}
}

// listen wakes those who speak here when another node has collected notices, and from time to time.
func (n *notices) listen(ctx context.Context) {
	if !n.b.DB.Shared() {
		return
	}
	said := n.b.DB.Listen(ctx, chanNotices)
	look := time.NewTicker(2 * time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-said:
			if x.Payload == n.b.DB.Holder() {
				continue
			}
		case <-look.C:
		}
		n.wakeAll()
	}
}
