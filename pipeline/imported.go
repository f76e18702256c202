package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// A host that was there before Jarvis is put on record by a run of the verb `import`, which has no steps and is over at
// once: whatever reads where a host stands needs to know nothing of it. It made nothing, so there is nothing to take
// back, to compare or to lose.

// VerbImport is the verb of runs that only put a host on record.
const VerbImport = "import"

// IsImport reports whether the run only put its host on record.
func (r *Run) IsImport() bool { return r.Verb == VerbImport }

// Import is a host to be put on record. Of Reach, what is left empty is not known: what is on record stays.
type Import struct {
	Host   string // the short name
	FQDN   string
	Reach  Reach
	Also   []string // other names and addresses of it: an imported host that is reached so is meant
	Groups []string
}

// What becomes of a host that is imported.
const (
	ImportNew     = "new"
	ImportChanged = "changed"
	ImportSame    = "same"
	ImportKept    = "kept" // as Jarvis deployed it
)

// Imported says what became of one host. Its groups it gets in any case.
type Imported struct {
	FQDN  string   `json:"fqdn"`
	What  string   `json:"what" enum:"new,changed,same,kept"`
	Why   string   `json:"why,omitempty"` // what changed, or why it is kept
	Addr  string   `json:"address,omitempty"`
	Login string   `json:"login,omitempty"` // user and port as ssh writes them, where they are known: "admin:2222"
	Keys  int      `json:"host_keys"`       // how many are known
	Run   int64    `json:"run,omitempty"`   // that is new
	Group []string `json:"groups,omitempty"`
}

// errOnlyAsked takes a transaction back whose outcome somebody wanted to know.
var errOnlyAsked = errors.New("only asked")

// Import puts hosts on record, all of them or none, and contacts nobody. try: says what would become of them, and
// leaves the record as it is. What Jarvis deployed stays as it is, and so do host keys that are known.
func (e *Engine) Import(ctx context.Context, list []Import, by Who, try bool) ([]Imported, error) {
	var out []Imported
	err := e.write(ctx, func(tx store.Tx) error {
		out = make([]Imported, 0, len(list))
		there, err := importedBefore(ctx, tx)
		if err != nil {
			return err
		}
		for _, in := range list {
			done, err := importOne(ctx, tx, in, there, by)
			if err != nil {
				return fmt.Errorf("import %s: %w", in.FQDN, err)
			}
			out = append(out, done)
		}
		if try {
			return errOnlyAsked
		}
		return nil
	})
	if errors.Is(err, errOnlyAsked) {
		for i := range out {
			out[i].Run = 0
		}
		return out, nil
	}
	return out, err
}

// importedBefore gives the imported hosts by how they are reached: one name may stand in an inventory, another in
// known_hosts.
func importedBefore(ctx context.Context, tx store.Tx) (map[string]string, error) {
	list, err := standing(ctx, tx, "runs.verb = ? ORDER BY hosts.fqdn DESC", VerbImport)
	out := map[string]string{}
	for _, h := range list {
		out[h.Reach.Addr] = h.FQDN
	}
	return out, err
}

// importOne puts a host on record, or adds to an earlier import. What Jarvis deployed stays as it is, and gets its
// groups only.
func importOne(ctx context.Context, tx store.Tx, in Import, there map[string]string, by Who) (Imported, error) {
	list, err := standing(ctx, tx, "hosts.fqdn = ?", in.FQDN)
	if err != nil {
		return Imported{}, err
	}
	if i := slices.IndexFunc(in.Also, func(name string) bool { return there[name] != "" }); len(list) == 0 && i >= 0 {
		in.FQDN = there[in.Also[i]]
		if list, err = standing(ctx, tx, "hosts.fqdn = ?", in.FQDN); err != nil {
			return Imported{}, err
		}
	}
	var h Standing
	if len(list) > 0 {
		h = list[0]
		in.Host = h.Host
	}
	done := Imported{FQDN: in.FQDN, What: ImportNew, Group: in.Groups}
	reach := h.Reach
	if done.Why, err = deployedHere(ctx, tx, h); err != nil {
		return done, err
	}
	switch {
	case done.Why != "":
		done.What = ImportKept
	case h.IsImport():
		reach, done.Why = mergeReach(h.Reach, in.Reach)
		done.What = ImportChanged
		if reach.equal(h.Reach) {
			done.What = ImportSame
		}
	default:
		reach = in.Reach
		if reach.Addr == "" {
			reach.Addr = in.FQDN
		}
	}
	if done.What == ImportNew || done.What == ImportChanged {
		if done.Run, err = insertImport(ctx, tx, in, reach, by); err != nil {
			return done, err
		}
		there[reach.Addr] = in.FQDN
	}
	done.Addr, done.Login, done.Keys = reach.Addr, loginWord(reach.Login), len(reach.Keys)
	joined, err := joinGroups(ctx, tx, in.FQDN, in.Groups)
	if err != nil || len(joined) == 0 || done.Run != 0 || h.ID == 0 {
		return done, err
	}
	// Who follows the record hears of it by the run by which the host stands.
	return done, insertAll(ctx, tx, []Event{{Run: h.ID, At: time.Now(), Kind: EvImported, Text: "by " + plain.Line(by.Name) + ": in the group " + strings.Join(joined, ", ")}})
}

func loginWord(l clipboard.Login) string {
	if l.Port != 0 {
		return fmt.Sprintf("%s:%d", l.User, l.Port)
	}
	return l.User
}

// deployedHere says why an import leaves a host as it is: it is, or may be, something that a run made. "" when it is
// not.
func deployedHere(ctx context.Context, tx store.Tx, h Standing) (string, error) {
	if h.FQDN == "" {
		return "", nil
	}
	if busy, err := holder(ctx, tx, h.FQDN); err == nil {
		return fmt.Sprintf("run %d holds it", busy.ID), nil
	} else if !errors.Is(err, ErrNotFound) {
		return "", err
	}
	var machines int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM machines WHERE fqdn = ?", h.FQDN).Scan(&machines); err != nil {
		return "", err
	}
	switch {
	case h.Verb == VerbTask:
		return "a repository of tasks has that name", nil
	case machines > 0, !h.IsImport() && (h.Reach.Addr != "" || h.Ending == EndReady):
		return fmt.Sprintf("run %d deployed it", h.ID), nil
	}
	return "", nil
}

// mergeReach gives how an imported host is reached after another import, and what that changes, or leaves against the
// file.
func mergeReach(old, in Reach) (Reach, string) {
	next, said := old, []string{}
	if in.Addr != "" && in.Addr != old.Addr {
		next.Addr = in.Addr
		said = append(said, fmt.Sprintf("its address was %s", old.Addr))
	}
	if in.Login.User != "" {
		next.Login.User = in.Login.User
	}
	if in.Login.Port != 0 {
		next.Login.Port = in.Login.Port
	}
	if next.Login != old.Login {
		said = append(said, "its login is another")
	}
	switch {
	case len(in.Keys) == 0:
	case len(old.Keys) == 0:
		next.Keys = in.Keys
		said = append(said, "its host keys are known now")
	case slices.ContainsFunc(in.Keys, func(k string) bool { return !slices.Contains(old.Keys, k) }):
		said = append(said, "the file has other host keys, and those on record stay: find out why, then `forget` the host and import it again")
	}
	return next, strings.Join(said, "; ")
}

// insertImport writes the run by which the host stands from now on.
func insertImport(ctx context.Context, tx store.Tx, in Import, reach Reach, by Who) (int64, error) {
	c, err := importClipboard(in, reach)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	r := Run{Host: in.Host, FQDN: in.FQDN, Kind: Kind{Verb: VerbImport}, Pipeline: VerbImport, Steps: []string{}, State: Running, By: plain.Line(by.Name), Behind: by.Behind,
		Started: now, Began: now, StageAt: now, epoch: 1, undoAt: -1, clipboard: c.Text()}
	if err := insert(ctx, tx, &r, "", "", Event{At: now, Kind: EvImported, Text: "by " + r.By + ": reached at " + reach.Addr}); err != nil {
		return 0, err
	}
	next := r
	next.rest(Ready, EndReady, now)
	if err := save(ctx, tx, &r, &next); err != nil {
		return 0, err
	}
	return r.ID, noteReach(ctx, tx, in.FQDN, reach)
}

// importClipboard is what `show` shows of an imported host. Every word in it was checked, or is quoted.
func importClipboard(in Import, reach Reach) (*clipboard.Clipboard, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "instance:\n  hostname: %q\n  fqdn: %q\n  ipaddress: %q\n", in.Host, in.FQDN, reach.Addr)
	switch l := reach.Login; {
	case l.User != "" && l.Port != 0:
		fmt.Fprintf(&b, "  login: {user: %q, port: %d}\n", l.User, l.Port)
	case l.User != "":
		fmt.Fprintf(&b, "  login: {user: %q}\n", l.User)
	case l.Port != 0:
		fmt.Fprintf(&b, "  login: {port: %d}\n", l.Port)
	}
	if len(reach.Keys) > 0 {
		b.WriteString("  hostkeys:\n")
	}
	for _, k := range reach.Keys {
		fmt.Fprintf(&b, "    - %q\n", k)
	}
	return clipboard.Parse([]byte(b.String()))
}

// notMade says of an imported host that there is nothing of which an answer could be made. "" for every other run.
func notMade(r *Run) string {
	if !r.IsImport() {
		return ""
	}
	return r.Host + " was imported and never deployed here, so nothing of it was made by Jarvis"
}

// The table `host_groups` says which hosts are meant by @NAME. A group is no cluster: it promises no barrier, and no
// undo.

// joinGroups puts a host into groups, and gives those in which it was not.
func joinGroups(ctx context.Context, tx store.Tx, fqdn string, groups []string) (joined []string, err error) {
	for _, g := range groups {
		n, err := tx.Exec(ctx, "INSERT INTO host_groups (name, fqdn) VALUES (?, ?) ON CONFLICT DO NOTHING", g, fqdn)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			joined = append(joined, g)
		}
	}
	return joined, nil
}

// Groups gives the full names of the hosts of every group.
func (e *Engine) Groups(ctx context.Context) (map[string][]string, error) {
	list, err := store.Collect(ctx, e.db, func(row store.Row) (p [2]string, err error) { return p, row.Scan(&p[0], &p[1]) }, "SELECT name, fqdn FROM host_groups ORDER BY name, fqdn")
	out := map[string][]string{}
	for _, p := range list {
		out[p[0]] = append(out[p[0]], p[1])
	}
	return out, err
}

// GroupsOf gives the groups of a host, by its full name, sorted.
func (e *Engine) GroupsOf(ctx context.Context, fqdn string) ([]string, error) {
	return store.Collect(ctx, e.db, func(row store.Row) (name string, err error) { return name, row.Scan(&name) }, "SELECT name FROM host_groups WHERE fqdn = ? ORDER BY name", fqdn)
}

// FindGroup gives where the hosts of a group stand, by name. ErrNotFound when there is no such group.
func (e *Engine) FindGroup(ctx context.Context, name string) ([]Standing, error) {
	list, err := standing(ctx, e.db, "hosts.fqdn IN (SELECT fqdn FROM host_groups WHERE name = ?) ORDER BY hosts.fqdn", name)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	return list, err
}

// Members gives the hosts that "@NAME" stands for: those of the newest cluster of that name, or else of the group.
// ErrNotFound when there is neither.
func (e *Engine) Members(ctx context.Context, name string) ([]Standing, error) {
	cl, err := e.FindCluster(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return e.FindGroup(ctx, name)
	} else if err != nil {
		return nil, err
	}
	out := make([]Standing, 0, len(cl.Runs))
	for _, r := range cl.Runs {
		h, err := e.FindHost(ctx, r.FQDN)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// ClustersAmong gives those of the names that clusters have: "@NAME" means the cluster then.
func (e *Engine) ClustersAmong(ctx context.Context, names []string) ([]string, error) {
	set := map[string]bool{}
	for some := range slices.Chunk(names, 200) {
		args := make([]any, len(some))
		for i, n := range some {
			args[i] = n
		}
		have, err := store.Collect(ctx, e.db, func(row store.Row) (s string, err error) { return s, row.Scan(&s) },
			"SELECT DISTINCT name FROM clusters WHERE name IN (?"+strings.Repeat(", ?", len(some)-1)+")", args...)
		if err != nil {
			return nil, err
		}
		for _, n := range have {
			set[n] = true
		}
	}
	return slices.Sorted(maps.Keys(set)), nil
}
