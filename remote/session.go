package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// session opens one. A host has room for so many on a connection (MaxSessions in sshd_config(5)); when it is full, this
// waits until one of ours ends. For those that are held nobody can wait: there is a second connection then, which
// closes with the first. The Client that is returned is the one whose session it is.
func (c *Client) session(ctx context.Context, hold bool) (*gossh.Session, *Client, error) {
	alone := 0
	for {
		c.mu.Lock()
		if c.freed == nil {
			c.freed = make(chan struct{})
		}
		c.active++
		if hold {
			c.held++
		}
		c.mu.Unlock()
		s, err := c.open()
		if err == nil {
			return s, c, nil
		}
		others, held, freed := c.free(hold)
		shells := c.closeQuick() // they are only for speed
		var full *gossh.OpenChannelError
		if !errors.As(err, &full) {
			return nil, c, fmt.Errorf("%w: %s", errNotOpened, reason(err))
		}
		switch {
		case others > held || shells:
			alone = 0
		case held > 0:
			more, err := c.another(ctx)
			if err != nil {
				return nil, c, fmt.Errorf("%s has no room for another session on this connection (MaxSessions), and gives no second connection: %w", c.addr, err)
			}
			return more.session(ctx, hold)
		default:
			if alone++; alone > 10 { // the host may still be clearing up after the last one
				return nil, c, fmt.Errorf("%s opens no session: %s", c.addr, full.Message)
			}
		}
		select {
		case <-ctx.Done():
			return nil, c, context.Cause(ctx)
		case <-freed:
		case <-time.After(100 * time.Millisecond): // whoever was there may have been refused as well
		}
	}
}

// free counts a session out, and says how many others there are or will be, how many of them are held, and when one has
// ended.
func (c *Client) free(hold bool) (others, held int, freed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active--
	if hold {
		c.held--
	}
	close(c.freed)
	c.freed = make(chan struct{})
	return c.active, c.held, c.freed
}

// another gives a second connection to the same host.
func (c *Client) another(ctx context.Context) (*Client, error) {
	c.second.Lock()
	defer c.second.Unlock()
	if c.closed {
		return nil, ErrLost
	}
	if c.more != nil {
		return c.more, nil
	}
	more, err := Dial(ctx, c.target)
	c.more = more
	return more, err
}

// countPlain counts a plain line until the function that it gives is called, and alonePlain reports whether there is
// one only.
func (c *Client) countPlain() (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plains++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.plains--
	}
}

// alonePlain reports whether the one plain line that runs is ours.
func (c *Client) alonePlain() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plains == 1
}
