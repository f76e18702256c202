package keyring

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
)

// Known is what is known of hosts' keys: the table, and a file of known_hosts that has the same lines. It is safe for
// concurrent use.
//
// The file says in its first line as of which change of the table it was written. So both sides can be brought
// together: a line that the table has since is new to the file, one that the table lost since is old there, and
// everything else that differs was done by a person in the file, and counts. A file without that line adds, and takes
// nothing out.
type Known struct {
	db   *store.DB
	file string
	log  *slog.Logger

	mu    sync.Mutex
	have  *remote.KnownHosts // nil: nothing is at hand
	last  int64              // of the table, when have was read
	stamp stamp              // of the file then
}

// OpenKnown brings the table and the file together. nil when the file is none that could be kept, such as /dev/null,
// which people name to forget everything.
func OpenKnown(ctx context.Context, db *store.DB, file string, log *slog.Logger) (*Known, error) {
	if st, err := os.Stat(file); err == nil && !st.Mode().IsRegular() {
		return nil, nil //nolint:nilnil // the worker does as it did before there was a table
	}
	k := &Known{db: db, file: file, log: log}
	_, err := k.Known(ctx)
	return k, err
}

// Known gives what counts now. Lines that another node learned or forgot are those of the answer, and of the file.
func (k *Known) Known(ctx context.Context) (*remote.KnownHosts, error) {
	last, err := lastChange(ctx, k.db)
	if err != nil {
		return nil, fmt.Errorf("what is known of hosts' keys cannot be read: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := stampOf(k.file)
	if k.have != nil && k.last >= last && k.stamp == now {
		return k.have, nil
	}
	if last == 0 && now == (stamp{}) {
		return remote.KnownHostsIn(k.file, nil), nil
	}
	return k.bring(ctx, nil)
}

// Edit changes the lines, in one transaction with what a person did in the file.
func (k *Known) Edit(ctx context.Context, edit func(old []byte) []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.bring(ctx, edit)
	return err
}

// lookEvery is how often the file is looked at when nobody asks.
const lookEvery = 10 * time.Second

// Run has what a person writes into the file count on all nodes, and the file have what they learned, also while this
// node reaches no host by it. It ends with ctx.
func (k *Known) Run(ctx context.Context) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		_, err := k.Known(ctx)
		if err == nil || ctx.Err() != nil {
			said = ""
		} else if said != err.Error() { // the store says when the database does not answer
			said = err.Error()
			k.log.Warn("known_hosts is not kept up to date", "err", err)
		}
	}
}

// bring brings both sides together, and makes a change.
func (k *Known) bring(ctx context.Context, edit func([]byte) []byte) (*remote.KnownHosts, error) {
	var text, was []byte
	var last int64
	var told merged
	done := false
	k.have = nil
	err := remote.EditKnown(k.file, func(old []byte) ([]byte, error) {
		was = old
		err := k.db.Write(ctx, func(tx store.Tx) error {
			ring, err := takeTurn(ctx, tx)
			if err != nil {
				return err
			}
			f := parseFile(old, ring)
			t, err := readTable(ctx, tx)
			if err != nil {
				return err
			}
			told = t.merge(f)
			for _, l := range told.added {
				t.add(l)
			}
			for _, l := range told.removed {
				t.remove(l)
			}
			if edit != nil {
				t.edit(edit)
			}
			if err := t.save(ctx, tx); err != nil {
				return err
			}
			text, last = f.text(t, ring), t.last
			return nil
		})
		done = err == nil
		return text, err
	})
	switch {
	case err != nil && !done:
		return nil, fmt.Errorf("what is known of hosts' keys cannot be brought together with %s: %w", k.file, err)
	case err != nil: // what counts is in the database all the same
		k.log.Warn("known_hosts cannot be written, and lacks what Jarvis learned since", "file", k.file, "err", err)
	default:
		was = text
	}
	k.say(told)
	now := remote.KnownHostsIn(k.file, text)
	// Whoever wrote the file meanwhile is heard the next time.
	before := stampOf(k.file)
	if there, err := os.ReadFile(k.file); err == nil && bytes.Equal(there, was) && before == stampOf(k.file) {
		k.have, k.last, k.stamp = now, last, before
	}
	return now, nil
}

// say writes down what was done in the file.
func (k *Known) say(m merged) {
	if len(m.added) > 0 {
		k.log.Info("lines of known_hosts were taken from the file, and count on every node", "file", k.file, "lines", len(m.added), "of", whose(m.added))
	}
	if len(m.removed) > 0 {
		k.log.Warn("lines of known_hosts were taken out of the file, and count on no node any more", "file", k.file, "lines", len(m.removed), "of", whose(m.removed))
	}
	if len(m.old) > 0 {
		k.log.Info("lines of known_hosts were forgotten since the file was written, and are taken out of it", "file", k.file, "lines", len(m.old), "of", whose(m.old))
	}
}

// whose gives the names of the first lines.
func whose(lines []string) string {
	var out []string
	for _, l := range lines[:min(len(lines), 5)] {
		name := strings.Fields(l)[0]
		out = append(out, name[:min(len(name), 80)])
	}
	return strings.Join(out, " ")
}

// stamp tells one writing of a file from another.
type stamp struct {
	dev, ino uint64
	size     int64
	mod, chg unix.Timespec
}

// stampOf gives the zero stamp for a file that is not there or cannot be looked at.
func stampOf(file string) stamp {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return stamp{}
	}
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim} //nolint:unconvert // differs between machines
}

// mark is the first line of the file.
const mark = "# Kept by jarvis as of change %d of %s: lines that you add or take out count on every node. Leave this line.\n"

var marked = pattern.New(`^# Kept by jarvis as of change ([0-9]{1,18}) of ([a-z0-9]+)`)

// file is one that was read.
type file struct {
	as     int64 // as of which change it was written; 0: nobody knows
	marked bool
	lines  []string // all but the mark, with their ends
}

// parseFile reads it for a ring. The mark of another one, as of a second installation that keeps the same file, is a
// comment like others.
func parseFile(b []byte, ring string) (f file) {
	for l := range bytes.Lines(b) {
		m := marked.FindSubmatch(l)
		switch {
		case m == nil || string(m[2]) != ring:
			f.lines = append(f.lines, string(l))
		case f.marked:
			f.as = 0 // two files in one: it takes nothing out
		default:
			f.marked = true
			f.as, _ = strconv.ParseInt(string(m[1]), 10, 64) // 18 digits fit
		}
	}
	return f
}

// shared gives a line as the table has it; "" for what stays in its file: comments, and what no database takes.
func shared(l string) string {
	l = strings.TrimSpace(l)
	if strings.HasPrefix(l, "#") || !utf8.ValidString(l) || strings.ContainsRune(l, 0) {
		return ""
	}
	return l
}

// text gives the file with the lines of the table: those that it has stay where they are.
func (f file) text(t *table, ring string) []byte {
	var out bytes.Buffer
	there := map[string]bool{}
	for _, l := range f.lines {
		s := shared(l)
		if s != "" && (!t.live(s) || there[s]) {
			continue
		}
		there[s] = true
		out.WriteString(l)
	}
	if n := out.Len(); n > 0 && out.Bytes()[n-1] != '\n' {
		out.WriteByte('\n')
	}
	for _, l := range t.lines() {
		if !there[l] {
			out.WriteString(l + "\n")
		}
	}
	if t.last == 0 && !f.marked {
		return out.Bytes()
	}
	return slices.Concat(fmt.Appendf(nil, mark, t.last, ring), out.Bytes())
}

// table is what the database holds, and what is to be changed there.
type table struct {
	rows    map[string]row
	last    int64
	next    int64 // of those that have no number yet
	changed []string
}

type row struct {
	id   int64
	gone bool
}

// lastChange gives the number of the newest change of the table; 0: there was none.
func lastChange(ctx context.Context, q store.Querier) (n int64, err error) {
	err = q.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM known_hosts").Scan(&n)
	return n, err
}

// readTable reads all lines, also those that are gone: a file that still has one must lose it.
func readTable(ctx context.Context, tx store.Tx) (*table, error) {
	t := &table{rows: map[string]row{}}
	rows, err := tx.Query(ctx, "SELECT id, line, gone FROM known_hosts ORDER BY id")
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var line string
		var gone int
		var r row
		if err := rows.Scan(&r.id, &line, &gone); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		r.gone = gone != 0
		t.rows[line], t.last = r, r.id
	}
	return t, errors.Join(rows.Err(), rows.Close())
}

// live reports whether a line counts: it is there, and not taken out.
func (t *table) live(line string) bool {
	r, ok := t.rows[line]
	return ok && !r.gone
}

// pending is above every id: what is not written yet comes last.
const pending = 1 << 62

func (t *table) add(line string)    { t.set(line, false) }
func (t *table) remove(line string) { t.set(line, true) }

// set changes a line in memory. A later change of the same line takes the place of an earlier one.
func (t *table) set(line string, gone bool) {
	t.next++
	t.rows[line] = row{pending + t.next, gone}
	t.changed = append(slices.DeleteFunc(t.changed, func(l string) bool { return l == line }), line)
}

// lines gives those that count, the oldest first.
func (t *table) lines() []string {
	var out []string
	for l, r := range t.rows {
		if !r.gone {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if t.rows[a].id < t.rows[b].id {
			return -1
		}
		return 1
	})
	return out
}

// edit changes the lines that count.
func (t *table) edit(f func([]byte) []byte) {
	was := t.lines()
	text := ""
	if len(was) > 0 {
		text = strings.Join(was, "\n") + "\n"
	}
	now := map[string]bool{}
	for l := range strings.Lines(string(f([]byte(text)))) {
		if l = shared(l); l != "" {
			now[l] = true
			if !t.live(l) {
				t.add(l)
			}
		}
	}
	for _, l := range was {
		if !now[l] {
			t.remove(l)
		}
	}
}

// merged is what a person did in the file, and what of it is older than the table.
type merged struct{ added, removed, old []string }

// merge compares the file with the table.
func (t *table) merge(f file) (m merged) {
	there := map[string]bool{}
	for _, l := range f.lines {
		l = shared(l)
		if l == "" || there[l] {
			continue
		}
		there[l] = true
		switch r, known := t.rows[l]; {
		case known && !r.gone:
		case known && r.id > f.as:
			m.old = append(m.old, l)
		default:
			m.added = append(m.added, l)
		}
	}
	for _, l := range t.lines() {
		if !there[l] && t.rows[l].id <= f.as {
			m.removed = append(m.removed, l)
		}
	}
	return m
}

// save writes what was changed. Each change has a number of its own, above all before it.
func (t *table) save(ctx context.Context, tx store.Tx) error {
	at := time.Now().UnixMilli()
	for _, l := range t.changed {
		sum := sha256.Sum256([]byte(l))
		name := hex.EncodeToString(sum[:])
		if _, err := tx.Exec(ctx, "DELETE FROM known_hosts WHERE sum = ?", name); err != nil {
			return err
		}
		gone := 0
		if t.rows[l].gone {
			gone = 1
		}
		if _, err := tx.Exec(ctx, "INSERT INTO known_hosts (sum, line, gone, at) VALUES (?, ?, ?, ?)", name, l, gone, at); err != nil {
			return err
		}
	}
	if len(t.changed) == 0 {
		return nil
	}
	var err error
	t.last, err = lastChange(ctx, tx)
	return err
}
