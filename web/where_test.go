package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/web"
)

// A server that was not restarted after an upgrade has no such answer: that is told, not that a host is not there.
func TestAnOlderServerIsTold(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	c, err := web.NewRemoteClient(s.URL, "jarvis_x")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Where(t.Context(), web.WhereRequest{Command: "upload", Names: []string{"loki"}}); err == nil || !strings.Contains(err.Error(), "is older than this program") || !strings.Contains(err.Error(), "--direct") {
		t.Errorf("Where = %v", err)
	}
}
