package monitor

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

type icinga struct {
	*client
	host string // pattern of the name
}

var _ quieter = icinga{}

// quote writes a string of Icinga's filter language: as JSON does.
func quote(s string) string { return strconv.Quote(s) }

// hostFilter finds hosts by their name.
func hostFilter(name string) string { return "host.name==" + quote(name) }

type results struct {
	Results []struct {
		Name   string
		Code   float64
		Status string
	}
}

// none reports whether an action found nothing that this user may do it to: Icinga 2.13 answers 500 with an empty list
// then, and 404 to who may do it to nothing at all; later ones answer 404 (lib/remote/actionshandler.cpp).
func (r results) none(status int) bool {
	return status == http.StatusNotFound || status == http.StatusInternalServerError && r.Results != nil && len(r.Results) == 0
}

// of chooses the downtimes of one run for one host.
func (m mark) of(in clipboard.Instance) string {
	return "downtime.comment==" + quote(m.comment(in))
}

// all chooses those that mark.ours knows.
func (m mark) all(in clipboard.Instance) string {
	if m.install == "" {
		return m.of(in)
	}
	return fmt.Sprintf("%s || match(%s, downtime.comment)", m.of(in), quote(m.install+"-*"+end(in)))
}

func (i icinga) downtimes(ctx context.Context, filter string) (int, error) {
	var r results
	q := map[string]any{"filter": filter, "attrs": []string{"comment"}}
	err := i.query(ctx, "/v1/objects/downtimes", "objects/query/Downtime", q, &r)
	return len(r.Results), err
}

// query is a GET whose filter does not fit into a URL: a POST with a header (section "Request Method" of Icinga's API).
// Where nothing matches, the answer is an empty list; a 404 is of a wrong URL, or, up to Icinga 2.14, of a user who has
// not that right.
func (i icinga) query(ctx context.Context, path, right string, q, out any) error {
	status, err := i.call(ctx, asGET, path, q, out)
	if status == http.StatusNotFound {
		return pipeline.Permanentf("%s finds nothing at %s for the user %q (404): set workers.monitor.icinga.url right, or give that user the permission %s", i.name, path, i.user, right)
	}
	return err
}

func (i icinga) knows(ctx context.Context, name string) (bool, error) {
	var hosts results
	err := i.query(ctx, "/v1/objects/hosts", "objects/query/Host", map[string]any{"filter": hostFilter(name), "attrs": []string{"name"}}, &hosts)
	return len(hosts.Results) > 0, err
}

func (i icinga) Suppress(ctx context.Context, in clipboard.Instance, m mark, end time.Time) (string, bool, error) {
	name := named(i.host, in)
	known, err := i.knows(ctx, name)
	if err != nil {
		return "", false, err
	}
	if !known {
		said := "Icinga does not know " + name
		// Whoever names hosts short learns it here. The short one may be another domain's, so it is not just taken.
		if short, err := i.knows(ctx, in.Hostname); err == nil && short && name != in.Hostname {
			said += ", and has a host " + in.Hostname + ": if that is this one, set workers.monitor.host: HOSTNAME"
		}
		return said, false, nil
	}
	n, err := i.downtimes(ctx, m.of(in))
	if err != nil {
		return "", false, err
	}
	if n > 0 {
		return "Icinga keeps it quiet already", false, nil
	}
	var r results
	status, err := i.call(ctx, "POST", "/v1/actions/schedule-downtime", map[string]any{
		"type": "Host", "filter": hostFilter(name), "all_services": true, "author": "jarvis", "comment": m.comment(in),
		"start_time": time.Now().Unix(), "end_time": end.Unix(), "fixed": true,
	}, &r)
	if r.none(status) { // it shows the host to this user, and finds none of whom they may keep quiet
		return "", false, pipeline.Permanentf("%s does not let the user %q schedule a downtime for %s: their permission actions/schedule-downtime is missing, or its filter leaves the host out", i.name, i.user, name)
	}
	if err != nil {
		return "", false, err
	}
	for _, x := range r.Results {
		if x.Code != http.StatusOK {
			return "", false, fmt.Errorf("%s: %s", i.name, x.Status)
		}
	}
	return "Icinga is quiet until " + plain.Time(end), true, nil
}

func (i icinga) Resume(ctx context.Context, in clipboard.Instance, m mark) (string, bool, error) {
	n, err := i.downtimes(ctx, m.all(in))
	if err != nil || n == 0 {
		return "Icinga is not kept quiet", false, err
	}
	var r results
	status, err := i.call(ctx, "POST", "/v1/actions/remove-downtime", map[string]any{"type": "Downtime", "filter": m.all(in)}, &r)
	if r.none(status) { // gone since, or not theirs to remove
		if n, err = i.downtimes(ctx, m.all(in)); err == nil && n > 0 {
			err = pipeline.Permanentf("%s does not let the user %q remove a downtime of %s: their permission actions/remove-downtime is missing, or its filter leaves it out", i.name, i.user, in.FQDN)
		}
		return "Icinga is not kept quiet", false, err
	}
	if err != nil {
		return "", false, err
	}
	for _, x := range r.Results {
		if x.Code != http.StatusOK && !strings.Contains(x.Status, "not exist") {
			return "", false, fmt.Errorf("%s: %s", i.name, x.Status)
		}
	}
	return "Icinga watches again", true, nil
}

func (i icinga) Left(ctx context.Context, in clipboard.Instance, m mark) (string, error) {
	n, err := i.downtimes(ctx, m.all(in))
	if err != nil || n == 0 {
		return "", err
	}
	return "a downtime of ours in Icinga", nil
}
