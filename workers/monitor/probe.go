package monitor

import (
	"context"
	"net/http"
	"strings"

	"github.com/jarvisops/jarvis/pipeline"
)

// Probe reads of each server what the steps will read, and changes nothing.
func (w *Worker) Probe(ctx context.Context) (string, error) {
	var said []string
	for _, q := range w.quiet {
		name, err := q.probe(ctx)
		if err != nil {
			return "", err
		}
		said = append(said, name+" answers")
	}
	return strings.Join(said, ", "), nil
}

// probe does not ask for /v1/status: that takes a right which the steps do not need, and a user who lacks it gets the
// same 404 as for a wrong URL.
func (i icinga) probe(ctx context.Context) (string, error) {
	if _, err := i.knows(ctx, ""); err != nil {
		return i.name, err
	}
	_, err := i.downtimes(ctx, "downtime.comment=="+quote(""))
	return i.name, err
}

func (a alertmanager) probe(ctx context.Context) (string, error) {
	var status struct {
		Version *struct{} `json:"versionInfo"`
	}
	_, err := a.call(ctx, http.MethodGet, "/api/v2/status", nil, &status)
	if err == nil && status.Version == nil {
		err = pipeline.Permanentf("what answers at %s is no Alertmanager: is its url in workers.monitor right?", a.name)
	}
	return a.name, err
}
