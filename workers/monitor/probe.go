package monitor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Probe asks each server who it is, and changes nothing.
func (w *Worker) Probe(ctx context.Context) (string, error) {
	var said []string
	for _, q := range w.quiet {
		var c *client
		var path string
		switch q := q.(type) {
		case icinga:
			c, path = q.client, "/v1/status"
		case alertmanager:
			c, path = q.client, "/api/v2/status"
		}
		status, err := c.call(ctx, http.MethodGet, path, nil, nil)
		// Icinga answers 403 to an ApiUser without the right `status/query`, which we do not need: it knows that user.
		if err != nil && status != http.StatusForbidden {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		said = append(said, c.name+" answers")
	}
	return strings.Join(said, ", "), nil
}
