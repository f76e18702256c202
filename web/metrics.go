package web

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// Metrics are served to Prometheus. They count and name steps and verbs; no host, person or text is in them.
type Metrics struct {
	engine   *pipeline.Engine
	log      *slog.Logger
	reg      *prometheus.Registry
	commands *prometheus.CounterVec
	answers  prometheus.Histogram
	steps    *prometheus.CounterVec
	took     *prometheus.HistogramVec
	runs     *prometheus.CounterVec
	removed  *prometheus.CounterVec
}

// NewMetrics makes them; Run follows the engine.
func NewMetrics(e *pipeline.Engine, version string, log *slog.Logger) *Metrics {
	m := &Metrics{engine: e, log: log, reg: prometheus.NewRegistry(),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jarvis_commands_total", Help: "Commands by verb, way in and outcome."}, []string{"verb", "via", "outcome"}),
		answers:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "jarvis_command_seconds", Help: "Time from a command to its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 11)}),
		steps:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jarvis_steps_total", Help: "Steps by name and what became of them, since the start of this process."}, []string{"step", "outcome"}),
		took:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "jarvis_step_seconds", Help: "Time that a finished step took, its waiting included.", Buckets: prometheus.ExponentialBuckets(0.05, 3, 10)}, []string{"step"}),
		runs:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jarvis_runs_ended_total", Help: "Runs by pipeline and how they ended, since the start of this process."}, []string{"pipeline", "outcome"}),
		removed:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jarvis_removed_total", Help: "Rows removed because they are older than keep says, since the start of this process."}, []string{"of"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "jarvis_build_info", Help: "1; the version is a label.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	panics := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "jarvis_panics_total", Help: "Panics that were caught, since the start of this process: each is a bug, and its stack is in the log."}, func() float64 { return float64(guard.Panics()) })
	m.reg.MustRegister(panics, m.commands, m.answers, m.steps, m.took, m.runs, m.removed, build, &states{e},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gauge adds a number that is asked for at each scrape: links that are up, notices that wait.
func (m *Metrics) Gauge(name, help string, labels map[string]string, value func() float64) {
	m.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() (v float64) {
		// Prometheus asks in goroutines of its own.
		if p := guard.Do(func() { v = value() }); p != nil {
			guard.Log(m.log, "measure", "metric", name)(p)
			return math.NaN()
		}
		return v
	}))
}

// Handler serves them.
func (m *Metrics) Handler() http.Handler {
	// Not compressed: that takes most of a megabyte for each who asks, to save a few kilobytes.
	return promhttp.HandlerFor(gatherOnce(m.reg), promhttp.HandlerOpts{Registry: m.reg, DisableCompression: true})
}

// Command counts one; it is command.Env.Observe.
func (m *Metrics) Command(verb string, c command.Call, took time.Duration, err error) {
	if verb == "" {
		verb = "none" // not what somebody typed: that would be a label without end
	}
	outcome := "ok"
	switch {
	case err == nil:
	case errors.Is(err, command.ErrDenied):
		outcome = "denied"
	case errors.Is(err, command.ErrLimited):
		outcome = "limited"
	case errors.Is(err, command.ErrUsage), errors.Is(err, command.ErrNotFound):
		outcome = "refused"
	default:
		outcome = "failed"
	}
	via, _, _ := strings.Cut(c.Via, "/")
	m.commands.WithLabelValues(verb, via, outcome).Inc()
	m.answers.Observe(took.Seconds())
}

// Removed counts rows that are older than what is kept.
func (m *Metrics) Removed(of string, rows int64) { m.removed.WithLabelValues(of).Add(float64(rows)) }

// Run follows the engine's events from now on until ctx ends.
func (m *Metrics) Run(ctx context.Context) error {
	return guard.Loop(ctx, guard.Log(m.log, "count for metrics"), m.follow)
}

// follow counts from now on: a server that starts again does not count what it counted before.
func (m *Metrics) follow(ctx context.Context) error {
	after, err := m.engine.LastEvent(ctx)
	if err != nil {
		return err
	}
	f := pipeline.Follower{
		After:  after,
		Kinds:  func() []pipeline.EventKind { return counted },
		Failed: func(err error) { m.log.Error("follow events for metrics", "err", err) },
		Take:   m.count,
	}
	return f.Follow(ctx, m.engine)
}

// counted are the kinds of events of which count makes figures.
var counted = []pipeline.EventKind{pipeline.EvDone, pipeline.EvRetrying, pipeline.EvFailed, pipeline.EvAsking, pipeline.EvReady, pipeline.EvCancelled, pipeline.EvUndone, pipeline.EvUndoFailed}

// count looks up the run for its pipeline; one that is gone by now is left out.
func (m *Metrics) count(ctx context.Context, ev pipeline.Event) {
	switch ev.Kind {
	case pipeline.EvDone:
		m.steps.WithLabelValues(ev.Step, "done").Inc()
		m.took.WithLabelValues(ev.Step).Observe(ev.Took.Seconds())
		return
	case pipeline.EvRetrying:
		m.steps.WithLabelValues(ev.Step, "tried again").Inc()
		return
	case pipeline.EvFailed, pipeline.EvAsking:
		m.steps.WithLabelValues(ev.Step, string(ev.Kind)).Inc()
	}
	if r, err := m.engine.Get(ctx, ev.Run); err == nil {
		m.runs.WithLabelValues(r.Pipeline, string(ev.Kind)).Inc()
	}
}

// states counts live runs when it is asked.
type states struct{ engine *pipeline.Engine }

// All servers on one record say the same of these.
var (
	liveRuns    = prometheus.NewDesc("jarvis_runs", "Runs that hold their hosts, by state, of all servers together.", []string{"state"}, nil)
	liveNodes   = prometheus.NewDesc("jarvis_nodes", "Servers on this record that live and do not drain.", nil, nil)
	siloServed  = prometheus.NewDesc("jarvis_silo_served", "1 when a server or an agent serves the silo, else 0.", []string{"silo"}, nil)
	siloAgents  = prometheus.NewDesc("jarvis_silo_agents", "Agents of the silo that are connected to any server.", []string{"silo"}, nil)
	siloWaiting = prometheus.NewDesc("jarvis_silo_waiting_runs", "Runs that wait for somebody who serves the silo.", []string{"silo"}, nil)
)

// Describe and Collect are prometheus.Collector.
func (s *states) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{liveRuns, liveNodes, siloServed, siloAgents, siloWaiting} {
		ch <- d
	}
}

// silos counts what all nodes have on record, so each node gives the same.
func (s *states) silos(ctx context.Context, ch chan<- prometheus.Metric) error {
	return guard.Call(func() error {
		nodes, err := s.engine.Nodes(ctx)
		if err != nil {
			return err
		}
		silos, err := s.engine.Silos(ctx, nodes)
		if err != nil {
			return err
		}
		lives := 0
		for _, n := range nodes {
			if n.State == store.Lives && n.Drains.IsZero() {
				lives++
			}
		}
		gauge := func(d *prometheus.Desc, v int, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
		}
		gauge(liveNodes, lives)
		for _, silo := range silos {
			served := 0
			if silo.Served {
				served = 1
			}
			gauge(siloServed, served, silo.Name)
			gauge(siloAgents, len(silo.Agents), silo.Name)
			gauge(siloWaiting, silo.Waiting, silo.Name)
		}
		return nil
	})
}

// Collect asks the record.
func (s *states) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var n map[pipeline.State]int
	err := guard.Call(func() (err error) { // Prometheus asks in a goroutine of its own
		n, err = s.engine.States(ctx)
		return err
	})
	if err != nil {
		ch <- prometheus.NewInvalidMetric(liveRuns, err)
		return
	}
	if err := s.silos(ctx, ch); err != nil {
		ch <- prometheus.NewInvalidMetric(liveNodes, err)
	}
	for _, st := range []pipeline.State{pipeline.Proposed, pipeline.Planned, pipeline.Running, pipeline.Waiting, pipeline.Failed, pipeline.Asking, pipeline.Undoing} {
		ch <- prometheus.MustNewConstMetric(liveRuns, prometheus.GaugeValue, float64(n[st]), string(st))
	}
}
