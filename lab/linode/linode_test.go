package linode

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
)

type nothing struct{}

func (nothing) Off()      {}
func (nothing) On() error { return nil }
func (nothing) Stop()     {}

// TestShapes checks every answer about instances against the recordings of the real API: the same keys, and values of
// the same kinds.
func TestShapes(t *testing.T) {
	rack := lab.NewRack(90, 2222, func(string, string) (lab.Machine, error) { return nothing{}, nil })
	s, err := Start(rack)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	call := func(method, path, body string) (int, any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if got := resp.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s %s: Content-Type %q", method, path, got)
		}
		var v any
		if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return resp.StatusCode, v
	}
	user := base64.StdEncoding.EncodeToString([]byte("#cloud-config\n"))
	create := fmt.Sprintf(`{"region":"us-southeast","type":"g6-nanode-1","label":"loki.websages.com","image":"linode/debian12","root_pass":"x","tags":["jarvis-0-1"],"metadata":{"user_data":%q}}`, user)
	code, made := call("POST", "/linode/instances", create)
	if code != 200 {
		t.Fatalf("create = %d %v", code, made)
	}
	same(t, "instance", made, recorded("instance"))
	id := int(made.(object)["id"].(float64))
	one := fmt.Sprintf("/linode/instances/%d", id)
	for range 100 {
		if _, v := call("GET", one, ""); v.(object)["status"] == "running" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, v := call("GET", one, "")
	same(t, "instance", v, recorded("instance"))
	_, v = call("GET", "/linode/instances?page=1", "")
	same(t, "instances", v, recorded("instances"))
	_, v = call("GET", one+"/configs", "")
	same(t, "config", v.(object)["data"].([]any)[0], recorded("config"))
	code, v = call("POST", "/linode/instances", create) // the label is taken
	if code != 400 {
		t.Errorf("a second create = %d %v", code, v)
	}
	same(t, "error", v, recorded("error"))
	if code, v = call("DELETE", one, ""); code != 200 || len(v.(object)) != 0 {
		t.Errorf("delete = %d %v", code, v) // recorded: 200 {}
	}
	if code, _ = call("GET", one, ""); code != 404 {
		t.Errorf("after delete = %d", code)
	}
	for _, path := range []string{"/regions", "/images", "/linode/types", "/linode/kernels"} {
		if code, v := call("GET", path, ""); code != 200 || len(v.(object)["data"].([]any)) == 0 {
			t.Errorf("%s = %d", path, code)
		}
	}
}

// same compares the shapes of two JSON values; null stands for any kind.
func same(t *testing.T, where string, got, want any) {
	t.Helper()
	if got == nil || want == nil {
		return
	}
	switch w := want.(type) {
	case object:
		g, ok := got.(object)
		if !ok {
			t.Errorf("%s is a %T, and in the recording a mapping", where, got)
			return
		}
		for k := range w {
			if _, ok := g[k]; !ok {
				t.Errorf("%s.%s is missing", where, k)
			}
			same(t, where+"."+k, g[k], w[k])
		}
		for k := range g {
			if _, ok := w[k]; !ok {
				t.Errorf("%s.%s is not in the recording", where, k)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			t.Errorf("%s is a %T, and in the recording a list", where, got)
			return
		}
		for i := range g {
			if len(w) > 0 {
				same(t, fmt.Sprintf("%s[%d]", where, i), g[i], w[0])
			}
		}
	default:
		if a, b := fmt.Sprintf("%T", got), fmt.Sprintf("%T", want); a != b {
			t.Errorf("%s is a %s, and in the recording a %s", where, a, b)
		}
	}
}
