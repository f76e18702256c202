package monitor_test

import (
	"context"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/monitor"
)

// The story: Icinga had a host `ghost`, and the redeploy of ghost.other.example silenced it. A short name may be that
// of another domain's host, so it counts only where the configuration says so.
func TestAShortNameSilencesNobody(t *testing.T) {
	ctx := t.Context()
	i, err := real.StartIcinga(ctx, "ghost", "loki.websages.com")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	alerts, err := real.StartAlertmanager(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alerts.Stop)
	suppress := func(host, fqdn string) string {
		t.Helper()
		var cfg monitor.Config
		if err := yaml.Unmarshal([]byte("{"+i.Config()+", alertmanager: {url: \""+alerts.URL+"\"}, host: \""+host+"\"}"), &cfg); err != nil {
			t.Fatal(err)
		}
		w, err := monitor.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c, err := clipboard.Parse([]byte("instance: {hostname: " + strings.SplitN(fqdn, ".", 2)[0] + ", fqdn: " + fqdn + "}"))
		if err != nil {
			t.Fatal(err)
		}
		h := &heard{}
		if err := w.Steps()[0].Do(pipeline.WithHost(ctx, h), c); err != nil {
			t.Fatal(err)
		}
		return strings.Join(h.lines, "; ")
	}
	depth := func(host string) int {
		t.Helper()
		n, err := i.Depth(ctx, host)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if said := suppress("", "ghost.other.example"); depth("ghost") != 0 || !strings.Contains(said, "Icinga does not know ghost.other.example, and has a host ghost: if that is this one, set workers.monitor.host: HOSTNAME") {
		t.Errorf("%d: %q", depth("ghost"), said)
	}
	if said := suppress("FQDN", "loki.websages.com"); depth("loki.websages.com") != 1 {
		t.Errorf("%q", said)
	}
	if said := suppress("HOSTNAME", "ghost.websages.com"); depth("ghost") != 1 {
		t.Errorf("%q", said)
	}
	if _, err := monitor.New(monitor.Config{Host: "all", Alertmanager: monitor.Alertmanager{URL: alerts.URL}}); err == nil || !strings.Contains(err.Error(), "one name for all hosts") {
		t.Errorf("%v", err)
	}
}

// heard is the host of a step that runs by itself.
type heard struct{ lines []string }

func (h *heard) Progress(l string)                                { h.lines = append(h.lines, l) }
func (h *heard) Log(l string)                                     { h.lines = append(h.lines, l) }
func (h *heard) Keep(context.Context, *clipboard.Clipboard) error { return nil }
func (h *heard) Facts() pipeline.Facts                            { return pipeline.Facts{Token: "jarvis-0badc0de-1"} }
