package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// A command on many hosts is the verb `run`, whose answer comes when all have ended. So that it can be watched, this
// server keeps what has come so far, of the last commands that were begun in its pages.
const (
	maxExecs    = 50        // that are kept
	maxExecText = 256 << 10 // of the outputs of one
	maxExecLast = 12 * time.Hour
	execEvery   = time.Second
	// execPatience is how long the page waits for an answer before it shows what goes on: a refusal comes at once.
	execPatience = 400 * time.Millisecond
)

// execs are the commands that were begun in pages of this server.
type execs struct {
	mu   sync.Mutex
	last int64
	list []*execJob // the newest last
	over bool       // nothing begins any more
	live guard.Group
}

// start has a command run; false when the server stops: whoever stops waits for those that have begun, and no other may
// begin beside that.
func (e *execs) start(caught func(*guard.Panic), f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.over {
		e.live.Go(caught, f)
	}
	return !e.over
}

// execJob is one command.
type execJob struct {
	mu      sync.Mutex
	id      int64
	by      string
	asked   string // as it may be shown
	began   time.Time
	ended   time.Time // zero: it goes on
	hosts   []string
	outputs []command.Output
	text    int  // bytes of the outputs
	cut     bool // some were left out
	refused string
	bad     bool
	cancel  context.CancelFunc
}

func execPage() *page {
	return &page{path: "/exec", file: "exec.html", name: "Exec", key: "e", role: access.Run, every: execEvery, slow: true,
		post:  (*Site).beginExec,
		about: func(query, pipeline.Event) bool { return false },
		read: func(s *Site, ctx context.Context, _ query, _ view, _ []pipeline.Event) (view, error) {
			event, err := s.Engine.LastEvent(ctx)
			return &execView{event: event, list: s.execs.rows()}, err
		}}
}

func execJobPage() *page {
	return &page{path: "/exec/{run}", file: "exec-one.html", of: "Exec", role: access.Run, every: execEvery, slow: true,
		post:  (*Site).cancelExec,
		about: func(query, pipeline.Event) bool { return false },
		read: func(s *Site, ctx context.Context, q query, _ view, _ []pipeline.Event) (view, error) {
			event, err := s.Engine.LastEvent(ctx)
			if err != nil {
				return nil, err
			}
			j := s.execs.find(q.run)
			if j == nil {
				return nil, &command.UserError{Msg: fmt.Sprintf("I have no command %d", q.run), Hint: "the server at which it was begun keeps it until it is stopped; `audit` tells what was said", Kind: command.ErrNotFound}
			}
			return &execView{event: event, one: j.now()}, nil
		}}
}

// beginExec answers POST /exec: it says `run`, and shows what goes on.
func (s *Site) beginExec(p *page) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		v, leave, ok := s.open(w, r, p)
		if !ok {
			return
		}
		defer leave()
		hosts, line := plain.Line(r.PostFormValue("hosts")), plain.Line(r.PostFormValue("line"))
		argv := command.SplitWords(line)
		why := ""
		switch {
		case hosts == "" || len(argv) == 0:
			why = "name hosts and a command"
		case strings.ContainsAny(strings.TrimSpace(r.PostFormValue("line")), "\r\n"):
			why = oneLineOnly
		}
		if why != "" {
			s.page(w, r, http.StatusBadRequest, p, v, &answer{Said: []string{why}, Bad: true, Hosts: hosts, Line: line})
			return
		}
		words := append([]string{"run", strings.Join(strings.FieldsFunc(hosts, func(r rune) bool { return r == ' ' || r == ',' }), ","), "--"}, argv...)
		asked := s.Table.Shown(r.Context(), command.JoinWords(words))
		// It goes on when the page is closed, as one does that is said in chat; it ends by its button, and with the
		// server.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxExecLast)
		j := s.execs.add(v.person.Name, asked, cancel)
		if j == nil {
			cancel()
			s.page(w, r, http.StatusTooManyRequests, p, v, &answer{Said: []string{"too many commands of these pages go on; cancel some, or wait"}, Bad: true, Asked: asked, Hosts: hosts, Line: line})
			return
		}
		done := make(chan struct{})
		logged := guard.Log(s.Log, "run a command from a page")
		caught := func(p *guard.Panic) { logged(p); j.end("a bug of mine; the stack is in my log", true) }
		do := func() {
			defer close(done)
			defer cancel()
			a, err := s.Table.Do(ctx, command.Call{Words: words, Person: v.person, Asker: v.person.Name, Via: v.via, Secret: true, Began: j.begin, Ended: j.add})
			var u *command.UserError
			if errors.As(err, &u) {
				j.end(u.Error(), true)
				return
			}
			j.end("", a.Bad)
		}
		if !s.execs.start(caught, do) {
			cancel()
			s.execs.drop(j)
			s.page(w, r, http.StatusServiceUnavailable, p, v, &answer{Said: []string{"this server stops; say it again in a moment"}, Bad: true, Asked: asked, Hosts: hosts, Line: line})
			return
		}
		select {
		case <-done:
		case <-time.After(execPatience):
		}
		if n := j.now(); n.Refused != "" && len(n.Hosts) == 0 {
			s.execs.drop(j)
			s.page(w, r, http.StatusConflict, p, v, &answer{Said: []string{n.Refused}, Bad: true, Asked: asked, Hosts: hosts, Line: line})
			return
		}
		http.Redirect(w, r, s.prefix+"/exec/"+strconv.FormatInt(j.id, 10), http.StatusSeeOther)
	}
}

// cancelExec answers POST /exec/N: whoever began it may end it, and admins.
func (s *Site) cancelExec(p *page) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		v, leave, ok := s.open(w, r, p)
		if !ok {
			return
		}
		defer leave()
		j := s.execs.find(v.query.run)
		out := &answer{Said: []string{"it is told to end on each host"}}
		switch {
		case j == nil:
			s.page(w, r, http.StatusNotFound, p, v, nil)
			return
		case j.by != v.person.Name && !v.person.Has(access.Admin):
			out = &answer{Said: []string{"only " + j.by + ", who began it, and admins may cancel it"}, Bad: true}
		default:
			j.cancel()
		}
		s.Table.Record(r.Context(), access.Record{Who: v.person.Name, Via: v.via, Line: fmt.Sprintf("cancel command %d", j.id), Outcome: map[bool]string{false: "ok", true: out.Said[0]}[out.Bad]})
		s.page(w, r, http.StatusOK, p, v, out)
	}
}

// add drops the oldest command that is over when there are maxExecs; nil: all of them are under way.
func (e *execs) add(by, asked string, cancel context.CancelFunc) *execJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) >= maxExecs {
		i := slices.IndexFunc(e.list, func(j *execJob) bool { return j.over() })
		if i < 0 {
			return nil
		}
		e.list = slices.Delete(e.list, i, i+1)
	}
	e.last = max(e.last+1, time.Now().UnixMilli()) // no number comes twice, also after a restart: an old page must not cancel another command
	j := &execJob{id: e.last, by: by, asked: asked, began: time.Now(), cancel: cancel}
	e.list = append(e.list, j)
	return j
}

// drop forgets a command that was refused before it reached any host.
func (e *execs) drop(j *execJob) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = slices.DeleteFunc(e.list, func(x *execJob) bool { return x == j })
}

func (e *execs) find(id int64) *execJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, j := range e.list {
		if j.id == id {
			return j
		}
	}
	return nil
}

// stop ends all, and waits for them.
func (e *execs) stop() {
	e.mu.Lock()
	e.over = true
	for _, j := range e.list {
		j.cancel()
	}
	e.mu.Unlock()
	e.live.Wait()
}

// rows gives the newest first.
func (e *execs) rows() (out []row) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, j := range slices.Backward(e.list) {
		n := j.now()
		out = append(out, row{Kind: n.Kind, Word: n.Word, Path: fmt.Sprintf("/exec/%d", n.ID), Name: fmt.Sprintf("command %d", n.ID), Rest: " by " + n.By, Text: n.Asked, Mono: true, At: n.Began})
	}
	return out
}

func (j *execJob) over() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.ended.IsZero()
}

func (j *execJob) begin(hosts []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hosts = hosts
}

// add keeps no more than maxExecText bytes of all hosts together. The exit of a host is kept in any case.
func (j *execJob) add(o command.Output) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var lines []string
	for _, l := range o.Lines {
		if j.text += len(l) + 1; j.text > maxExecText {
			j.cut = true
			break
		}
		lines = append(lines, l)
	}
	o.Lines = lines
	j.cut = j.cut || o.Left > 0
	j.outputs = append(j.outputs, o)
}

// end says that nothing more comes. refused is why it did not begin; "" when it did.
func (j *execJob) end(refused string, bad bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended, j.refused, j.bad = time.Now(), refused, bad
}

// execNow is a command as it stands.
type execNow struct {
	ID           int64
	By, Asked    string
	Kind, Word   string
	Sum, Refused string
	Began, Ended time.Time
	Hosts        []string
	Groups       []execGroup
	Cut          bool
}

// execGroup is hosts on which the same came of it.
type execGroup struct {
	ID, Kind, Word string
	Hosts          string
	Count          int
	Text           string
	Open           bool
}

// now groups the hosts by what came of it there, so that a thousand that say the same are one group.
func (j *execJob) now() execNow {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := execNow{ID: j.id, By: j.by, Asked: j.asked, Kind: "live", Word: "goes on", Refused: j.refused, Began: j.began, Ended: j.ended, Hosts: j.hosts, Cut: j.cut}
	type like struct {
		word string
		text string
	}
	at := map[like]int{}
	var names [][]string
	failed := 0
	for _, o := range j.outputs {
		g := execGroup{Kind: "good", Word: "done", Text: strings.Join(o.Lines, "\n")}
		switch {
		case o.Error != "":
			g.Kind, g.Word = "unk", "failed"
			g.Text = strings.TrimSpace(g.Text + "\n" + o.Error)
		case o.Exit != 0:
			g.Kind, g.Word = "bad", fmt.Sprintf("exit %d", o.Exit)
		}
		if g.Kind != "good" {
			failed++
		}
		k := like{g.Word, g.Text}
		i, ok := at[k]
		if !ok {
			i = len(n.Groups)
			at[k] = i
			n.Groups, names = append(n.Groups, g), append(names, nil)
		}
		names[i] = append(names[i], o.Host)
		n.Groups[i].Count++
	}
	for i := range n.Groups {
		slices.Sort(names[i])
		n.Groups[i].Hosts = plain.Some(names[i], 20)
	}
	// What failed comes first, then what most hosts say.
	slices.SortStableFunc(n.Groups, func(a, b execGroup) int {
		if (a.Kind == "good") != (b.Kind == "good") {
			return map[bool]int{true: 1, false: -1}[a.Kind == "good"]
		}
		return b.Count - a.Count
	})
	for i := range n.Groups {
		n.Groups[i].ID, n.Groups[i].Open = fmt.Sprintf("out-%d", i), i < 3
	}
	n.Sum = fmt.Sprintf("%d of %s answered", len(j.outputs), many(len(j.hosts), "host", "hosts"))
	if failed > 0 {
		n.Sum += fmt.Sprintf(", %d failed", failed)
	}
	switch {
	case !j.ended.IsZero() && (j.bad || failed > 0):
		n.Kind, n.Word = "bad", "ended"
	case !j.ended.IsZero():
		n.Kind, n.Word = "good", "done"
	}
	n.Sum += "."
	return n
}

// execView is the commands of this server, or one of them.
type execView struct {
	event int64
	list  []row
	one   execNow
}

func (v *execView) title() string {
	if v.one.ID == 0 {
		return "run a command"
	}
	return map[string]string{"live": "▶", "good": "✓", "bad": "✕"}[v.one.Kind] + " " + clip(v.one.Asked, 60)
}

// One is the command of the page.
func (v *execView) One() execNow { return v.one }

func (v *execView) at() int64 { return v.event }
func (v *execView) parts() []part {
	if v.one.ID == 0 {
		return []part{{"ended", "ended", rows{"Begun in these pages", "Nothing yet. What is begun here is kept by this server until it is stopped.", v.list, 0}}}
	}
	return []part{{"sentence", "sentence", sentence{v.one.Kind, v.one.Sum}}, {"out", "exec-out", v.one}}
}

func (v *execView) own(p access.Person) []part {
	if v.one.ID == 0 {
		return nil
	}
	return []part{{"acts", "exec-acts", v.one.Ended.IsZero() && (v.one.By == p.Name || p.Has(access.Admin))}}
}
