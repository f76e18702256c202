package pages

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// checksEvery is how often an open page of checks is drawn: results are no events of the record.
const checksEvery = 2 * time.Second

// maxHidden is how many checks are listed that are quiet by themselves, as those of a host that cannot be reached.
const maxHidden = 20

// maxWrong is how many lines of what is wrong a page has.
const maxWrong = 100

// maxAlike is how many of those that are alike are drawn after their line; the filter finds the others.
const maxAlike = 30

func checksPage() *page {
	return &page{path: "/checks", file: "checks.html", name: "Checks", key: "c", role: access.View, slow: true, checks: true, every: checksEvery,
		about: func(query, pipeline.Event) bool { return false },
		words: checkWords,
		read: func(s *Site, ctx context.Context, q query, _ view, _ []pipeline.Event) (view, error) {
			return s.readChecks(ctx, q)
		}}
}

// checkWords makes verbs out of a form of checks: one for all that have the same task.
func checkWords(form url.Values) [][]string {
	verb := form.Get("verb")
	if verb == "unsilence" {
		return [][]string{{"check", "unsilence", plain.Line(form.Get("id"))}}
	}
	if !slices.Contains([]string{"ack", "unack", "silence", "run"}, verb) {
		return nil
	}
	var tasks []string
	hosts := map[string][]string{}
	for _, pair := range form["pair"] {
		task, on, ok := strings.Cut(plain.Line(pair), " on ")
		if !ok {
			continue
		}
		on, was, ok := strings.Cut(on, wasAhead)
		if ok && verb == "ack" { // what is worse by now is another problem than the one that was seen
			task += wasAhead + was
		}
		if hosts[task] == nil {
			tasks = append(tasks, task)
		}
		for _, h := range strings.Split(on, ",") {
			if !slices.Contains(hosts[task], h) {
				hosts[task] = append(hosts[task], h)
			}
		}
	}
	var out [][]string
	for _, task := range tasks {
		for some := range slices.Chunk(hosts[task], maxAtOnce) {
			out = append(out, checkVerb(form, verb, task, some))
		}
	}
	return out
}

// maxAtOnce is how many hosts one verb takes.
const maxAtOnce = 1000

// checkVerb is one verb about hosts that have the same task.
func checkVerb(form url.Values, verb, task string, hosts []string) []string {
	task, was, seen := strings.Cut(task, wasAhead)
	words := []string{"check", verb, task, "on", strings.Join(hosts, ",")}
	if seen {
		words = append(words, "was", was)
	}
	if verb == "ack" || verb == "silence" {
		if long := plain.Line(form.Get("for")); long != "" {
			words = append(words, "for", long)
		}
		if why := plain.Line(form.Get("because")); why != "" {
			words = append(words, "because", why)
		}
	}
	return words
}

// wasAhead stands before how bad a check was when it was ticked.
const wasAhead = " was "

// checksView is how all checks are: first what is wrong, then all at a glance, then what is quiet on purpose.
type checksView struct {
	event int64
	sum   sentence
	wrong wrongList
	tiles tileList
	quiet []quietRow
	bad   int
}

// wrongList is what is wrong; what is alike is one row.
type wrongList struct {
	Groups []wrongGroup
	More   int
	All    int
}

// wrongGroup is checks of one task that are wrong in the same way.
type wrongGroup struct {
	ID         string // made of a number
	Kind, Word string
	Task       string
	Pair       string // for the form: TASK on HOST,HOST was WARNING
	Names      string
	Count      int
	Since      time.Time
	Checks     []wrongCheck
}

type wrongCheck struct {
	row
	Pair string
}

// tileList is all checks, a tile for each host or each task.
type tileList struct {
	By    string // "host" or "check"
	About string
	Find  string
	Tiles []tile
}

type tile struct {
	Path, Name, Title string
	Hot               bool
	Sky               sky
}

// quietRow is a downtime or an acknowledgement.
type quietRow struct {
	Word, What, Text string
	Until            time.Time
	ID               int64  // of a downtime
	Pair             string // of an acknowledgement
	May              bool   // the reader may end it
}

func checkPath(k model.Key) string {
	return "/checks/" + url.PathEscape(k.Host) + "/" + url.PathEscape(k.Task)
}

// readChecks parts what is wrong from what is quiet on purpose: acknowledged, silenced, or hidden by another check.
func (s *Site) readChecks(ctx context.Context, q query) (*checksView, error) {
	all, head, err := s.foundChecks(ctx, strings.Fields(q.find))
	if err != nil {
		return nil, err
	}
	v := &checksView{sum: sentence{"good", strings.TrimSuffix(head, ".") + "."}}
	v.event, err = s.Engine.LastEvent(ctx)
	if err != nil {
		return nil, err
	}
	var wrong []checks.View
	hidden := 0
	for _, c := range all {
		if c.Status == model.OK || c.At.IsZero() {
			continue
		}
		v.bad++
		if c.Ack != nil {
			v.quiet = append(v.quiet, quietRow{Word: "ack", What: c.Key.String(), Text: saidBy(c.Ack.By, c.Ack.Why), Until: c.Ack.Until, Pair: c.Key.String()})
		} else if c.Hidden == "" {
			wrong = append(wrong, c)
		} else if hidden++; hidden <= maxHidden {
			v.quiet = append(v.quiet, quietRow{Word: c.Word, What: c.Key.String(), Text: c.Hidden + ": " + clip(c.Line, 200)})
		}
	}
	switch {
	case v.bad > 0:
		v.sum.Kind = "bad"
	case len(all) == 0:
		v.sum.Kind = "off"
	}
	for _, d := range s.Checks.Downtimes() {
		v.quiet = append(v.quiet, quietOf(d, time.Now()))
	}
	if hidden > maxHidden {
		v.quiet = append(v.quiet, quietRow{Word: "quiet", What: many(hidden-maxHidden, "more check", "more checks"), Text: "for a reason like these; the filter finds them"})
	}
	v.wrong = foldWrong(wrong)
	v.tiles = tilesOf(all, q)
	return v, nil
}

// foundChecks gives the checks that somebody looks for, who may be in the middle of a word: what finds nothing is a
// sentence, and no error. A word alone may be a part of a name.
func (s *Site) foundChecks(ctx context.Context, words []string) ([]checks.View, string, error) {
	all, head, err := s.Table.Checks(ctx, words)
	var u *command.UserError
	if err != nil && len(words) == 1 && !strings.ContainsAny(words[0], "*?[@") {
		all, head, err = s.Table.Checks(ctx, []string{"*" + words[0] + "*"})
	}
	if errors.As(err, &u) || errors.Is(err, model.ErrInvalid) {
		return nil, "nothing matches " + strings.Join(words, " "), nil
	}
	return all, head, err
}

// quietOf tells of a downtime that is, or is to come.
func quietOf(d checks.Downtime, now time.Time) quietRow {
	q := quietRow{Word: "silenced", What: d.Task + " on " + d.Host, Text: saidBy(d.By, d.Why), Until: d.Until, ID: d.ID}
	if d.Name != "" {
		q.Text = strings.TrimSuffix(d.Name+" (each "+d.Every+"): "+d.Why, ": ")
	}
	if d.From.After(now) {
		q.Word, q.Text = "planned", "from "+plain.Time(d.From)+", "+q.Text
	}
	return q
}

// saidBy leaves the reason out where there is none.
func saidBy(who, why string) string {
	if why == "" {
		return "by " + who
	}
	return "by " + who + ": " + why
}

// foldWrong puts what is alike together, in the order of the list.
func foldWrong(list []checks.View) wrongList {
	type like struct{ word, task string }
	at := map[like]int{}
	out := wrongList{All: len(list)}
	for _, c := range list {
		k := like{c.Word, c.Task}
		i, ok := at[k]
		if !ok {
			i = len(out.Groups)
			at[k] = i
			out.Groups = append(out.Groups, wrongGroup{ID: fmt.Sprintf("grp-%d", i), Kind: kindOf(c), Word: c.Word, Task: c.Task, Since: c.Since})
		}
		g := &out.Groups[i]
		if c.Since.Before(g.Since) {
			g.Since = c.Since
		}
		r := row{Kind: kindOf(c), Word: c.Word, Path: checkPath(c.Key), Name: c.Task, Rest: " on " + c.Host, Text: clip(c.Line, 200), At: c.Since}
		g.Checks = append(g.Checks, wrongCheck{r, c.Key.String() + wasAhead + c.Status.String()})
	}
	for i := range out.Groups {
		g := &out.Groups[i]
		var hosts []string
		for _, c := range g.Checks {
			hosts = append(hosts, strings.TrimPrefix(c.Rest, " on "))
		}
		g.Pair = g.Task + " on " + strings.Join(hosts, ",") + wasAhead + g.Word
		g.Names = plain.Some(hosts, 8)
		if g.Count = len(g.Checks); g.Count > maxAlike {
			g.Checks = g.Checks[:maxAlike]
		}
	}
	if len(out.Groups) > maxWrong {
		out.More = len(out.Groups) - maxWrong
		out.Groups = out.Groups[:maxWrong]
	}
	return out
}

// tilesOf draws all checks at a glance.
func tilesOf(all []checks.View, q query) tileList {
	out := tileList{By: "host", Find: q.find}
	if q.by == "check" {
		out.By = "check"
	}
	of := map[string][]checks.View{}
	var names []string
	for _, c := range all {
		name := c.Host
		if out.By == "check" {
			name = c.Task
		}
		if of[name] == nil {
			names = append(names, name)
		}
		of[name] = append(of[name], c)
	}
	slices.Sort(names)
	for _, name := range names {
		list := of[name]
		slices.SortFunc(list, func(a, b checks.View) int { return strings.Compare(a.Task+" "+a.Host, b.Task+" "+b.Host) })
		t := tile{Path: "/hosts/" + url.PathEscape(name), Name: name, Title: name}
		if out.By == "check" {
			t.Path = "/checks?by=check&q=" + url.QueryEscape(name)
		} else if short, _, ok := strings.Cut(name, "."); ok {
			t.Name = short
		}
		for _, c := range list {
			kind := kindOf(c)
			t.Sky.Kinds = append(t.Sky.Kinds, kind)
			if (kind == "bad" || kind == "unk") && c.Hidden == "" && c.Ack == nil {
				t.Hot = true
			}
		}
		bad := 0
		for _, k := range t.Sky.Kinds {
			if k != "good" && k != "off" {
				bad++
			}
		}
		if bad > 0 {
			t.Title += fmt.Sprintf(": %d of %d not OK", bad, len(list))
		}
		out.Tiles = append(out.Tiles, t)
	}
	out.About = many(len(names), out.By, out.By+"s") + "; tall is bad, hollow is unknown"
	return out
}

func (v *checksView) title() string {
	if n := v.wrong.All; n > 0 {
		return fmt.Sprintf("✕ %d wrong", n)
	}
	return "checks"
}

func (v *checksView) at() int64 { return v.event }
func (v *checksView) parts() []part {
	return []part{{"sum", "checks-sum", v.sum}, {"wrong", "checks-wrong", v.wrong}, {"map", "checks-map", v.tiles}}
}

func (v *checksView) own(p access.Person) []part {
	may := p.Has(access.Deploy)
	list := slices.Clone(v.quiet)
	for i := range list {
		list[i].May = may
	}
	return []part{{"quiet", "checks-quiet", list}, {"bulk", "checks-bulk", may && v.wrong.All > 0}}
}
