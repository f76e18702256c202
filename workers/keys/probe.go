package keys

import (
	"context"
	"net/http"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
)

// Probe logs in at the git hosts that are configured, and changes nothing.
func (w *Worker) Probe(ctx context.Context) (string, error) {
	var said []string
	if w.cfg.Gitolite.Admin != "" {
		co, err := w.checkout(ctx, clipboard.Instance{Hostname: "jarvis-check", FQDN: "jarvis-check.invalid"})
		if err != nil {
			return "", err
		}
		co.close()
		said = append(said, w.cfg.Gitolite.Admin+" can be read")
	}
	if w.cfg.GitHub.Token != "" {
		if err := w.callGitHub(ctx, http.MethodGet, "/user", nil, nil); err != nil {
			return "", err
		}
		said = append(said, "GitHub takes the token")
	}
	return strings.Join(said, ", "), nil
}
