package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/fleet"
)

// Every route that is served is described, and the other way round.
func TestEveryRouteIsDescribed(t *testing.T) {
	s := &Server{Config: Config{
		Hosts:   func(context.Context, []ExecHost) ([]fleet.Host, error) { return nil, nil },
		Reload:  func(context.Context) (Reloaded, error) { return Reloaded{}, nil },
		Pages:   &Pages{},
		Metrics: NewMetrics(nil, "x", slog.New(slog.DiscardHandler)),
		Hook:    http.NotFoundHandler(),
		Agents:  agent.NewHub(agent.HubConfig{}),
	}}
	s.routes()
	served := map[string]bool{"GET /v1/checks-metrics": true} // needs checks
	for _, p := range s.Patterns() {
		served[p] = true
	}
	described := map[string]bool{}
	for path, item := range description().Paths {
		for method, op := range map[string]bool{"GET": item.Get != nil, "POST": item.Post != nil, "DELETE": item.Delete != nil, "PUT": item.Put != nil, "PATCH": item.Patch != nil} {
			if op {
				described[method+" "+path] = true
			}
		}
	}
	for p := range served {
		if !described[p] {
			t.Errorf("%s is served and not described", p)
		}
	}
	for p := range described {
		if !served[p] {
			t.Errorf("%s is described and not served", p)
		}
		if strings.ContainsAny(p, "[]") {
			t.Errorf("%s is no pattern", p)
		}
	}
}
