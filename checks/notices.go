package checks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/store"
)

// Notice is a line for people. With neither person nor channel it is for the first channel.
type Notice struct {
	ID      int64
	Person  string
	Channel string
	Line    string
}

// Notices gives those behind an id, in order.
func (m *Monitor) Notices(ctx context.Context, after int64, limit int) ([]Notice, error) {
	rows, err := m.DB.Query(ctx, "SELECT id, person, channel, line FROM check_notices WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []Notice
	for rows.Next() {
		var n Notice
		if err := rows.Scan(&n.ID, &n.Person, &n.Channel, &n.Line); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, rows.Err()
}

// NewNotices gives a channel that has something when there are new ones, and what ends that.
func (m *Monitor) NewNotices() (<-chan struct{}, func()) { return m.news.follow() }

const (
	maxGathered = 10_000 // rows of one round
	maxLines    = 6      // for one contact; more become one that counts them
)

// tellPeople gathers what is to be said, and says what belongs together in one line.
func (m *Monitor) tellPeople(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.gathering:
		case <-wait.C:
		}
		next, err := m.gatherNotices(ctx)
		if err != nil && ctx.Err() == nil {
			m.Log.Error("gather notices", "err", err)
			next = time.Second
		}
		wait.Reset(next)
	}
}

// gatherNotices says what has waited for company long enough, and gives when to look again.
func (m *Monitor) gatherNotices(ctx context.Context) (next time.Duration, err error) {
	const idle = 10 * time.Second
	rows, err := m.openRows(ctx, rowNotice, maxGathered)
	if err != nil || len(rows) == 0 {
		return idle, err
	}
	if left := m.conf().Gather - m.now().Sub(rows[0].at); left > 0 && left <= m.conf().Gather {
		return left, nil
	}
	m.mu.Lock()
	cat := m.cat
	m.mu.Unlock()
	notices := noticesOf(cat, rows)
	now := m.now().UnixMilli()
	err = m.DB.Write(ctx, func(tx store.Tx) error {
		for _, n := range notices {
			if _, err := tx.Exec(ctx, "INSERT INTO check_notices (at, person, channel, line) VALUES (?, ?, ?, ?)", now, n.Person, n.Channel, n.Line); err != nil {
				return err
			}
		}
		for _, r := range rows {
			if err := outboxDone(ctx, tx, r.id, now, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	m.news.poke()
	m.tellNodes(newsNotices)
	return 0, nil
}

// bunch is events that are said in one line.
type bunch struct {
	on     string
	task   string
	status model.Status
	rows   []outboxRow
}

// noticesOf makes notices of rows: those of a kind and a check in one line.
func noticesOf(c *model.Catalog, rows []outboxRow) []Notice {
	byContact := map[model.Contact][]*bunch{}
	var contacts []model.Contact
	for _, r := range rows {
		for _, to := range c.ContactsOf(r.action) {
			if _, ok := byContact[to]; !ok {
				contacts = append(contacts, to)
			}
			list := byContact[to]
			i := slices.IndexFunc(list, func(b *bunch) bool { return b.on == r.On && b.task == r.Task && b.status == r.Status })
			if i < 0 {
				list = append(list, &bunch{on: r.On, task: r.Task, status: r.Status})
				i = len(list) - 1
			}
			list[i].rows = append(list[i].rows, r)
			byContact[to] = list
		}
	}
	var out []Notice
	for _, to := range contacts {
		list := byContact[to]
		if len(list) > maxLines {
			out = append(out, Notice{Person: to.Person, Channel: to.Channel, Line: summary(list)})
			continue
		}
		for _, b := range list {
			out = append(out, Notice{Person: to.Person, Channel: to.Channel, Line: b.line()})
		}
	}
	return out
}

// maxNamed is how many hosts a line names.
const maxNamed = 8

func (b *bunch) hosts() (names string, n int) {
	var list []string
	for _, r := range b.rows {
		if !slices.Contains(list, r.Host) {
			list = append(list, r.Host)
		}
	}
	slices.Sort(list)
	n = len(list)
	if n == 1 {
		return list[0], 1
	}
	text := fleet.Fold(list)
	if len(text) > 120 {
		text = strings.Join(list[:min(maxNamed, n)], ", ")
		if n > maxNamed {
			text += ", …"
		}
	}
	return fmt.Sprintf("%d hosts: %s", n, text), n
}

// line is one sentence, that says what to do next.
func (b *bunch) line() string {
	names, n := b.hosts()
	e := b.rows[len(b.rows)-1].Event
	said := ""
	if n == 1 && e.Line != "" {
		said = ": " + clip(e.Line, 200)
	}
	more := fmt.Sprintf(" `checks %s`", b.task)
	if n == 1 {
		more = fmt.Sprintf(" `check show %s on %s`", b.task, e.Host)
	}
	was := ""
	if n == 1 && e.Was > 0 {
		was = " after " + short(e.Was)
	}
	if b.task == model.HostAnswers {
		switch {
		case b.on == string(model.Recovery) && n == 1:
			return fmt.Sprintf("%s answers again%s", names, was)
		case b.on == string(model.Recovery):
			return fmt.Sprintf("answer again: %s", names)
		case b.on == string(model.Problem) && n == 1:
			return fmt.Sprintf("%s %scan not be reached%s", names, still(e.Again), said)
		case b.on == string(model.Problem):
			return fmt.Sprintf("can not be reached: %s. `checks %s`", names, model.HostAnswers)
		}
	}
	switch b.on {
	case string(model.Recovery):
		return fmt.Sprintf("%s is OK again on %s%s", b.task, names, was)
	case string(model.Flaps):
		return fmt.Sprintf("%s keeps changing (flapping) on %s; I am quiet about it until it settles.%s", b.task, names, more)
	case string(model.Steady):
		return fmt.Sprintf("%s has settled (%s) on %s", b.task, b.status, names)
	case model.OnStays:
		return fmt.Sprintf("%s is still %s on %s%s%s.%s", b.task, b.status, names, was, said, more)
	}
	return fmt.Sprintf("%s is %s%s on %s%s.%s", b.task, still(e.Again), b.status, names, strings.TrimRight(said, "."), more)
}

func still(again bool) string {
	if again {
		return "still "
	}
	return ""
}

// summary is one line for very many.
func summary(list []*bunch) string {
	problems, recoveries, hosts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	bad, well := 0, 0
	for _, b := range list {
		for _, r := range b.rows {
			hosts[r.Host] = true
			if b.on == string(model.Recovery) || b.on == string(model.Steady) {
				recoveries[b.task] = true
				well++
			} else {
				problems[b.task] = true
				bad++
			}
		}
	}
	var parts []string
	if bad > 0 {
		parts = append(parts, fmt.Sprintf("%d problems (%s)", bad, some(problems)))
	}
	if well > 0 {
		parts = append(parts, fmt.Sprintf("%d checks are OK again (%s)", well, some(recoveries)))
	}
	return fmt.Sprintf("on %d hosts: %s. `checks` lists what is wrong now", len(hosts), strings.Join(parts, ", "))
}

func some(set map[string]bool) string {
	var list []string
	for k := range set {
		list = append(list, k)
	}
	slices.Sort(list)
	if len(list) > 5 {
		list = append(list[:5], "…")
	}
	return strings.Join(list, ", ")
}

// short writes a time as people say it: 45s, 12m, 3h20m, 2d4h.
func short(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return d.String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < day:
		return strings.TrimSuffix(fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60), "0m")
	}
	return fmt.Sprintf("%dd%dh", int(d/day), int(d%day/time.Hour))
}
