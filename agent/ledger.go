package agent

import (
	"context"
	"sync"
)

// Owner is the agent to which the work of a run belongs.
type Owner struct {
	ID, Name string
	Call     string // what it may have been sent last, as "3 esx:deploy do 0"
	Over     bool   // what came of it is known
}

// Ledger remembers which agent has the work of a run in hand, so that no other begins the same.
type Ledger interface {
	// Owner gives the agent; the zero Owner when nobody has it.
	Owner(ctx context.Context, run int64) (Owner, error)
	// Own says that an agent is about to be sent a call; whoever had the work before, has it no more.
	Own(ctx context.Context, run int64, o Owner) error
	// Over says that what came of it is known. It stays the owner: it can say it again.
	Over(ctx context.Context, run int64, o Owner) error
}

// memory is a Ledger of this process alone.
type memory struct {
	mu sync.Mutex
	by map[int64]Owner
}

func (m *memory) Owner(_ context.Context, run int64) (Owner, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.by[run], nil
}

func (m *memory) Own(_ context.Context, run int64, o Owner) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by = map[int64]Owner{}
	}
	m.by[run] = o
	return nil
}

func (m *memory) Over(_ context.Context, run int64, o Owner) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by[run].ID == o.ID {
		o.Over = true
		m.by[run] = o
	}
	return nil
}
