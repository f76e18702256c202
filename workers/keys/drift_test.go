package keys

import (
	"net/http/httptest"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
)

// TestDriftAtGitHub: the host's own key is missed when it is gone, another, or may write; those of others are nobody's
// affair.
func TestDriftAtGitHub(t *testing.T) {
	mine := func(key string, readOnly bool) map[string]any {
		return map[string]any{"id": 8, "title": "jarvis: root@loki.websages.com", "key": key, "read_only": readOnly}
	}
	others := map[string]any{"id": 7, "title": "somebody's", "key": keyB, "read_only": true}
	for name, c := range map[string]struct {
		there []map[string]any
		have  string
	}{
		"as it was left":   {[]map[string]any{others, mine(keyA, true)}, ""},
		"gone":             {[]map[string]any{others}, "gone"},
		"another":          {[]map[string]any{mine(keyB, true)}, "another key"},
		"it may write now": {[]map[string]any{mine(keyA, false)}, "another key"},
	} {
		srv := httptest.NewServer(&githubLab{repos: map[string][]map[string]any{"acme/app": c.there}})
		w, err := New(Config{GitHub: GitHub{Token: "ghp_lab", URL: srv.URL}})
		if err != nil {
			t.Fatal(err)
		}
		cb, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: EC2\n  repos: acme/app\n  root_pubkey: " + keyA + " root@loki\n"))
		if err != nil {
			t.Fatal(err)
		}
		found, err := w.driftDeployKey(t.Context(), cb)
		srv.Close()
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case c.have == "" && len(found) > 0, c.have != "" && (len(found) != 1 || found[0].Have != c.have):
			t.Errorf("%s: found %+v, want %q", name, found, c.have)
		}
		// A server that is away is no key that is gone.
		if _, err := w.driftDeployKey(t.Context(), cb); err == nil {
			t.Errorf("%s: a server that is away is not said", name)
		}
	}
}
