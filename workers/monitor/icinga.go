package monitor

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
)

type icinga struct{ *client }

var _ quieter = icinga{}

// quote writes a string of Icinga's filter language: as JSON does.
func quote(s string) string { return strconv.Quote(s) }

// hostFilter finds the host under its short or its full name.
func hostFilter(in clipboard.Instance) string {
	return fmt.Sprintf("host.name==%s || host.name==%s", quote(in.FQDN), quote(in.Hostname))
}

type results struct {
	Results []struct {
		Name   string
		Code   float64
		Status string
	}
}

func (i icinga) downtimes(ctx context.Context, token string) (int, error) {
	var r results
	q := map[string]any{"filter": fmt.Sprintf("match(%s, downtime.comment)", quote(token+": *")), "attrs": []string{"comment"}}
	_, err := i.query(ctx, "/v1/objects/downtimes", q, &r)
	return len(r.Results), err
}

// query is a GET whose filter does not fit into a URL: a POST with a header (section "Request Method" of Icinga's API).
func (i icinga) query(ctx context.Context, path string, q, out any) (int, error) {
	return i.call(ctx, asGET, path, q, out)
}

func (i icinga) Suppress(ctx context.Context, in clipboard.Instance, token string, end time.Time) (string, bool, error) {
	var hosts results
	if _, err := i.query(ctx, "/v1/objects/hosts", map[string]any{"filter": hostFilter(in), "attrs": []string{"name"}}, &hosts); err != nil {
		return "", false, err
	}
	if len(hosts.Results) == 0 {
		return "Icinga does not know " + in.Hostname, false, nil
	}
	n, err := i.downtimes(ctx, token)
	if err != nil {
		return "", false, err
	}
	if n > 0 {
		return "Icinga keeps it quiet already", false, nil
	}
	var r results
	_, err = i.call(ctx, "POST", "/v1/actions/schedule-downtime", map[string]any{
		"type": "Host", "filter": hostFilter(in), "all_services": true, "author": "jarvis", "comment": token + ": " + in.FQDN + " is being redeployed",
		"start_time": time.Now().Unix(), "end_time": end.Unix(), "fixed": true,
	}, &r)
	if err != nil {
		return "", false, err
	}
	for _, x := range r.Results {
		if x.Code != http.StatusOK {
			return "", false, fmt.Errorf("%s: %s", i.name, x.Status)
		}
	}
	return "Icinga is quiet until " + end.Format("15:04"), true, nil
}

func (i icinga) Resume(ctx context.Context, _ clipboard.Instance, token string) (string, bool, error) {
	n, err := i.downtimes(ctx, token)
	if err != nil || n == 0 {
		return "Icinga is not kept quiet", false, err
	}
	var r results
	status, err := i.call(ctx, "POST", "/v1/actions/remove-downtime", map[string]any{"type": "Downtime", "filter": fmt.Sprintf("match(%s, downtime.comment)", quote(token+": *"))}, &r)
	if err != nil || status == http.StatusNotFound {
		return "Icinga is not kept quiet", false, err
	}
	for _, x := range r.Results {
		if x.Code != http.StatusOK && !strings.Contains(x.Status, "not exist") {
			return "", false, fmt.Errorf("%s: %s", i.name, x.Status)
		}
	}
	return "Icinga watches again", true, nil
}
