package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Node is a server on this database, from its start until it left or was taken for dead.
type Node struct {
	Name    string              `json:"name"`
	Twin    bool                `json:"twin"` // another that lives has the same name, so a word for one is for both
	Silo    string              `json:"silo"` // "": none of its own
	Version string              `json:"version"`
	State   store.LifeState     `json:"state"`
	Started time.Time           `json:"started"`
	Renewed time.Time           `json:"renewed"`         // when it last proved that it lives, by the database's clock
	Drains  time.Time           `json:"drains,omitzero"` // since when it begins nothing any more
	Runs    int                 `json:"runs"`            // that it has in hand
	Roles   []string            `json:"roles"`           // what it does for all
	Serves  map[string][]string `json:"serves"`          // agents that have a line to it, by silo
	Differs bool                `json:"differs"`         // its configuration has other silos than that of the one that answers
	Here    bool                `json:"here"`            // it is the one that answers

	holder string
}

// nodesShown is how long those that have ended are listed.
const nodesShown = time.Hour

// Nodes lists the servers on this database, those that live first, by name; then those of the last hour whose name no
// other has since then.
func (e *Engine) Nodes(ctx context.Context) ([]Node, error) {
	lives, err := e.db.Lives(ctx)
	if err != nil {
		return nil, err
	}
	roles, err := e.db.Roles(ctx)
	if err != nil {
		return nil, err
	}
	hands, err := e.inHands(ctx)
	if err != nil {
		return nil, err
	}
	differ, err := e.otherSilos(ctx)
	if err != nil {
		return nil, err
	}
	var newest time.Time // by the database's clock, which may not be ours
	for _, l := range lives {
		if l.Renewed.After(newest) {
			newest = l.Renewed
		}
	}
	out := []Node{}
	for _, l := range lives {
		if l.State != store.Lives && newest.Sub(l.Renewed) > nodesShown {
			continue
		}
		n := Node{Name: l.Node.Name, Silo: l.Node.Silo, Version: l.Node.Version, State: l.State, Started: l.Started, Renewed: l.Renewed, Drains: l.Drains,
			Runs: hands[l.Holder], Here: l.Holder == e.db.Holder(), Roles: []string{}, Serves: map[string][]string{}, holder: l.Holder}
		if l.State == store.Lives {
			if n.Serves, err = servers(ctx, e.db, l.Holder); err != nil {
				return nil, err
			}
			n.Differs = differ[l.Holder]
		}
		for _, r := range roles {
			if r.Holder == l.Holder {
				n.Roles = append(n.Roles, r.Name)
			}
		}
		out = append(out, n)
	}
	slices.SortStableFunc(out, func(a, b Node) int {
		switch {
		case a.State == store.Lives && b.State == store.Lives:
			return cmp.Compare(a.Name, b.Name)
		case a.State == store.Lives:
			return -1
		case b.State == store.Lives:
			return 1
		}
		return b.Renewed.Compare(a.Renewed)
	})
	for i, n := range out {
		out[i].Twin = n.State == store.Lives && slices.ContainsFunc(out, func(o Node) bool { return o.State == store.Lives && o.Name == n.Name && o.holder != n.holder })
	}
	known := map[string]bool{}
	return slices.DeleteFunc(out, func(n Node) bool {
		was := known[n.Name]
		known[n.Name] = true
		return was && n.State != store.Lives // it was started again since
	}), nil
}

// inHands counts the runs that each life has in hand.
func (e *Engine) inHands(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	_, err := store.Collect(ctx, e.db, func(row store.Row) (none struct{}, err error) {
		var holder string
		var n int
		err = row.Scan(&holder, &n)
		out[holder] = n
		return none, err
	}, "SELECT "+e.jobWords().holder+", count(*) FROM river_job WHERE kind = 'jarvis_carry' AND state = 'running' GROUP BY 1")
	return out, err
}

// AmbiguousNodeError says that several that live have one name.
type AmbiguousNodeError struct{ Name string }

// Error implements error.
func (e *AmbiguousNodeError) Error() string {
	return fmt.Sprintf("%s is the name of several servers that live, and a word for one would be for all", e.Name)
}

// LastNodeError says that a node cannot drain, because no other would go on.
type LastNodeError struct {
	Name, Silo string
	Elsewhere  bool // others work, and do nothing of what is done where it stands
}

// Error implements error.
func (e *LastNodeError) Error() string {
	where := ""
	switch {
	case e.Silo != "":
		where = " in the silo " + e.Silo
	case e.Elsewhere:
		where = " outside of the silos"
	}
	return fmt.Sprintf("%s is the only server that works%s, and nobody would go on with its runs", e.Name, where)
}

// Drain has a node begin nothing any more: its runs go on elsewhere from their next stage on, and others take its
// roles. It stays so until it is started again. ErrNotFound when no such node lives; a *LastNodeError when no other
// does what is done where it stands: in its silo, itself or by an agent, or outside of all.
func (e *Engine) Drain(ctx context.Context, name string) error {
	nodes, err := e.Nodes(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.State == store.Lives && n.Name == name })
	if i < 0 {
		return ErrNotFound
	}
	its := nodes[i]
	if its.Twin {
		return &AmbiguousNodeError{name}
	}
	goesOn, elsewhere := false, false
	for _, n := range nodes {
		if n.State == store.Lives && n.Name != name && n.Drains.IsZero() {
			elsewhere = true
			goesOn = goesOn || n.Silo == its.Silo || its.Silo != "" && len(n.Serves[its.Silo]) > 0
		}
	}
	if !goesOn {
		return &LastNodeError{name, its.Silo, elsewhere}
	}
	for _, n := range nodes {
		if n.Name != name || n.State != store.Lives {
			continue
		}
		if _, err := e.db.Drain(ctx, n.holder); err != nil {
			return err
		}
	}
	return nil
}

// namesakeAfter: a server that was killed counts as living for so long, and has our name then.
const namesakeAfter = time.Minute

// namesake warns of a server that lives and has our name.
func (e *Engine) namesake(ctx context.Context) {
	for e.db.Shared() && ctx.Err() == nil {
		pause(ctx, namesakeAfter)
		var others int
		err := e.db.QueryRow(ctx, "SELECT count(*) FROM jarvis_nodes WHERE state = 'lives' AND name = ? AND holder <> ?", e.db.Node().Name, e.db.Holder()).Scan(&others)
		if err == nil && others > 0 {
			e.log.Warn("another server that lives has the same name as this one, so a word for one is for both: give each a node.name of its own", "name", e.db.Node().Name)
			break
		}
	}
	<-ctx.Done()
}

// drained stops taking jobs when this node is to drain. What is in hand goes on to the end of its step, and then
// elsewhere.
func (e *Engine) drained(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-e.db.Draining():
	}
	e.mu.Lock()
	e.stopping = true
	e.mu.Unlock()
	e.log.Info("this node drains: it begins nothing any more, and what is under way goes on elsewhere from its next step on")
	e.queue.rest()
	<-ctx.Done()
}
