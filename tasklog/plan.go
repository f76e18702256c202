package tasklog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
)

// Pending is a task that is wanted and not done.
type Pending struct {
	Task     Task      `json:"task"`
	Commit   string    `json:"commit"`   // of the wanted branch, that brought it
	Position int       `json:"position"` // in its list then, from 1
	File     string    `json:"file"`
	Line     int       `json:"line"`
	Author   string    `json:"author"`
	At       time.Time `json:"at"` // of the commit
	// Edits is the ID of a task that has begun, and whose text this one replaces.
	Edits string `json:"edits,omitempty"`
}

// ID names a task: its commit and its position.
func (p *Pending) ID() string { return fmt.Sprintf("%s-%d", p.Commit, p.Position) }

// Short is the ID for people.
func (p *Pending) Short() string {
	return fmt.Sprintf("%s-%d", p.Commit[:min(8, len(p.Commit))], p.Position)
}

// Trouble says why nothing runs, and what to do.
type Trouble struct{ Msg string }

// Error is one plain line, whatever names of tasks and authors it holds.
func (t *Trouble) Error() string { return plain.Line(t.Msg) }

func troublef(format string, args ...any) error { return &Trouble{fmt.Sprintf(format, args...)} }

// plan is what is to be done in a repository.
type plan struct {
	wanted, done string
	pending      []Pending
	merge        []string            // commits of the wanted branch that done has not, oldest first
	tasks        map[string][]string // by commit: the ids of the tasks it brought and that are still wanted
	notes        []string            // what is odd in the newest list and keeps nothing
	held         *Pending            // what waits for a person: it was edited after it ran
	finished     map[string]bool     // ids that the done branch names
	unread       map[string]bool     // commits whose list cannot be read: done does not stop there, or their tasks would count as done
	open         map[string]string   // ids and names that it names after its last merge: their commits may be rewritten yet
	inherited    map[string]string   // ids and names that it got, without an environment, from the branch it began at
}

// walked is a task on its way through the commits.
type walked struct {
	id string // "" when it is part of done
	at string // the commit that brings it; another one than its ID says when history was rewritten
	p  Pending
	// was is what it replaces, and what has begun: with its old text it is that again.
	was *walked
	// before is the commit of what it replaces and what has not run: done stays before that, or the old text would
	// count as done.
	before string
}

// plan reads what was fetched. The error is a *Trouble when the repository is not in order; then the plan, if there is
// one, goes as far as it is: what has run can be marked, and nothing may start. running is the id of the task that runs
// now.
func (l *Repo) plan(ctx context.Context, running string) (*plan, error) {
	g := l.git
	p := &plan{tasks: map[string][]string{}, finished: map[string]bool{}, unread: map[string]bool{}, open: map[string]string{}, inherited: map[string]string{}}
	var err error
	if p.wanted, p.done, err = g.heads(ctx); err != nil {
		return nil, err
	}
	branch := l.cfg.Branch
	if branch == "" {
		branch = "main"
	}
	switch {
	case p.wanted == "":
		return nil, troublef("there is no branch %s in %s", branch, hideSecret(l.cfg.Repo))
	case p.done == "":
		return nil, troublef("there is no branch %[1]s in %[2]s, so nobody knows what has been run; `git push origin COMMIT:refs/heads/%[1]s` says that all up to COMMIT has been", l.cfg.Done, hideSecret(l.cfg.Repo))
	}
	if err := l.strays(ctx, p); err != nil {
		return nil, err
	}
	if err := l.marks(ctx, p); err != nil {
		return nil, err
	}
	if p.merge, err = g.lines(ctx, "rev-list", "--first-parent", "--reverse", p.done+".."+p.wanted); err != nil || len(p.merge) == 0 {
		return p, err
	}
	w, err := l.walkFrom(ctx, p, running)
	if err != nil {
		return nil, err
	}
	if at, err := w.all(ctx); err != nil {
		return l.until(p, at, w.list, err)
	}
	p.sort(w.list)
	if err := l.allowed(p); err != nil {
		return p, err
	}
	if err := l.signed(ctx, p); err != nil {
		return p, err
	}
	return p, l.hold(ctx, p)
}

// walk goes from list to list, commit by commit.
type walk struct {
	*Repo
	plan    *plan
	running string   // id of the task that runs now
	read    []listed // the list of each commit of plan.merge
	list    []walked
	mixed   bool     // list comes from several lists, so that its order means nothing
	lost    []walked // tasks of commits that were rewritten, whose new place is not found yet
	edit    *Trouble // what has run was edited, and is not put back yet
	at      int      // where, in plan.merge
}

// walkFrom begins at the last list before the first commit that is new.
func (l *Repo) walkFrom(ctx context.Context, p *plan, running string) (*walk, error) {
	w := &walk{Repo: l, plan: p, running: running}
	base, err := l.git.commit(ctx, p.merge[0]+"^1")
	if err != nil {
		return nil, err
	}
	if base != "" {
		if contained, err := l.git.run(ctx, "merge-base", base, p.done); err != nil || contained != base {
			return nil, troublef("the histories of %s and the wanted branch have nothing in common: it was rewritten; push the history back, or move %[1]s yourself to what has been run", l.cfg.Done)
		}
		entries, several, err := l.lastList(ctx, base)
		if err != nil {
			return nil, err
		}
		w.mixed = several
		for _, e := range entries {
			w.list = append(w.list, walked{p: Pending{Task: e.task}})
		}
	}
	if w.lost, err = l.rewritten(ctx, p, running); err != nil {
		return nil, err
	}
	if w.read, err = l.lists(ctx, p.merge); err != nil {
		return nil, err
	}
	return w, l.authors(ctx, p.merge)
}

// all walks to the newest commit. With an error, at is the commit at which the walk stops.
func (w *walk) all(ctx context.Context) (at int, err error) {
	for i, c := range w.plan.merge {
		if err := w.read[i].err; err != nil {
			// The walk goes on from the last list that could be read: what an unreadable one held still has its name.
			le, isList := err.(*listError)
			if isList && i < len(w.plan.merge)-1 {
				w.pass(c, le.file, le.ran)
				continue // a later commit may have put it right; its other tasks are that commit's
			} else if isList {
				err = troublef("%v (commit %.8s by %s)", err, c, w.author(ctx, c))
			}
			return i, err
		}
		if err := w.further(ctx, i, c, w.read[i].file, w.read[i].entries); err != nil {
			return i, err
		}
	}
	if w.edit != nil {
		return w.at, w.edit
	}
	return 0, nil
}

// pass leaves out the list of a commit, but for what has run of it, or runs now.
func (w *walk) pass(commit, file string, entries []entry) {
	old := did(entries, commit, file, func(id string) bool { return w.plan.finished[id] || id == w.running })
	w.list, w.mixed = append(w.list, old...), w.mixed || len(old) > 0
	w.plan.unread[commit] = true
}

// further takes the walk to one commit. One that edits what has run is passed: a later one may put the old text back.
func (w *walk) further(ctx context.Context, i int, commit, file string, entries []entry) error {
	p := w.plan
	found, rest := find(w.lost, w.list, entries, commit, w.running)
	from := append(slices.Clone(w.list), found...)
	if w.mixed || len(found) > 0 {
		from = ordered(from, entries)
	}
	p.inherit(commit, entries)
	now, err := w.next(ctx, from, file, entries, commit, p.merge, p.finished, w.running)
	var trouble *Trouble
	switch {
	case errors.As(err, &trouble):
		if w.edit == nil || about(w.edit) != about(trouble) {
			w.edit, w.at = trouble, i
		}
		w.pass(commit, file, entries)
		return nil
	case err != nil:
		return err
	}
	w.lost, w.mixed, w.edit, w.list = rest, false, nil, now
	p.notes = odd(file, entries)
	return nil
}

// allowed is trouble when something new may not run: for their number, for want of hosts, or as root.
func (l *Repo) allowed(p *plan) error {
	if n := len(p.pending); n > l.cfg.MaxTasks {
		return troublef("%d tasks are new, and max_tasks is %d: none of them runs, for so many at once may be a slip; push fewer at a time, or raise max_tasks", n, l.cfg.MaxTasks)
	}
	for _, t := range p.pending {
		if l.cfg.Where == SSH && len(t.Task.Hosts) == 0 {
			return troublef("%q (%s, line %d) names no hosts, and tasks of %s run over SSH only", t.Task.Name, t.File, t.Line, l.cfg.Name)
		}
		if err := l.maySudo(t.Task); err != nil {
			return troublef("%s, line %d: %v", t.File, t.Line, err)
		}
	}
	return nil
}

// hold makes an edit of a task that has run wait for a person: it would run again where it has run already.
func (l *Repo) hold(ctx context.Context, p *plan) error {
	if len(p.pending) == 0 || p.pending[0].Edits == "" {
		return nil
	}
	t := &p.pending[0]
	if ok, err := l.past.decided(ctx, t); err != nil || ok {
		return err
	}
	where, err := l.past.begun(ctx, pendingOf(t.Edits))
	if err != nil {
		return err
	}
	p.held = t
	return troublef("the task %q (%s) was edited after it ran: %s (%s, commit %.8s by %s); `task retry %s` runs it as it is now, and not where it went well with the same text; `task done %[7]s` goes on without",
		t.Task.Name, t.Short(), where, t.File, t.Commit, t.Author, l.cfg.Name)
}

// pendingOf gives the task of an ID, without its text.
func pendingOf(id string) *Pending {
	commit, position, _ := strings.Cut(id, "-")
	n, _ := strconv.Atoi(position)
	return &Pending{Commit: commit, Position: n}
}

// marks reads which tasks the done branch names: of a commit with several, those that are done stand after the last
// merge. An id is without its environment, so the mark says which one it is of. Earlier versions did not write that: on
// a branch of our own it was us; what such a branch began with was written by whoever had the other one.
func (l *Repo) marks(ctx context.Context, p *plan) error {
	g := l.git
	format := fmt.Sprintf("--format=%%H%%x1f%%(trailers:key=%s,valueonly,separator=%%x2c)%%x1f%%(trailers:key=%s,valueonly,separator=%%x2c)%%x1f%%P%%x1f%%s", trailerTask, trailerEnv)
	lines, err := g.lines(ctx, "log", "--first-parent", "-n", "1000", format, p.wanted+".."+p.done)
	if err != nil {
		return err
	}
	shared := ""
	if l.cfg.inherits != "" {
		if shared, err = g.commit(ctx, "refs/remotes/origin/"+l.cfg.inherits); err != nil {
			return err
		}
	}
	open := true
	for _, line := range lines {
		f := strings.SplitN(line, "\x1f", 5)
		if len(f) < 5 {
			continue
		}
		_, name, _ := strings.Cut(f[4], ": ")
		open = open && !strings.Contains(f[3], " ") // what a merge has is within done
		switch {
		case f[1] == "":
			continue
		case f[2] == l.cfg.Env:
			p.finished[f[1]] = true
		case f[2] != "": // another environment's
			continue
		case shared == "":
			p.finished[f[1]] = true
		default:
			if both, err := g.run(ctx, "merge-base", f[0], shared); err == nil && both == f[0] {
				p.inherited[f[1]] = name
				continue
			}
			p.finished[f[1]] = true
		}
		if open {
			p.open[f[1]] = name
		}
	}
	return nil
}

// inherit takes the marks of earlier versions that fit our tasks by their names as well: all environments shared one
// branch once, and a task must not run twice.
func (p *plan) inherit(commit string, entries []entry) {
	for i, e := range entries {
		id := (&Pending{Commit: commit, Position: i + 1}).ID()
		if name, ok := p.inherited[id]; ok && name == plain.Joined(e.task.Name) {
			p.finished[id] = true
		}
	}
}

// until ends a plan before the commit where the trouble is.
func (l *Repo) until(p *plan, i int, list []walked, err error) (*plan, error) {
	if _, trouble := err.(*Trouble); !trouble {
		return nil, err
	}
	p.merge = p.merge[:i]
	p.sort(list)
	return p, err
}

// sort puts what the walk found into the plan.
func (p *plan) sort(list []walked) {
	slices.SortStableFunc(list, func(a, b walked) int { return slices.Index(p.merge, a.at) - slices.Index(p.merge, b.at) })
	for _, w := range list {
		if w.id == "" {
			continue
		}
		p.tasks[w.at] = append(p.tasks[w.at], w.id)
		if w.p.Edits != "" { // done stays before what it was, or nobody would know that it has run
			first := pendingOf(w.p.Edits).Commit
			p.tasks[first] = append(p.tasks[first], w.id)
		}
		if w.before != "" {
			p.tasks[w.before] = append(p.tasks[w.before], w.id)
		}
		if !p.finished[w.id] {
			p.pending = append(p.pending, w.p)
		}
	}
}

// odd says which keys of a list mean nothing.
func odd(file string, entries []entry) (out []string) {
	for _, e := range entries {
		if len(e.extra) > 0 {
			out = append(out, fmt.Sprintf("%s, line %d: %q has keys that mean nothing here: %s", file, e.line, e.task.Name, strings.Join(e.extra, ", ")))
		}
	}
	return out
}

// earliest gives the first of the commits that bring some tasks, or what these replace; "" when none is in order.
func earliest(list []walked, order []string) (commit string) {
	least := len(order)
	for _, w := range list {
		for _, c := range []string{w.at, w.before} {
			if i := slices.Index(order, c); i >= 0 && i < least {
				commit, least = c, i
			}
		}
	}
	return commit
}

// next takes the walk one commit further; order is that of the commits.
func (l *Repo) next(ctx context.Context, list []walked, file string, entries []entry, commit string, order []string, finished map[string]bool, running string) ([]walked, error) {
	old, now := make([]string, len(list)), make([]string, len(entries))
	for i := range list {
		old[i] = list[i].p.Task.key()
	}
	for i := range entries {
		now[i] = entries[i].task.key()
	}
	out := make([]walked, len(entries))
	same, hunks := diff(old, now)
	for _, s := range same {
		out[s[1]] = list[s[0]]
	}
	var author string
	var at time.Time
	var gone []walked
	for _, h := range hunks {
		gone = append(gone, list[h.A:h.B]...)
	}
	for _, h := range hunks {
		for _, w := range list[h.A:h.B] {
			if running != "" && w.id == running && !finished[w.id] {
				return nil, troublef("the task %q was changed or taken back while it ran (%s, commit %.8s by %s); put the old text back, and add what is new after it", w.p.Task.Name, file, commit, l.author(ctx, commit))
			}
			if h.D > h.C && (w.id == "" || finished[w.id]) {
				return nil, troublef("the task %q was edited after it ran (%s, commit %.8s by %s); put the old text back, and add what is new after it", w.p.Task.Name, file, commit, l.author(ctx, commit))
			}
		}
		before := earliest(list[h.A:h.B], order)
		for i := h.C; i < h.D; i++ {
			if author == "" {
				author, at = l.author(ctx, commit), l.date(ctx, commit)
			}
			back, err := l.putBack(ctx, edited(gone, list[h.A:h.B], entries[h.C:h.D], i-h.C), entries[i].task)
			if err != nil {
				return nil, err
			} else if back != nil {
				out[i] = *back
				continue
			}
			var was *walked
			p := Pending{Task: entries[i].task, Commit: commit, Position: i + 1, File: file, Line: entries[i].line, Author: author, At: at}
			if w := edited(gone, list[h.A:h.B], entries[h.C:h.D], i-h.C); w != nil && !finished[w.id] {
				if p.Edits, was = w.p.Edits, w.was; p.Edits == "" {
					where, err := l.past.begun(ctx, &w.p)
					if err != nil {
						return nil, err
					} else if where != "" {
						p.Edits, was = w.id, w
					}
				}
			}
			out[i] = walked{id: p.ID(), at: commit, p: p, was: was, before: before}
		}
	}
	return out, nil
}

// putBack gives what a task was before its edit, where it has its old text again and the edited one has not begun; nil
// otherwise.
func (l *Repo) putBack(ctx context.Context, w *walked, now Task) (*walked, error) {
	if w == nil || w.was == nil || w.was.p.Task.key() != now.key() {
		return nil, nil
	}
	where, err := l.past.begun(ctx, &w.p)
	if err != nil || where != "" {
		return nil, err
	}
	return w.was, nil
}

// edited gives what a new entry was before: of all that is gone what is called so, else what stood in its place.
func edited(gone, here []walked, now []entry, i int) *walked {
	of := func(w walked) *walked {
		if w.id == "" {
			return nil
		}
		return &w
	}
	if at := slices.IndexFunc(gone, func(w walked) bool { return w.p.Task.Name == now[i].task.Name }); at >= 0 {
		return of(gone[at])
	}
	if i < len(here) && !slices.ContainsFunc(now, func(e entry) bool { return e.task.Name == here[i].p.Task.Name }) {
		return of(here[i])
	}
	return nil
}

// about gives what a trouble says, without where: a task that is edited again is told by its first edit.
func about(t *Trouble) string {
	what, _, _ := strings.Cut(t.Msg, " (")
	return what
}

// did gives what was run of a list that does not count.
func did(entries []entry, commit, file string, ran func(id string) bool) []walked {
	var out []walked
	for i, e := range entries {
		p := Pending{Task: e.task, Commit: commit, Position: i + 1, File: file, Line: e.line}
		if ran(p.ID()) {
			out = append(out, walked{id: p.ID(), at: commit, p: p})
		}
	}
	return out
}

// ordered puts a list into the order of another one, as far as they hold the same.
func ordered(list []walked, as []entry) []walked {
	rest, same := slices.Clone(list), []walked{}
	for _, e := range as {
		if i := slices.IndexFunc(rest, func(w walked) bool { return w.p.Task.key() == e.task.key() }); i >= 0 {
			same = append(same, rest[i])
			rest = slices.Delete(rest, i, i+1)
		}
	}
	return append(rest, same...)
}

// passed gives what the done branch may merge now that the tasks in finished are done: the last commit before the next
// task that waits; "" when none is.
func (p *plan) passed() (merge string) {
	for _, c := range p.merge {
		for _, id := range p.tasks[c] {
			if !p.finished[id] {
				return merge
			}
		}
		if !p.unread[c] {
			merge = c
		}
	}
	return merge
}
