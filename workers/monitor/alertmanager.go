package monitor

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
)

type alertmanager struct {
	*client
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

// ours lists the silences of a run that are in force or will be.
func (a alertmanager) ours(ctx context.Context, token string) ([]string, error) {
	var all []silence
	if _, err := a.call(ctx, "GET", "/api/v2/silences", nil, &all); err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range all {
		if strings.HasPrefix(s.Comment, token+": ") && s.Status.State != "expired" {
			ids = append(ids, s.ID)
		}
	}
	return ids, nil
}

func (a alertmanager) Suppress(ctx context.Context, in clipboard.Instance, token string, end time.Time) (string, bool, error) {
	ids, err := a.ours(ctx, token)
	if err != nil {
		return "", false, err
	}
	if len(ids) > 0 {
		return "Alertmanager keeps it quiet already", false, nil
	}
	// Matchers are anchored (https://prometheus.io/docs/alerting/latest/configuration/#matcher).
	value := fmt.Sprintf("(%s|%s)(:[0-9]+)?", regexp.QuoteMeta(in.FQDN), regexp.QuoteMeta(in.Hostname))
	s := silence{Matchers: []matcher{{Name: a.label, Value: value, IsRegex: true, IsEqual: true}}, StartsAt: time.Now().UTC(), EndsAt: end.UTC(), CreatedBy: "jarvis", Comment: token + ": " + in.FQDN + " is being redeployed"}
	if _, err := a.call(ctx, "POST", "/api/v2/silences", s, nil); err != nil {
		return "", false, err
	}
	return "Alertmanager is quiet until " + end.Format("15:04"), true, nil
}

func (a alertmanager) Resume(ctx context.Context, _ clipboard.Instance, token string) (string, bool, error) {
	ids, err := a.ours(ctx, token)
	if err != nil || len(ids) == 0 {
		return "Alertmanager is not kept quiet", false, err
	}
	for _, id := range ids {
		if _, err := a.call(ctx, "DELETE", "/api/v2/silence/"+id, nil, nil); err != nil {
			return "", false, err
		}
	}
	return "Alertmanager watches again", true, nil
}
