package agent

import (
	"context"
	"slices"
	"sync"
)

// Owner is the agent to which the work of a run belongs.
type Owner struct {
	ID, Name string
	Call     string // what it may have been sent last, as "3 esx:deploy do 0"
	Over     bool   // what came of it is known
	Asked    bool   // a person was asked about it, because it did not come back
}

// Loose is a call that an agent may still do although nobody wants it: its line was cut when that was said, or the run
// went on at another. It is told to stop when it can be, and until it has, no other agent begins anything of that run
// unasked.
type Loose struct {
	Run int64
	Owner
}

// Ledger remembers which agent has the work of a run in hand, so that no other begins the same.
type Ledger interface {
	// Owner gives the agent; the zero Owner when nobody has it.
	Owner(ctx context.Context, run int64) (Owner, error)
	// Own says that an agent is about to be sent a call; whoever had the work before has it no more. What that one may
	// still do is loose.
	Own(ctx context.Context, run int64, o Owner) error
	// Over says that what came of it is known. It stays the owner: it can say it again.
	Over(ctx context.Context, run int64, o Owner) error
	// LetGo says that the owner could not be told to stop: its call is loose, and nobody owns the run.
	LetGo(ctx context.Context, run int64, o Owner) error
	// Loose gives the calls that are loose of a run, and of all others of its host; of those that are over also what is
	// not over.
	Loose(ctx context.Context, run int64) ([]Loose, error)
	// Holds gives what an agent may still do: what it owns and is not over, and, in loose, what nobody wants.
	Holds(ctx context.Context, agent string) (owns, loose []Loose, err error)
	// Stopped says that an agent does a call no more.
	Stopped(ctx context.Context, l Loose) error
	// Asked notes that a person is asked about what an agent may still do.
	Asked(ctx context.Context, run int64, agent string) error
}

// memory is a Ledger of this process alone.
type memory struct {
	mu    sync.Mutex
	by    map[int64]Owner
	loose []Loose
}

// NewMemory makes a Ledger of this process alone.
func NewMemory() Ledger { return &memory{by: map[int64]Owner{}} }

func (m *memory) Owner(_ context.Context, run int64) (Owner, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.by[run], nil
}

func (m *memory) Own(_ context.Context, run int64, o Owner) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own(run, o)
	return nil
}

// own is Own with mu held.
func (m *memory) own(run int64, o Owner) {
	was := m.by[run]
	if was.mayGoOn() && was.ID != o.ID && o.ID != nobody {
		m.drop(run, was.ID)
		m.loose = append(m.loose, Loose{run, was})
	}
	m.drop(run, o.ID)
	m.by[run] = o
}

// mayGoOn reports whether the owner may still do its call.
func (o Owner) mayGoOn() bool { return o.ID != "" && o.ID != nobody && !o.Over }

// drop forgets what was loose of a run at an agent, which ends it before it begins more of that run. mu is held.
func (m *memory) drop(run int64, agent string) {
	m.loose = slices.DeleteFunc(m.loose, func(l Loose) bool { return l.Run == run && l.ID == agent })
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

func (m *memory) LetGo(_ context.Context, run int64, o Owner) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(run, o.ID)
	m.loose = append(m.loose, Loose{run, o})
	m.by[run] = Owner{ID: nobody, Call: o.Call}
	return nil
}

func (m *memory) Loose(_ context.Context, run int64) (out []Loose, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.loose {
		if l.Run == run {
			out = append(out, l)
		}
	}
	return out, nil
}

func (m *memory) Holds(_ context.Context, agent string) (owns, loose []Loose, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for run, o := range m.by {
		if o.ID == agent && !o.Over {
			owns = append(owns, Loose{run, o})
		}
	}
	for _, l := range m.loose {
		if l.ID == agent {
			loose = append(loose, l)
		}
	}
	return owns, loose, nil
}

func (m *memory) Stopped(_ context.Context, l Loose) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loose = slices.DeleteFunc(m.loose, func(o Loose) bool { return o.Run == l.Run && o.ID == l.ID && o.Call == l.Call })
	if o := m.by[l.Run]; o.ID == l.ID && o.Call == l.Call {
		o.Over = true
		m.by[l.Run] = o
	}
	return nil
}

func (m *memory) Asked(_ context.Context, run int64, agent string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.by[run]; o.ID == agent {
		o.Asked = true
		m.by[run] = o
	}
	for i := range m.loose {
		if l := &m.loose[i]; l.Run == run && l.ID == agent {
			l.Asked = true
		}
	}
	return nil
}
