package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/store"
)

// The standing of a host is what its newest run that began made of it: a run that waits for its approval, or never got
// it, is a remark beside it. The table `hosts` has a row for each FQDN: the run it stands by, the newest run at all,
// and how it is reached now. It is written in the transactions that write the runs.

// stand notes that a run is the newest of its host, and, once it has begun, that the host stands by it.
func stand(ctx context.Context, tx store.Tx, r *Run) error {
	run := int64(0)
	if r.HasBegun() {
		run = r.ID
	}
	err := tx.Later(ctx, nil, `INSERT INTO hosts (fqdn, host, run, newest, task, address, hostkeys, machines) VALUES (?, ?, ?, ?, ?, '', '', 1)
		ON CONFLICT (fqdn) DO UPDATE SET host = excluded.host,
			run = CASE WHEN excluded.run > hosts.run THEN excluded.run ELSE hosts.run END,
			newest = CASE WHEN excluded.newest > hosts.newest THEN excluded.newest ELSE hosts.newest END`,
		r.FQDN, r.Host, run, r.ID, flag(r.Verb == VerbTask))
	if err != nil {
		return fmt.Errorf("note where %s stands: %w", r.FQDN, err)
	}
	return nil
}

// VerbTask is the verb of runs that are no deployment of a host, but a reviewed task.
const VerbTask = "task"

// VariantCheck is the variant of such runs that do nothing but say what is wrong with a repository of tasks.
const VariantCheck = "check"

// Reach is how a host is reached: its address, its login when the clipboard has one, and the host keys that count
// there.
type Reach struct {
	Addr  string
	Login clipboard.Login
	Keys  []string
}

// OK reports whether that is enough to reach it.
func (a Reach) OK() bool { return a.Addr != "" && len(a.Keys) > 0 }

// reachOf takes what the clipboard says; what it says wrong is left out.
func reachOf(c *clipboard.Clipboard) Reach {
	keys, _ := c.Strings("hostkeys")
	login, _ := c.Login()
	return Reach{c.Get("ipaddress"), login, keys}
}

func (a Reach) equal(b Reach) bool {
	return a.Addr == b.Addr && a.Login == b.Login && slices.Equal(a.Keys, b.Keys)
}

// noteReach puts on record how a host is reached from now on. What a new run does not know yet stays as the earlier one
// left it: the machine still stands. forget says that it does no longer.
func noteReach(ctx context.Context, tx store.Tx, fqdn string, a Reach) error {
	keys, err := list(a.Keys)
	if err != nil {
		return err
	}
	return tx.Later(ctx, nil, "UPDATE hosts SET address = ?, login_user = ?, login_port = ?, hostkeys = ? WHERE fqdn = ?", a.Addr, a.Login.User, a.Login.Port, keys, fqdn)
}

func forgetReach(ctx context.Context, tx store.Tx, fqdn string) error {
	return noteReach(ctx, tx, fqdn, Reach{})
}

// Standing is where a host of the record stands.
type Standing struct {
	Run          // the newest that began; the newest at all when none did
	Reach  Reach `json:"-"`
	Newest int64 `json:"newest_run"` // of a proposal, when it is another than Run
}

// Reachable reports whether a command can be sent there. The keys of an imported host may not be known: it is asked for
// one that the server's known_hosts vouches for then.
func (h Standing) Reachable() bool { return h.Reach.OK() || h.IsImport() && h.Reach.Addr != "" }

const hostColumns = "hosts.address, hosts.login_user, hosts.login_port, hosts.hostkeys, hosts.newest"

// standing reads hosts with the runs they stand by.
func (e *Engine) standing(ctx context.Context, where string, args ...any) ([]Standing, error) {
	return standing(ctx, e.db, where, args...)
}

// standing reads hosts with the run by which they stand; where is SQL over both.
func standing(ctx context.Context, from store.Querier, where string, args ...any) ([]Standing, error) {
	cols := strings.Split(runColumns, ", ")
	for i := range cols {
		cols[i] = "runs." + cols[i]
	}
	q := "SELECT " + strings.Join(cols, ", ") + ", " + hostColumns + " FROM hosts JOIN runs ON runs.id = CASE WHEN hosts.run > 0 THEN hosts.run ELSE hosts.newest END WHERE " + where
	return store.Collect(ctx, from, func(row store.Row) (Standing, error) {
		var h Standing
		var keys string
		var err error
		h.Run, err = scan(scanMore{row, []any{&h.Reach.Addr, &h.Reach.Login.User, &h.Reach.Login.Port, &keys, &h.Newest}})
		if err == nil && keys != "" {
			err = json.Unmarshal([]byte(keys), &h.Reach.Keys)
		}
		return h, err
	}, q, args...)
}

// scanMore scans columns that follow those of a run.
type scanMore struct {
	row  store.Row
	more []any
}

func (s scanMore) Scan(dest ...any) error { return s.row.Scan(append(dest, s.more...)...) }

// AmbiguousError: two hosts share the short name.
type AmbiguousError struct{ Names []string }

// Error implements error.
func (e *AmbiguousError) Error() string {
	return "that name has " + strings.Join(e.Names, " and ") + "; say which"
}

// FindHost gives where a host stands, by its full name, or a short one that only one host has. ErrNotFound when there
// is none; an *AmbiguousError when the short name has several.
func (e *Engine) FindHost(ctx context.Context, name string) (Standing, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	list, err := e.standing(ctx, "hosts.fqdn = ?", name)
	if err == nil && len(list) == 0 {
		list, err = e.standing(ctx, "hosts.host = ? ORDER BY hosts.fqdn LIMIT 10", name)
	}
	switch {
	case err != nil:
		return Standing{}, err
	case len(list) == 0:
		return Standing{}, ErrNotFound
	case len(list) > 1:
		names := make([]string, len(list))
		for i, h := range list {
			names[i] = h.FQDN
		}
		return Standing{}, &AmbiguousError{names}
	}
	return list[0], nil
}

// Find gives the run that a host stands by, or the run with that number. The errors are those of FindHost.
func (e *Engine) Find(ctx context.Context, name string) (Run, error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		return e.Get(ctx, id)
	}
	h, err := e.FindHost(ctx, name)
	return h.Run, err
}

// Newest gives the newest run of a host, also one that waits for its approval or never got it.
func (e *Engine) Newest(ctx context.Context, fqdn string) (Run, error) {
	h, err := e.FindHost(ctx, fqdn)
	if err != nil || h.Newest == h.ID {
		return h.Run, err
	}
	return e.Get(ctx, h.Newest)
}

// Proposal gives what has not begun yet about a host: its newest run when that waits for an approval, or for its time.
// ErrNotFound when nothing does.
func (e *Engine) Proposal(ctx context.Context, h Standing) (r Run, err error) {
	if r = h.Run; h.Newest != h.ID {
		r, err = e.Get(ctx, h.Newest)
	}
	if err == nil && !r.State.Ahead() {
		err = ErrNotFound
	}
	return r, err
}

// Hosts lists where every host stands, by name, at most limit, beginning after the name `after`.
func (e *Engine) Hosts(ctx context.Context, after string, limit int) ([]Standing, error) {
	return e.standing(ctx, "hosts.fqdn > ? AND hosts.task = 0 ORDER BY hosts.fqdn LIMIT ?", after, limit)
}

// StandingBy lists where the hosts of some runs stand, by name.
func (e *Engine) StandingBy(ctx context.Context, runs []int64) ([]Standing, error) {
	if len(runs) == 0 {
		return nil, nil
	}
	args := make([]any, len(runs))
	for i, id := range runs {
		args[i] = id
	}
	in := strings.TrimSuffix(strings.Repeat("?, ", len(runs)), ", ")
	return e.standing(ctx, "hosts.task = 0 AND hosts.fqdn IN (SELECT fqdn FROM runs WHERE id IN ("+in+")) ORDER BY hosts.fqdn", args...)
}

// FindHosts is Hosts for those whose full name has a word in it.
func (e *Engine) FindHosts(ctx context.Context, word, after string, limit int) ([]Standing, error) {
	if word == "" {
		return e.Hosts(ctx, after, limit)
	}
	return e.standing(ctx, `hosts.fqdn > ? AND hosts.task = 0 AND hosts.fqdn LIKE ? ESCAPE '\' ORDER BY hosts.fqdn LIMIT ?`, after, store.Like(word), limit)
}

// Stands is how many hosts stand by a run in that state, and how that ended.
type Stands struct {
	Verb   string
	State  State
	Ending Ending
	Hosts  int
}

// CountHosts counts how all hosts stand.
func (e *Engine) CountHosts(ctx context.Context) ([]Stands, error) {
	return store.Collect(ctx, e.db, func(row store.Row) (s Stands, err error) {
		return s, row.Scan(&s.Verb, &s.State, &s.Ending, &s.Hosts)
	}, "SELECT runs.verb, runs.state, runs.ending, count(*) FROM hosts JOIN runs ON runs.id = CASE WHEN hosts.run > 0 THEN hosts.run ELSE hosts.newest END WHERE hosts.task = 0 GROUP BY runs.verb, runs.state, runs.ending ORDER BY count(*) DESC")
}

// InProduction gives the run that made a host what it is, when it is ready. ErrNotFound when the host is not there, or
// was taken down. A name of one word means every host of it: whoever deploys web1 without a domain may mean
// web1.prod.example.org.
func (e *Engine) InProduction(ctx context.Context, fqdn string) (Run, error) {
	short, _, _ := strings.Cut(fqdn, ".")
	list, err := e.standing(ctx, "hosts.host = ? ORDER BY hosts.fqdn", short)
	if err != nil {
		return Run{}, err
	}
	for _, exact := range []bool{true, false} {
		for _, h := range list {
			if (h.FQDN == fqdn) == exact && h.inProduction() {
				return h.Run, nil
			}
		}
	}
	return Run{}, ErrNotFound
}

// StoodBefore reports whether an earlier run had made the host ready, and nothing took it down since, or the run itself
// had before it did some of its stages again: to take back what a run did to it then touches what is in production,
// whatever became of that run.
func (e *Engine) StoodBefore(ctx context.Context, r Run) (bool, error) {
	if r.State != Ready && r.Ending != EndUndonePart { // whose undo was approved already
		var ready int
		if err := e.db.QueryRow(ctx, "SELECT count(*) FROM events WHERE run = ? AND kind = ?", r.ID, EvReady).Scan(&ready); err != nil || ready > 0 {
			return err == nil, err
		}
	}
	var ending Ending
	err := e.db.QueryRow(ctx, "SELECT ending FROM runs WHERE fqdn = ? AND id < ? AND ending IN ('ready', 'destroyed') AND verb <> 'import' ORDER BY id DESC LIMIT 1", r.FQDN, r.ID).Scan(&ending)
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	return ending == EndReady && !e.tookDown(&r), err
}

// inProduction reports whether there is something to lose: the host was made, and was not taken down since. A run that
// failed on a host that is there changes nothing of that.
func (h Standing) inProduction() bool {
	switch {
	case h.IsImport(): // nothing of it was made here, so a deployment loses nothing
		return false
	case h.Ending == EndReady:
		return true
	case h.Ending == EndDestroyed, h.Ending == EndUndone, !h.HasBegun():
		return false
	}
	return h.Reach.OK()
}

// backfill writes how hosts are reached that were on record before the table of hosts was.
func (e *Engine) backfill(ctx context.Context) error {
	list, err := store.Collect(ctx, e.db, func(row store.Row) (name string, err error) { return name, row.Scan(&name) }, "SELECT fqdn FROM hosts WHERE address IS NULL ORDER BY fqdn")
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(list, 200) {
		reach := make([]Reach, len(chunk))
		for i, fqdn := range chunk {
			if reach[i], err = e.lastReach(ctx, fqdn); err != nil {
				return err
			}
		}
		err := e.write(ctx, func(tx store.Tx) error {
			var errs []error
			for i, fqdn := range chunk {
				errs = append(errs, noteReach(ctx, tx, fqdn, reach[i]))
			}
			return errors.Join(errs...)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lastReach finds the newest address of a host in its clipboards, as far back as its machine goes.
func (e *Engine) lastReach(ctx context.Context, fqdn string) (Reach, error) {
	runs, err := e.runs(ctx, "fqdn = ? AND began > 0 ORDER BY id DESC LIMIT 20", fqdn)
	if err != nil {
		return Reach{}, err
	}
	for _, r := range runs {
		if r.Ending == EndDestroyed || r.Ending == EndUndone {
			break
		}
		if c, err := r.doc(); err == nil {
			if a := reachOf(c); a.OK() {
				return a, nil
			}
		}
		if e.tookDown(&r) {
			break
		}
	}
	return Reach{}, nil
}

// tookDown reports whether a finished stage of the run deleted the machine that was there before.
func (e *Engine) tookDown(r *Run) bool {
	return slices.ContainsFunc(r.Steps[:min(r.Stage, len(r.Steps))], isDestroy)
}

// isDestroy tells a step that takes a machine down by its name, which is contract: PROVIDER:destroy.
func isDestroy(step string) bool { return strings.HasSuffix(step, ":destroy") }
