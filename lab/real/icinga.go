package real

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Icinga is Icinga 2's core with its API, watching the hosts that it is given.
type Icinga struct {
	URL, CA        string
	User, Password string

	dir  string
	proc *proc
	http *http.Client
}

// StartIcinga starts it.
func StartIcinga(ctx context.Context, hosts ...string) (*Icinga, error) {
	return StartIcingaWith(ctx, nil, hosts...)
}

// StartIcingaWith starts it with more objects: more is given its folder, in which it may put files, and returns what
// its configuration is to have. The files are Icinga's then.
func StartIcingaWith(ctx context.Context, more func(dir string) (string, error), hosts ...string) (*Icinga, error) {
	bin, err := need("icinga2", "icinga2-bin icinga2-common")
	if err != nil {
		return nil, err
	}
	dir, err := folder("icinga")
	if err != nil {
		return nil, err
	}
	i := &Icinga{dir: dir, CA: filepath.Join(dir, "ca.pem"), User: "jarvis", Password: "icingapw"}
	if err := ca(dir); err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	i.URL = fmt.Sprintf("https://localhost:%d", port)
	conf := fmt.Sprintf(`const NodeName = "localhost"
const PluginDir = "/usr/lib/nagios/plugins"
const ManubulonPluginDir = PluginDir
const PluginContribDir = PluginDir
include <itl>
include <plugins>
object Endpoint "localhost" {}
object Zone "master" { endpoints = [ "localhost" ] }
object ApiListener "api" { bind_host = "127.0.0.1"; bind_port = %d; ticket_salt = "x" }
object ApiUser %q { password = %q; permissions = [ "actions/schedule-downtime", "actions/remove-downtime", "objects/query/Host", "objects/query/Service", "objects/query/Downtime" ] }
object CheckerComponent "checker" { }
`, port, i.User, i.Password)
	for _, h := range hosts {
		conf += fmt.Sprintf("object Host %[1]q { check_command = \"passive\"; enable_active_checks = false; max_check_attempts = 1 }\nobject Service \"ssh\" { host_name = %[1]q; check_command = \"passive\"; enable_active_checks = false; max_check_attempts = 1 }\n", h)
	}
	if more != nil {
		text, err := more(dir)
		if err != nil {
			return nil, err
		}
		conf += text + fmt.Sprintf("object ApiUser %q { password = %q; permissions = [ \"actions/*\", \"objects/query/*\" ] }\n", player, i.Password)
	}
	args := []string{"daemon", "-c", filepath.Join(dir, "icinga2.conf"), "-DPidPath=" + dir + "/icinga.pid", "-DRunAsUser=nagios", "-DRunAsGroup=nagios"}
	for k, sub := range map[string]string{"DataDir": "data", "CacheDir": "cache", "LogDir": "log", "InitRunDir": "run", "SpoolDir": "spool"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
		args = append(args, "-D"+k+"="+filepath.Join(dir, sub))
	}
	certs := filepath.Join(dir, "data/certs")
	if err := errors.Join(os.MkdirAll(certs, 0o755), os.MkdirAll(filepath.Join(dir, "data/ca"), 0o755), os.WriteFile(filepath.Join(dir, "icinga2.conf"), []byte(conf), 0o644)); err != nil {
		return nil, err
	}
	for from, to := range map[string]string{"ca.pem": "ca.crt", "srv.pem": "localhost.crt", "srv.key": "localhost.key"} {
		b, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(certs, to), b, 0o600); err != nil {
			return nil, err
		}
	}
	if err := own(dir, "nagios"); err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(i.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	i.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 5 * time.Second}
	if i.proc, err = start("", bin, args...); err != nil {
		return nil, err
	}
	err = i.proc.until("icinga2", 20*time.Second, func() error {
		_, err := i.Depth(ctx, hosts[0])
		return err
	})
	if err != nil {
		i.Stop()
		return nil, err
	}
	return i, nil
}

// Depth says how many downtimes a host is in, as Icinga sees it.
func (i *Icinga) Depth(ctx context.Context, host string) (int, error) {
	q, err := json.Marshal(map[string]any{"filter": fmt.Sprintf("host.name==%q", host), "attrs": []string{"downtime_depth"}})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.URL+"/v1/objects/hosts", bytes.NewReader(q))
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth(i.User, i.Password)
	req.Header.Set("X-HTTP-Method-Override", http.MethodGet)
	req.Header.Set("Accept", "application/json")
	resp, err := i.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct {
		Results []struct {
			Attrs struct {
				Depth float64 `json:"downtime_depth"`
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return 0, err
	}
	if len(out.Results) != 1 {
		return 0, fmt.Errorf("Icinga has %d hosts %s", len(out.Results), host)
	}
	return int(out.Results[0].Attrs.Depth), nil
}

// player is who may do all things, where more objects are.
const player = "player"

// Act does something, as "schedule-downtime", where StartIcingaWith was given more objects. It fails when there is
// nothing to which that was done.
func (i *Icinga) Act(ctx context.Context, action string, body map[string]any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.URL+"/v1/actions/"+action, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.SetBasicAuth(player, i.Password)
	req.Header.Set("Accept", "application/json")
	resp, err := i.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct {
		Status  string
		Results []struct {
			Code   float64
			Status string
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return fmt.Errorf("the answer of Icinga to %s: %w", action, err)
	}
	if len(out.Results) == 0 {
		return fmt.Errorf("Icinga did %s to nothing: %s", action, out.Status)
	}
	for _, r := range out.Results {
		if r.Code < 200 || r.Code > 299 {
			return fmt.Errorf("Icinga did not %s: %s", action, r.Status)
		}
	}
	return nil
}

// Standing is how something stands, as Icinga sees it.
type Standing struct {
	State int  // 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; of a host 0 UP, 1 DOWN
	Hard  bool // it is believed
}

// Standing gives how every host, by its name, and every service, as HOST!SERVICE, stands.
func (i *Icinga) Standing(ctx context.Context) (map[string]Standing, error) {
	out := map[string]Standing{}
	for _, kind := range []string{"hosts", "services"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL+"/v1/objects/"+kind+"?attrs=state&attrs=state_type&attrs=__name", nil)
		if err != nil {
			return nil, err
		}
		req.SetBasicAuth(i.User, i.Password)
		req.Header.Set("Accept", "application/json")
		resp, err := i.http.Do(req)
		if err != nil {
			return nil, err
		}
		var got struct {
			Results []struct {
				Name  string
				Attrs struct {
					State float64
					Type  float64 `json:"state_type"`
				}
			}
		}
		err = errors.Join(json.NewDecoder(resp.Body).Decode(&got), resp.Body.Close())
		if err != nil {
			return nil, err
		}
		for _, r := range got.Results {
			out[r.Name] = Standing{int(r.Attrs.State), r.Attrs.Type == 1}
		}
	}
	return out, nil
}

// Config gives the lines for jarvis.yaml under workers.
func (i *Icinga) Config() string {
	return fmt.Sprintf("icinga: {url: %q, user: %s, password: %s, ca: %q}", i.URL, i.User, i.Password, i.CA)
}

// Stop ends it and removes its folder.
func (i *Icinga) Stop() {
	i.proc.stop(syscall.SIGTERM)
	i.http.CloseIdleConnections()
	_ = os.RemoveAll(i.dir)
}

// Alertmanager is Prometheus's.
type Alertmanager struct {
	URL string

	dir  string
	proc *proc
}

// StartAlertmanager starts it.
func StartAlertmanager(ctx context.Context) (*Alertmanager, error) {
	bin, err := need("prometheus-alertmanager", "prometheus-alertmanager")
	if err != nil {
		return nil, err
	}
	dir, err := folder("alertmanager")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	a := &Alertmanager{dir: dir, URL: fmt.Sprintf("http://127.0.0.1:%d", port)}
	conf := filepath.Join(dir, "conf.yml")
	if err := os.WriteFile(conf, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o644); err != nil {
		return nil, err
	}
	if a.proc, err = start("", bin, "--config.file="+conf, "--storage.path="+dir, "--web.listen-address=127.0.0.1:"+fmt.Sprint(port), "--cluster.listen-address="); err != nil {
		return nil, err
	}
	err = a.proc.until("alertmanager", 20*time.Second, func() error {
		_, err := a.Silences(ctx)
		return err
	})
	if err != nil {
		a.Stop()
		return nil, err
	}
	return a, nil
}

// Silences lists the comments of the silences in force.
func (a *Alertmanager) Silences(ctx context.Context) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/api/v2/silences", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var all []struct {
		Comment string
		Status  struct{ State string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return nil, err
	}
	var out []string
	for _, s := range all {
		if s.Status.State != "expired" {
			out = append(out, strings.TrimSpace(s.Comment))
		}
	}
	return out, nil
}

// Stop ends it and removes its folder.
func (a *Alertmanager) Stop() {
	a.proc.stop(syscall.SIGTERM)
	_ = os.RemoveAll(a.dir)
}
