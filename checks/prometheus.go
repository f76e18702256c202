package checks

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
)

// Collector gives the states and the last performance data to Prometheus.
func (m *Monitor) Collector() prometheus.Collector { return collector{m} }

type collector struct{ m *Monitor }

var (
	promStatus = prometheus.NewDesc("jarvis_check_status", "Last status of a check: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.", []string{"host", "task"}, nil)
	promHard   = prometheus.NewDesc("jarvis_check_hard_status", "The same, when so many results in a row said so that it is believed.", []string{"host", "task"}, nil)
	promQuiet  = prometheus.NewDesc("jarvis_check_quiet", "1 while nothing is told of a check: acknowledged, silenced, deployed, or its host is down.", []string{"host", "task"}, nil)
	promAt     = prometheus.NewDesc("jarvis_check_timestamp_seconds", "When a check ran last.", []string{"host", "task"}, nil)
	promTook   = prometheus.NewDesc("jarvis_check_seconds", "How long it took.", []string{"host", "task"}, nil)
	promPerf   = prometheus.NewDesc("jarvis_check_value", "Performance data of a check, in the plugin's own unit.", []string{"host", "task", "label", "unit"}, nil)
	promLag    = prometheus.NewDesc("jarvis_checks_lag_seconds", "From when checks were due to when they began, the most in the last minute.", nil, nil)
	promRate   = prometheus.NewDesc("jarvis_checks_started", "Checks that began in the last minute.", nil, nil)
	promWait   = prometheus.NewDesc("jarvis_checks_unwritten", "Results that wait for the database.", nil, nil)
)

// Describe is prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{promStatus, promHard, promQuiet, promAt, promTook, promPerf, promLag, promRate, promWait} {
		ch <- d
	}
}

// Collect is prometheus.Collector, called in a goroutine of Prometheus's.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	if p := guard.Do(func() { c.collect(ch) }); p != nil {
		guard.Log(c.m.Log, "measure checks")(p)
		ch <- prometheus.NewInvalidMetric(promStatus, p)
	}
}

// collect leaves out performance data of a day ago, and of a host that is down: Prometheus would take it for new.
func (c collector) collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s := c.m.Stats(ctx)
	gauge(promLag, s.MaxLag.Seconds())
	gauge(promRate, float64(s.Started))
	gauge(promWait, float64(s.Unwritten))
	list, now := c.m.ran()
	for _, v := range list {
		gauge(promStatus, float64(v.Status), v.Host, v.Task)
		gauge(promHard, float64(v.Hard), v.Host, v.Task)
		quiet := 0.0
		if v.Hidden != "" || v.Ack != nil {
			quiet = 1
		}
		gauge(promQuiet, quiet, v.Host, v.Task)
		gauge(promAt, float64(v.At.UnixMilli())/1000, v.Host, v.Task)
		gauge(promTook, v.Took.Seconds(), v.Host, v.Task)
		if v.Down || now.Sub(v.At) > day {
			continue // an old value would pass for a new one
		}
		perf, _ := model.ParsePerf(v.Perfdata)
		seen := map[string]bool{} // a plugin may give a label twice, and Prometheus takes none twice
		for _, x := range perf {
			label := clip(x.Label, 200)
			if !seen[label] && !math.IsNaN(x.Value) {
				seen[label] = true
				gauge(promPerf, x.Value, v.Host, v.Task, label, clip(x.Unit, 16))
			}
		}
	}
}

// ran lists the checks that have run, as they are now.
func (m *Monitor) ran() (list []View, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now = m.now()
	list = make([]View, 0, m.roster.size())
	for p := range m.roster.each() {
		if p.live && !p.stand.At.IsZero() {
			list = append(list, m.view(p, now))
		}
	}
	return list, now
}
