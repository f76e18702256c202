package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// What is on record about silos: which steps there are in each, for those who have none of them, and by whom each is
// served beside the nodes that stand in it. Who serves is bound to the life of a node, and ends with it.

// SiloNames lists the silos of the configuration.
func (e *Engine) SiloNames() []string {
	var out []string
	for _, silo := range e.silos {
		if !slices.Contains(out, silo) {
			out = append(out, silo)
		}
	}
	slices.Sort(out)
	return out
}

// siloConfig is what the configuration says of silos, in one form.
func (e *Engine) siloConfig() string {
	var out []string
	for _, module := range slices.Sorted(maps.Keys(e.silos)) {
		out = append(out, module+" in "+e.silos[module])
	}
	return strings.Join(out, ", ")
}

// noteSilos puts on record what this node's configuration says of silos, for the others to compare.
func (e *Engine) noteSilos(ctx context.Context) error {
	return e.db.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO silo_configs (holder, said) VALUES (?, ?) ON CONFLICT (holder) DO UPDATE SET said = excluded.said", e.db.Holder(), e.siloConfig())
		if err == nil {
			_, err = tx.Exec(ctx, "DELETE FROM silo_configs WHERE NOT "+fmt.Sprintf(store.SQLTaken, "silo_configs.holder"))
		}
		return err
	})
}

// otherSilos gives the lives of nodes whose configurations say something else of silos than ours. Between such, a run
// may be sent to and fro, or wait for what one of them does not know.
func (e *Engine) otherSilos(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	_, err := store.Collect(ctx, e.db, func(row store.Row) (none struct{}, err error) {
		var holder string
		err = row.Scan(&holder)
		out[holder] = true
		return none, err
	}, "SELECT holder FROM silo_configs WHERE said <> ?", e.siloConfig())
	return out, err
}

// sqlServed: somebody who begins something takes the runs of the silo that is the argument, which stands twice.
const sqlServed = `SELECT EXISTS (SELECT 1 FROM jarvis_nodes WHERE silo = ? AND state = 'lives' AND drains = 0)
	OR EXISTS (SELECT 1 FROM silo_servers JOIN jarvis_nodes ON jarvis_nodes.holder = silo_servers.holder WHERE silo_servers.silo = ? AND state = 'lives' AND drains = 0)`

func served(ctx context.Context, q store.Querier, silo string) (ok bool, err error) {
	err = q.QueryRow(ctx, sqlServed, silo, silo).Scan(&ok)
	return ok, err
}

// noteServed puts on record which silos agents serve through this node.
func (e *Engine) noteServed(ctx context.Context) error {
	return e.db.Write(ctx, func(tx store.Tx) error {
		was, err := servers(ctx, tx, e.db.Holder())
		if err != nil {
			return err
		}
		is := e.serving.agents()
		for silo := range was {
			if len(is[silo]) == 0 {
				if _, err := tx.Exec(ctx, "DELETE FROM silo_servers WHERE silo = ? AND holder = ?", silo, e.db.Holder()); err != nil {
					return err
				}
			}
		}
		for silo, who := range is {
			if len(who) == 0 || slices.Equal(was[silo], who) {
				continue
			}
			if _, err := tx.Exec(ctx, "INSERT INTO silo_servers (silo, holder, agents, names, since) VALUES (?, ?, ?, ?, ?) ON CONFLICT (silo, holder) DO UPDATE SET agents = excluded.agents, names = excluded.names",
				silo, e.db.Holder(), len(who), strings.Join(who, "\n"), time.Now().UnixMilli()); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, "DELETE FROM silo_servers WHERE NOT "+fmt.Sprintf(store.SQLTaken, "silo_servers.holder"))
		return err
	})
}

// servers names the agents of each silo at a life of a node.
func servers(ctx context.Context, q store.Querier, holder string) (map[string][]string, error) {
	out := map[string][]string{}
	_, err := store.Collect(ctx, q, func(row store.Row) (none struct{}, err error) {
		var silo, names string
		err = row.Scan(&silo, &names)
		out[silo] = strings.Split(names, "\n")
		return none, err
	}, "SELECT silo, names FROM silo_servers WHERE holder = ?", holder)
	return out, err
}

// offered is a step's description on record.
type offered struct {
	Doc     string        `json:"doc"`
	Aliases []string      `json:"aliases,omitempty"`
	Needs   []string      `json:"needs,omitempty"`
	Gives   []string      `json:"gives,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	Silence time.Duration `json:"silence,omitempty"`
	Resume  Resume        `json:"resume,omitempty"`
	Check   bool          `json:"check,omitempty"`
	Release bool          `json:"release,omitempty"`
	Undo    bool          `json:"undo,omitempty"`
	Drift   bool          `json:"drift,omitempty"`
}

type offerRow struct{ silo, step, said string }

// noteOffers puts on record which steps there are in a silo. What else is told of it stays while others serve it, too.
func (e *Engine) noteOffers(ctx context.Context, silo string, steps []Step) error {
	return e.db.Write(ctx, func(tx store.Tx) error {
		var others int
		err := tx.QueryRow(ctx, "SELECT (SELECT count(*) FROM jarvis_nodes WHERE silo = ? AND state = 'lives' AND holder <> ?) + (SELECT count(*) FROM silo_servers WHERE silo = ?)", silo, e.db.Holder(), silo).Scan(&others)
		if err != nil {
			return err
		}
		if others == 0 {
			if _, err := tx.Exec(ctx, "DELETE FROM silo_steps WHERE silo = ?", silo); err != nil {
				return err
			}
		}
		steps = slices.Clone(steps)
		slices.SortFunc(steps, func(a, b Step) int { return strings.Compare(a.Name, b.Name) }) // two nodes begin at once
		for _, s := range steps {
			b, err := json.Marshal(offered{s.Doc, s.Aliases, s.Needs, s.Gives, s.Timeout, s.Silence, s.Resume, s.Check != nil, s.Release != nil, s.Undo != nil, s.Drift != nil})
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO silo_steps (silo, step, said) VALUES (?, ?, ?) ON CONFLICT (silo, step) DO UPDATE SET said = excluded.said", silo, s.Name, string(b)); err != nil {
				return err
			}
		}
		return nil
	})
}

// readOffers has the registry know the steps of silos elsewhere, and reports whether something is new.
func (e *Engine) readOffers(ctx context.Context) (bool, error) {
	list, err := store.Collect(ctx, e.db, func(r store.Row) (o offerRow, err error) { return o, r.Scan(&o.silo, &o.step, &o.said) },
		"SELECT silo, step, said FROM silo_steps WHERE silo <> ? ORDER BY silo, step", e.here)
	if err != nil || e.offersRead && slices.Equal(list, e.offers) {
		return false, err
	}
	var steps []Step
	for _, r := range list {
		if e.reg.SiloOf(r.step) != r.silo {
			continue // the configuration has it elsewhere by now
		}
		var o offered
		if err := json.Unmarshal([]byte(r.said), &o); err != nil {
			return false, fmt.Errorf("read what the silo %s says of %s: %w", r.silo, r.step, err)
		}
		steps = append(steps, o.step(r.step, r.silo))
	}
	e.reg.offer(steps)
	e.offers, e.offersRead = list, true
	return true, nil
}

// step gives the description as a step without what it does.
func (o offered) step(name, silo string) Step {
	s := Step{Name: name, Doc: o.Doc, Aliases: o.Aliases, Needs: o.Needs, Gives: o.Gives, Timeout: o.Timeout, Silence: o.Silence, Resume: o.Resume}
	all := s.described(silo).Do // described puts what says so in place of each
	if o.Check {
		s.Check = all
	}
	if o.Release {
		s.Release = all
	}
	if o.Undo {
		s.Undo = all
	}
	if o.Drift {
		s.Drift = func(context.Context, *clipboard.Clipboard) ([]Difference, error) { return nil, nil }
	}
	return s.described(silo)
}

// lookAgain has the loop of silos look at once.
func (e *Engine) lookAgain() {
	select {
	case e.siloNews <- struct{}{}:
	default:
	}
}

// tendSilos keeps what this node knows and says of silos up to date, until ctx ends.
func (e *Engine) tendSilos(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	told, differ := false, 0
	for {
		if !told { // programs are asked, which may take seconds
			err := e.noteOffers(ctx, e.here, e.ownSteps())
			told = err == nil
			e.silosFailed(ctx, err)
		}
		changed, err := e.readOffers(ctx)
		e.silosFailed(ctx, err)
		if changed && e.onOffered != nil {
			e.onOffered()
		}
		e.silosFailed(ctx, e.noteServed(ctx))
		others, err := e.otherSilos(ctx)
		e.silosFailed(ctx, err)
		if len(others) > differ {
			e.log.Warn("other servers on this database have other silos in their configurations, so runs may wait for what nobody does: make `silos` the same at all; `jarvis nodes` names them", "servers", len(others), "silos here", e.siloConfig())
		}
		differ = len(others)
		e.seeToUnserved(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-e.siloNews:
		}
	}
}

// silosFailed says nothing of a database that is away, which is told elsewhere, and nothing while we stop.
func (e *Engine) silosFailed(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && e.db.Why() == nil {
		e.log.Warn("see to silos; it is tried again", "err", err)
	}
}

// ownSteps lists the steps that run where this node stands.
func (e *Engine) ownSteps() []Step {
	return slices.DeleteFunc(append(e.reg.Steps(), e.reg.Offered()...), func(s Step) bool { return s.away })
}

// seeToUnserved has the runs wait whose silo nobody serves, and people told.
func (e *Engine) seeToUnserved(ctx context.Context) {
	away, err := e.markUnserved(ctx)
	if err == nil {
		err = e.tellOfSilos(ctx, away, time.Now())
	}
	e.silosFailed(ctx, err)
}

// markUnserved has the runs wait, in the record, whose silo nobody serves any more; and sends on those that wait for a
// silo to which the configuration gives their step no more. It gives the silos that have jobs and nobody for them.
func (e *Engine) markUnserved(ctx context.Context) (away []string, err error) {
	queues, err := store.Collect(ctx, e.db, func(r store.Row) (q string, err error) { return q, r.Scan(&q) },
		"SELECT DISTINCT queue FROM river_job WHERE kind = 'jarvis_carry' AND state IN ("+sqlInNoHands+")")
	if err != nil {
		return nil, err
	}
	known := e.SiloNames()
	var errs []error
	for _, q := range queues {
		silo := siloOfQueue(q)
		if ok, err := served(ctx, e.db, silo); err != nil {
			return nil, err
		} else if ok {
			continue
		}
		away = append(away, silo)
		which := " AND runs.reason <> 'silo'"
		if silo != "" && !slices.Contains(known, silo) {
			which = ""
		}
		w := e.jobWords()
		ids, err := store.Collect(ctx, e.db, func(r store.Row) (id int64, err error) { return id, r.Scan(&id) },
			"SELECT runs.id FROM runs JOIN river_job ON runs.id = "+w.run+" AND runs.epoch = "+w.turn+" WHERE kind = 'jarvis_carry' AND river_job.state IN ("+sqlInNoHands+") AND queue = ? AND live = 1"+which+" ORDER BY runs.id LIMIT 500", q)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			errs = append(errs, e.markOne(ctx, id, silo))
		}
	}
	return away, errors.Join(errs...)
}

const sqlInNoHands = "'available', 'scheduled', 'retryable'"

// markOne holds the job of a run while it writes that the run waits: nobody takes it meanwhile.
func (e *Engine) markOne(ctx context.Context, id int64, silo string) error {
	cluster := int64(0)
	err := e.write(ctx, func(tx store.Tx) error {
		w := e.jobWords()
		var job, turn int64
		err := tx.QueryRow(ctx, "SELECT id, "+w.turn+" FROM river_job WHERE kind = 'jarvis_carry' AND state IN ("+sqlInNoHands+") AND queue = ? AND "+w.run+" = ? ORDER BY id DESC LIMIT 1"+tx.ForUpdate(), queueOf(silo), id).Scan(&job, &turn)
		if errors.Is(err, store.ErrNoRows) {
			return nil // somebody has it in hand
		} else if err != nil {
			return err
		}
		r, err := lock(ctx, tx, id)
		if err != nil || r.epoch != turn || !r.State.Moving() {
			return err
		}
		next := r
		if r.cancelBy != "" && !r.undoing {
			events, err := e.cancelled(tx, &next, r.cancelBy)
			if err != nil {
				return err
			}
			return save(ctx, tx, &r, &next, events...)
		}
		if to := e.place(&r, silo); to != silo {
			next.epoch++
			events, err := e.hand(ctx, tx, &next, carryArgs{Run: id, Turn: next.epoch, silo: to})
			if err != nil {
				return err
			}
			return save(ctx, tx, &r, &next, events...)
		}
		if r.Waits == ForSilo {
			return nil
		}
		cluster = r.Cluster
		return save(ctx, tx, &r, &next, next.waitForSilo(silo, time.Now()))
	})
	if err == nil && cluster > 0 {
		_, err = e.undoMembers(ctx, cluster) // one that waits turns back at once, where its cluster does
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, errStale) || errors.Is(err, errCancelAsked) {
		return nil // it has moved on
	}
	return err
}

// Silo is one of the configuration's, and who serves it.
type Silo struct {
	Name    string      `json:"name"`
	Modules []string    `json:"modules"`
	Served  bool        `json:"served"`
	Servers []string    `json:"servers"` // that stand in it, live, and do not drain
	Agents  []SiloAgent `json:"agents"`  // that are connected
	Waiting int         `json:"waiting"` // runs that wait for somebody who serves it
}

// SiloAgent is an agent, and the servers to which it has a line.
type SiloAgent struct {
	Name  string   `json:"name"`
	Lines []string `json:"lines"`
}

// servedBy fills in who serves a silo.
func (s *Silo) servedBy(nodes []Node) {
	s.Servers, s.Agents = []string{}, []SiloAgent{}
	for _, n := range nodes {
		if n.State != store.Lives || !n.Drains.IsZero() {
			continue
		}
		if n.Silo == s.Name {
			s.Servers = append(s.Servers, n.Name)
		}
		for _, who := range n.Serves[s.Name] {
			i := slices.IndexFunc(s.Agents, func(a SiloAgent) bool { return a.Name == who && !slices.Contains(a.Lines, n.Name) })
			if i < 0 {
				i = len(s.Agents)
				s.Agents = append(s.Agents, SiloAgent{Name: who})
			}
			s.Agents[i].Lines = append(s.Agents[i].Lines, n.Name)
		}
	}
}

// Silos lists those of the configuration, by name. nodes are what Nodes gave.
func (e *Engine) Silos(ctx context.Context, nodes []Node) ([]Silo, error) {
	out := []Silo{}
	for _, name := range e.SiloNames() {
		s := Silo{Name: name}
		for _, module := range slices.Sorted(maps.Keys(e.silos)) {
			if e.silos[module] == name {
				s.Modules = append(s.Modules, module)
			}
		}
		var err error
		if s.Served, err = served(ctx, e.db, name); err != nil {
			return nil, err
		}
		w := e.jobWords()
		if err := e.db.QueryRow(ctx, "SELECT count(*) FROM runs JOIN river_job ON runs.id = "+w.run+" AND runs.epoch = "+w.turn+" WHERE kind = 'jarvis_carry' AND queue = ? AND live = 1 AND reason = 'silo'", queueOf(name)).Scan(&s.Waiting); err != nil {
			return nil, err
		}
		s.servedBy(nodes)
		out = append(out, s)
	}
	return out, nil
}

// ServedBy gives the silos that each life serves through agents, in their order.
func (e *Engine) ServedBy(ctx context.Context) (map[string][]string, error) {
	out := map[string][]string{}
	_, err := store.Collect(ctx, e.db, func(row store.Row) (none struct{}, err error) {
		var holder, silo string
		err = row.Scan(&holder, &silo)
		out[holder] = append(out[holder], silo)
		return none, err
	}, "SELECT holder, silo FROM silo_servers WHERE agents > 0 ORDER BY holder, silo")
	return out, err
}
