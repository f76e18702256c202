package ec2

import (
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
)

type nothing struct{}

func (nothing) Off()      {}
func (nothing) On() error { return nil }
func (nothing) Stop()     {}

// readModel finds Debian's python3-botocore.
func readModel(t *testing.T) model {
	t.Helper()
	base := "/usr/lib/python3/dist-packages/botocore/data/ec2/2016-11-15/service-2.json"
	var r io.Reader
	f, err := os.Open(base)
	if err == nil {
		r = f
	} else if f, err = os.Open(base + ".gz"); err == nil {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Fatalf("Amazon's API model is not installed; run: apt-get install -y python3-botocore (%v)", err)
	}
	defer func() { _ = f.Close() }()
	var m model
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// element is any XML element.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

// checkAnswer reports elements that the model's shape does not have, and values that are not of its type.
func (m model) checkAnswer(t *testing.T, where, name string, e element) {
	s := m.Shapes[name]
	text := strings.TrimSpace(e.Text)
	switch s.Type {
	case "structure":
		for _, c := range e.Children {
			if c.XMLName.Local == "requestId" && strings.Count(where, ".") == 0 {
				continue // every answer has it beside its shape
			}
			found := false
			for key, mem := range s.Members {
				loc := mem.LocationName
				if loc == "" {
					loc = key
				}
				if loc == c.XMLName.Local {
					found = true
					m.checkAnswer(t, where+"."+loc, mem.Shape, c)
				}
			}
			if !found {
				t.Errorf("%s has no element %s in Amazon's model (%s)", where, c.XMLName.Local, name)
			}
		}
	case "list":
		for _, c := range e.Children {
			if c.XMLName.Local != "item" {
				t.Errorf("%s: a list holds %s, want item", where, c.XMLName.Local)
			}
			m.checkAnswer(t, where+"[]", s.Member.Shape, c)
		}
	case "integer", "long":
		if !regexp.MustCompile(`^-?\d+$`).MatchString(text) {
			t.Errorf("%s = %q is no %s", where, text, s.Type)
		}
	case "boolean":
		if text != "true" && text != "false" {
			t.Errorf("%s = %q is no boolean", where, text)
		}
	case "timestamp":
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			t.Errorf("%s = %q is no timestamp", where, text)
		}
	case "":
		t.Errorf("%s: the model has no shape %q", where, name)
	}
}

// recorder keeps what goes over the wire.
type recorder struct {
	mu   sync.Mutex
	seen []exchange
}

type exchange struct {
	action string
	q      url.Values
	body   []byte
}

// TestWithAWSCLI drives the simulator with Amazon's own client, and checks every request and every answer against
// Amazon's own API model.
func TestWithAWSCLI(t *testing.T) {
	aws, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("aws is not installed; run: apt-get install -y awscli")
	}
	m := readModel(t)
	rack := lab.NewRack(91, 2222, func(string, string) (lab.Machine, error) { return nothing{}, nil })
	s := Start(rack)
	t.Cleanup(s.Stop)
	var rec recorder
	inner := s.http.Config.Handler
	s.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		q := url.Values{}
		for k, v := range r.Form {
			q[k] = v
		}
		tee := &teeWriter{ResponseWriter: w}
		inner.ServeHTTP(tee, r)
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if tee.status == 0 {
			rec.seen = append(rec.seen, exchange{q.Get("Action"), q, tee.b})
		}
	})
	user := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(user, []byte("#cloud-config\nhostname: loki\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (map[string]any, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), aws, append([]string{"ec2", "--endpoint-url", s.URL, "--region", Region, "--output", "json"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+AccessKey, "AWS_SECRET_ACCESS_KEY="+SecretKey, "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "HOME="+t.TempDir())
		out, err := cmd.Output()
		var ee *exec.ExitError
		if errors.As(err, &ee) {
			return nil, errors.New(strings.TrimSpace(string(ee.Stderr)))
		} else if err != nil {
			return nil, err
		}
		var v map[string]any
		if len(out) > 0 {
			err = json.Unmarshal(out, &v)
		}
		return v, err
	}
	get := func(v any, path ...string) any {
		for _, p := range path {
			switch x := v.(type) {
			case map[string]any:
				v = x[p]
			case []any:
				if len(x) == 0 {
					return nil
				}
				v = x[0].(map[string]any)[p]
			}
		}
		return v
	}
	launch := []string{"run-instances", "--image-id", "ami-0000000000000debd", "--instance-type", "t3.nano", "--subnet-id", "subnet-0000000000000000a", "--client-token", "jarvis-0-1",
		"--user-data", "file://" + user, "--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=loki.websages.com},{Key=jarvis,Value=jarvis-0-1}]",
		"--metadata-options", "HttpTokens=required,HttpPutResponseHopLimit=1"}
	v, err := run(launch...)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := get(v, "Instances", "InstanceId").(string)
	again, err := run(launch...)
	if err != nil || get(again, "Instances", "InstanceId") != id {
		t.Errorf("the same client token gave %v, %v; want %s", get(again, "Instances", "InstanceId"), err, id)
	}
	other := append(append([]string{}, launch...), "--instance-type", "t3.micro")
	if _, err := run(other...); err == nil || !strings.Contains(err.Error(), "IdempotentParameterMismatch") {
		t.Errorf("the same client token with other parameters: %v", err)
	}
	for range 50 {
		v, err = run("describe-instances", "--filters", "Name=tag:jarvis,Values=jarvis-0-1", "Name=instance-state-name,Values=running")
		if err != nil {
			t.Fatal(err)
		}
		if get(v, "Reservations", "Instances", "InstanceId") == id {
			break
		}
	}
	if ip, _ := get(v, "Reservations", "Instances", "PublicIpAddress").(string); !strings.HasPrefix(ip, "127.91.") {
		t.Errorf("PublicIpAddress = %q", ip)
	}
	if got := get(v, "Reservations", "Instances", "MetadataOptions", "HttpTokens"); got != "required" {
		t.Errorf("HttpTokens = %v", got)
	}
	for _, args := range [][]string{
		{"describe-images", "--owners", "136693071363", "--filters", "Name=name,Values=debian-12-amd64-*", "Name=architecture,Values=x86_64"},
		{"describe-instance-types", "--filters", "Name=instance-type,Values=t3.*"},
		{"describe-subnets", "--filters", "Name=default-for-az,Values=true"},
		{"describe-availability-zones"},
		{"get-console-output", "--instance-id", id},
		{"reboot-instances", "--instance-ids", id},
		{"stop-instances", "--instance-ids", id},
	} {
		if _, err := run(args...); err != nil {
			t.Errorf("%s: %v", args[0], err)
		}
	}
	for range 50 {
		if v, err = run("describe-instances", "--instance-ids", id); err != nil {
			t.Fatal(err)
		}
		if get(v, "Reservations", "Instances", "State", "Name") == "stopped" {
			break
		}
	}
	for _, args := range [][]string{{"start-instances", "--instance-ids", id}, {"terminate-instances", "--instance-ids", id}} {
		if _, err := run(args...); err != nil {
			t.Errorf("%s: %v", args[0], err)
		}
	}
	if _, err := run("describe-instances", "--instance-ids", "i-0ffffffffffffffff"); err == nil || !strings.Contains(err.Error(), "InvalidInstanceID.NotFound") {
		t.Errorf("an unknown instance: %v", err)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	actions := map[string]bool{}
	for _, x := range rec.seen {
		actions[x.action] = true
		if e := m.check(x.action, x.q); e != nil { // Amazon's whole model, beside the part that the simulator has
			t.Errorf("%s: %s", x.action, e.msg)
		}
		var e element
		if err := xml.Unmarshal(x.body, &e); err != nil {
			t.Errorf("%s: %v", x.action, err)
			continue
		}
		if e.XMLName.Local != x.action+"Response" || e.XMLName.Space != "http://ec2.amazonaws.com/doc/2016-11-15/" {
			t.Errorf("%s answers with %v", x.action, e.XMLName)
		}
		if out := m.Operations[x.action].Output; out != nil {
			m.checkAnswer(t, x.action, out.Shape, e)
		}
	}
	if len(actions) < 11 {
		t.Errorf("checked %v only", actions)
	}
}

type teeWriter struct {
	http.ResponseWriter
	status int // of a refusal
	b      []byte
}

func (w *teeWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *teeWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return w.ResponseWriter.Write(p)
}
