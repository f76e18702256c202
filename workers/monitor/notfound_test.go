package monitor_test

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/monitor"
)

// The story: the url had a prefix that nothing is at, or the user might not touch the host; every 404 was taken for "it
// is gone", the run said that monitoring was quiet, and people were paged for hours.
func TestNothingIsQuietWhereNothingWasFound(t *testing.T) {
	ctx := t.Context()
	users := func(string) (string, error) {
		query := `"objects/query/Host", "objects/query/Downtime"`
		some := `{ permission = "%s"; filter = {{ match("other*", %s.name) }} }`
		return fmt.Sprintf("object ApiUser \"narrow\" { password = \"p\"; permissions = [ %s, %s, %s ] }\n", query, fmt.Sprintf(some, "actions/schedule-downtime", "host"), fmt.Sprintf(some, "actions/remove-downtime", "host")) +
			fmt.Sprintf("object ApiUser \"reader\" { password = \"p\"; permissions = [ %s ] }\n", query) +
			"object ApiUser \"blind\" { password = \"p\"; permissions = [ \"actions/*\" ] }\n", nil
	}
	i, err := real.StartIcingaWith(ctx, users, "loki.example.org", "other.example.org")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	alerts, err := real.StartAlertmanager(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alerts.Stop)
	worker := func(text string) *monitor.Worker {
		t.Helper()
		var cfg monitor.Config
		if err := yaml.Unmarshal([]byte("{"+text+"}"), &cfg); err != nil {
			t.Fatal(err)
		}
		w, err := monitor.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	c, err := clipboard.Parse([]byte("instance: {hostname: loki, fqdn: loki.example.org}"))
	if err != nil {
		t.Fatal(err)
	}
	do := func(w *monitor.Worker, step int) (string, error) {
		h := &heard{}
		err := w.Steps()[step].Do(pipeline.WithHost(ctx, h), c)
		return strings.Join(h.lines, "; "), err
	}
	const suppress, resume = 0, 1
	user := func(name string) string {
		return fmt.Sprintf("icinga: {url: %q, user: %s, password: p, ca: %q}", i.URL, name, i.CA)
	}
	wrongAlerts := fmt.Sprintf("alertmanager: {url: %q}", alerts.URL+"/wrong")
	wrongIcinga := strings.Replace(i.Config(), i.URL, i.URL+"/wrong", 1)
	for _, tt := range []struct{ name, cfg, suppress, probe string }{
		{"Alertmanager with a wrong prefix", wrongAlerts, "is its url in workers.monitor right?", "is its url in workers.monitor right?"},
		{"Icinga with a wrong prefix", wrongIcinga, "set workers.monitor.icinga.url right", "set workers.monitor.icinga.url right"},
		{"a user whose filter leaves the host out", user("narrow"), `does not let the user "narrow" schedule a downtime for loki.example.org`, ""},
		{"a user who may only read", user("reader"), `does not let the user "reader" schedule a downtime for loki.example.org`, ""},
		{"a user who may not read", user("blind"), "the permission objects/query/Host", "the permission objects/query/Host"},
	} {
		w := worker(tt.cfg)
		said, err := do(w, suppress)
		if err == nil || !strings.Contains(err.Error(), tt.suppress) || !pipeline.IsPermanent(err) {
			t.Errorf("%s: suppress says %q, %v", tt.name, said, err)
		}
		said, err = w.Probe(ctx)
		if got := fmt.Sprint(err); tt.probe == "" && err != nil || !strings.Contains(got, tt.probe) && tt.probe != "" {
			t.Errorf("%s: the probe says %q, %v", tt.name, said, err)
		}
	}
	if n, err := i.Depth(ctx, "loki.example.org"); n != 0 || err != nil {
		t.Errorf("%d downtimes, %v", n, err)
	}

	right := worker(i.Config() + ", alertmanager: {url: \"" + alerts.URL + "\"}")
	if said, err := right.Probe(ctx); err != nil || strings.Count(said, "answers") != 2 {
		t.Errorf("the right one: %q, %v", said, err)
	}
	if said, err := do(right, suppress); err != nil || !strings.Contains(said, "Icinga is quiet until") || !strings.Contains(said, "Alertmanager is quiet until") {
		t.Errorf("%q, %v", said, err)
	}
	// Who may not remove the downtime does not say that there is none.
	if said, err := do(worker(user("reader")), resume); err == nil || !strings.Contains(err.Error(), `does not let the user "reader" remove a downtime of loki.example.org`) {
		t.Errorf("resume of a reader says %q, %v", said, err)
	}
	if said, err := do(right, resume); err != nil || !strings.Contains(said, "Icinga watches again") {
		t.Errorf("%q, %v", said, err)
	}
	if said, err := do(right, resume); err != nil || !strings.Contains(said, "Icinga is not kept quiet") {
		t.Errorf("%q, %v", said, err)
	}
}
