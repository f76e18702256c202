package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
)

// PoolConfig says how long connections live. Zero values stand for the defaults.
type PoolConfig struct {
	Idle      time.Duration // closed after so long without use; 5 min
	KeepAlive time.Duration // asked whether it is still there after so long; 30 s
	Answer    time.Duration // and closed when it says nothing for so long; 10 s
	Dials     int           // handshakes at once; 64
	// Caught is told of a panic in the pool's own goroutines; nil: it is counted only.
	Caught func(*guard.Panic)
}

// Pool keeps one connection to each host, for however many use it. Connections are opened on need, closed when idle,
// and opened once more when a command finds them dead before it began. NewPool starts the goroutine that cares for
// them; Close ends it. Safe for concurrent use.
type Pool struct {
	cfg   PoolConfig
	dials chan struct{}
	done  chan struct{}
	wg    guard.Group

	mu     sync.Mutex
	closed bool
	conns  map[string]*pooled
}

type pooled struct {
	ready  chan struct{} // closed when the dial is over
	client *Client
	err    error
	users  int
	used   time.Time
	asked  time.Time
}

// NewPool starts a pool.
func NewPool(cfg PoolConfig) *Pool {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.Idle, 5*time.Minute)
	def(&cfg.KeepAlive, 30*time.Second)
	def(&cfg.Answer, 10*time.Second)
	if cfg.Dials <= 0 {
		cfg.Dials = 64
	}
	p := &Pool{cfg: cfg, dials: make(chan struct{}, cfg.Dials), done: make(chan struct{}), conns: map[string]*pooled{}}
	if p.cfg.Caught == nil {
		p.cfg.Caught = guard.Count
	}
	p.wg.Go(p.cfg.Caught, p.care)
	return p
}

// Get gives the connection to a host, and what to call when it is no longer used. Whoever shares it with others must
// not close it. The host's key is checked for every caller by their own HostKeys, also on a connection that is open.
func (p *Pool) Get(ctx context.Context, t Target) (*Client, func(), error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, nil, errors.New("the pool of connections is closed")
		}
		c := p.conns[t.Key()]
		if c == nil {
			c = &pooled{ready: make(chan struct{})}
			p.conns[t.Key()] = c
			p.wg.Go(p.cfg.Caught, func() { p.open(ctx, t, c) })
		}
		c.users++
		p.mu.Unlock()
		release := sync.OnceFunc(func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			c.users--
			c.used = time.Now()
		})
		select {
		case <-ctx.Done():
			release()
			return nil, nil, context.Cause(ctx)
		case <-c.ready:
		}
		if c.err != nil {
			release()
			if errors.Is(c.err, context.Canceled) && ctx.Err() == nil {
				continue // whoever dialled gave up; we do not
			}
			return nil, nil, c.err
		}
		if t.HostKeys == nil {
			release()
			return nil, nil, t.vouched(ErrUnknownHost)
		}
		if err := t.HostKeys.Check(t.Addr, c.client.HostKey()); err != nil {
			release()
			return nil, nil, t.vouched(err)
		}
		return c.client, release, nil
	}
}

// open dials for everybody who waits. A connection that ends, however, is forgotten at once.
func (p *Pool) open(ctx context.Context, t Target, c *pooled) {
	release := func() {}
	c.err = guard.Call(func() (err error) { // whoever waits is told
		c.client, release, err = p.dial(ctx, t)
		return err
	})
	defer func() { release() }()
	if bug := (*guard.Panic)(nil); errors.As(c.err, &bug) {
		p.cfg.Caught(bug)
	}
	if c.err != nil && ctx.Err() != nil {
		c.err = errors.Join(context.Canceled, c.err)
	}
	now := time.Now()
	p.mu.Lock()
	c.used, c.asked = now, now
	if c.err != nil {
		p.forget(t.Key(), c)
	}
	closed := p.closed
	p.mu.Unlock()
	close(c.ready)
	if c.err != nil {
		return
	}
	if closed {
		_ = c.client.Close()
	}
	c.client.Wait()
	p.mu.Lock()
	p.forget(t.Key(), c)
	p.mu.Unlock()
}

// dial connects, through the pool's own connection to the jump host if there is one.
func (p *Pool) dial(ctx context.Context, t Target) (*Client, func(), error) {
	var jump *Client
	release := func() {}
	if t.Jump != nil {
		var err error
		var free func()
		if jump, free, err = p.Get(ctx, *t.Jump); err != nil {
			return nil, release, fmt.Errorf("by %s: %w", t.Jump.Addr, err)
		}
		release = free
	}
	select {
	case p.dials <- struct{}{}:
	case <-ctx.Done():
		return nil, release, ctx.Err()
	}
	defer func() { <-p.dials }()
	c, err := dial(ctx, t, jump)
	return c, release, err
}

// forget takes a connection out, unless another has its place.
func (p *Pool) forget(key string, c *pooled) {
	if p.conns[key] == c {
		delete(p.conns, key)
	}
}

// Run runs a command on a host. When its connection is dead before the command began, it is opened once more.
func (p *Pool) Run(ctx context.Context, t Target, cmd Command) (Result, error) {
	for again := false; ; again = true {
		c, release, err := p.Get(ctx, t)
		if err != nil {
			return Result{}, err
		}
		res, err := c.Run(ctx, cmd)
		release()
		if again || !errors.Is(err, errNotOpened) {
			return res, err
		}
		p.Drop(t, c)
	}
}

// Drop closes a connection that proved dead.
func (p *Pool) Drop(t Target, c *Client) {
	p.mu.Lock()
	if o := p.conns[t.Key()]; o != nil && o.client == c {
		delete(p.conns, t.Key())
	}
	p.mu.Unlock()
	_ = c.Close()
}

// Open counts the connections.
func (p *Pool) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// care closes what is idle and asks what is quiet, until Close.
func (p *Pool) care() {
	t := time.NewTicker(min(p.cfg.Idle, p.cfg.KeepAlive) / 4)
	defer t.Stop()
	for {
		select {
		case <-p.done:
			return
		case now := <-t.C:
			if bug := guard.Do(func() { p.careOnce(now) }); bug != nil {
				p.cfg.Caught(bug)
			}
		}
	}
}

// careOnce closes what is idle, and asks the others whether they are there; neither is waited for with the lock held.
func (p *Pool) careOnce(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, c := range p.conns {
		select {
		case <-c.ready:
		default:
			continue
		}
		switch {
		case c.users == 0 && now.Sub(c.used) >= p.cfg.Idle:
			p.forget(key, c)
			p.apart(func() { _ = c.client.Close() })
		case now.Sub(c.asked) >= p.cfg.KeepAlive:
			c.asked = now
			p.apart(func() {
				ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Answer)
				defer cancel()
				_ = c.client.Alive(ctx)
			})
		}
	}
}

// apart runs f in a goroutine that Close waits for.
func (p *Pool) apart(f func()) { p.wg.Go(p.cfg.Caught, f) }

// Close closes all connections and waits for what belongs to them.
func (p *Pool) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	close(p.done)
	for _, c := range p.conns {
		select {
		case <-c.ready:
			if c.err == nil {
				_ = c.client.Close()
			}
		default: // open closes it
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
}
