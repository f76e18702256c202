package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/model"
)

// Listing is how some checks stand: how many there are of each status, and those that were asked for, a page at a time.
type Listing struct {
	OK       int    `json:"ok"`
	Warning  int    `json:"warning"`
	Critical int    `json:"critical"`
	Unknown  int    `json:"unknown"`
	Pending  int    `json:"pending" doc:"they have not run yet"`
	Checks   []View `json:"checks" doc:"the worst first, then by host and task; where neither a check nor a status was named those that are not OK"`
	Left     int    `json:"left,omitempty" doc:"how many more there are after these"`
	Next     string `json:"next,omitempty" doc:"give it as after to read on; without it, this was the last page"`
}

// Pages of a Listing.
const (
	ListLimit    = 1000 // of one page, when nothing else is said
	MaxListLimit = 10_000
)

// ListingOf counts views, which are in the order of List, and takes those that are wanted from a place on. after is
// Next of the page before, or "": what became better or worse meanwhile may come twice, or not at all.
func ListingOf(all []View, wanted func(View) bool, limit int, after string) (Listing, error) {
	l := Listing{Checks: []View{}}
	from, err := placeOf(after)
	if err != nil {
		return l, err
	}
	for _, v := range all {
		*l.counts(v)++
		switch {
		case !wanted(v), after != "" && compareViews(v, from) <= 0:
		case len(l.Checks) == limit:
			l.Left++
		default:
			l.Checks = append(l.Checks, v.Spelled())
		}
	}
	if l.Left > 0 {
		last := l.Checks[len(l.Checks)-1]
		l.Next = strings.ToLower(last.Status.String()) + "/" + last.Host + "/" + last.Task
	}
	return l, nil
}

// counts gives the counter for a check; one that never ran is pending, whatever status it begins with.
func (l *Listing) counts(v View) *int {
	switch {
	case v.At.IsZero():
		return &l.Pending
	case v.Status == model.OK:
		return &l.OK
	case v.Status == model.Warning:
		return &l.Warning
	case v.Status == model.Critical:
		return &l.Critical
	}
	return &l.Unknown
}

// compareViews puts checks in trouble first, then goes by host and task.
func compareViews(a, b View) int {
	return cmp.Or(cmp.Compare(model.Rank(a.Status), model.Rank(b.Status)), strings.Compare(a.Host, b.Host), strings.Compare(a.Task, b.Task))
}

// placeOf reads a place in the list: critical/loki/disk.
func placeOf(text string) (v View, err error) {
	if text == "" {
		return v, nil
	}
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		v.Status, err = model.ParseStatus(parts[0])
		v.Host, v.Task = parts[1], parts[2]
	}
	if err != nil || len(parts) != 3 || slices.Contains(parts, "") {
		return v, fmt.Errorf("%w: %q is no place in the list; it is the next of the page before, as in critical/loki/disk", model.ErrInvalid, text)
	}
	return v, nil
}
