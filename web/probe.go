package web

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// Text gets what is at a path for machines, as /readyz or /metrics, with its status.
func (c *Client) Text(ctx context.Context, path string) (text string, status int, err error) {
	res, err := c.do(ctx, http.MethodGet, path, "text/plain", nil, nil)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return strings.TrimSpace(string(b)), res.StatusCode, err
}
