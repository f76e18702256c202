package monitor

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/plain"
)

type alertmanager struct {
	*client
	host  string // pattern of the name
	label string
}

var _ quieter = alertmanager{}

type matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`
}

type silence struct {
	ID        string    `json:"id,omitempty"`
	Matchers  []matcher `json:"matchers"`
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	CreatedBy string    `json:"createdBy"`
	Comment   string    `json:"comment"`
	Status    struct {
		State string `json:"state"`
	} `json:"status,omitzero"`
}

// ours lists the silences that are in force or will be, by their comments.
func (a alertmanager) ours(ctx context.Context, ours func(comment string) bool) ([]string, error) {
	var all []silence
	if _, err := a.call(ctx, "GET", "/api/v2/silences", nil, &all); err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range all {
		if ours(s.Comment) && s.Status.State != "expired" {
			ids = append(ids, s.ID)
		}
	}
	return ids, nil
}

func (a alertmanager) Suppress(ctx context.Context, in clipboard.Instance, m mark, end time.Time) (string, bool, error) {
	ids, err := a.ours(ctx, func(comment string) bool { return comment == m.comment(in) })
	if err != nil {
		return "", false, err
	}
	if len(ids) > 0 {
		return "Alertmanager keeps it quiet already", false, nil
	}
	// Matchers are anchored (https://prometheus.io/docs/alerting/latest/configuration/#matcher).
	value := regexp.QuoteMeta(named(a.host, in)) + "(:[0-9]+)?"
	s := silence{Matchers: []matcher{{Name: a.label, Value: value, IsRegex: true, IsEqual: true}}, StartsAt: time.Now().UTC(), EndsAt: end.UTC(), CreatedBy: "jarvis", Comment: m.comment(in)}
	if _, err := a.call(ctx, "POST", "/api/v2/silences", s, nil); err != nil {
		return "", false, err
	}
	return "Alertmanager is quiet until " + plain.Time(end), true, nil
}

func (a alertmanager) Resume(ctx context.Context, in clipboard.Instance, m mark) (string, bool, error) {
	ids, err := a.ours(ctx, func(comment string) bool { return m.ours(comment, in) })
	if err != nil || len(ids) == 0 {
		return "Alertmanager is not kept quiet", false, err
	}
	for _, id := range ids {
		// One that is gone by now has a 404 of its own; that the URL is right, the list has shown.
		if status, err := a.call(ctx, "DELETE", "/api/v2/silence/"+id, nil, nil); err != nil && status != http.StatusNotFound {
			return "", false, err
		}
	}
	return "Alertmanager watches again", true, nil
}

func (a alertmanager) Left(ctx context.Context, in clipboard.Instance, m mark) (string, error) {
	ids, err := a.ours(ctx, func(comment string) bool { return m.ours(comment, in) })
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return "a silence of ours in Alertmanager", nil
}
