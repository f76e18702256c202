package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/checks"
)

// TestDeliveriesThroughKills kills the server with -9 when it has been handed a result, and asks again with the same
// key as a client would: each result is on record, once.
func TestDeliveriesThroughKills(t *testing.T) {
	kills := number("JARVIS_CHECK_KILLS", 8)
	data := filepath.Join(t.TempDir(), "data")
	p := checkProcess(t, buildJarvis(t), data, `
  tasks: [{name: backup, passive: true, fresh: 25h, attempts: 3}]
  host_tasks: [{tasks: [backup], hosts: [loki]}]
`)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(data, "run", "jarvis.sock"))
	}}}
	deliver := func(i int, trace *httptrace.ClientTrace) (code int, text string) {
		ctx := httptrace.WithClientTrace(t.Context(), trace)
		req := must[*http.Request](t)(http.NewRequestWithContext(ctx, "POST", "http://jarvis/v1/checks/loki/backup/result", strings.NewReader(`{"status": "ok", "output": "night `+fmt.Sprint(i)+`"}`)))
		req.Header.Set("Idempotency-Key", fmt.Sprint("night ", i))
		res, err := client.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	p.start()
	for i := range kills {
		p.until("the checks are there", func(s checks.Stats) bool { return s.Checks == 1 })
		// It dies when it has the request, or when the result is on record and the client does not know.
		trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { p.kill() }}
		if i%2 == 1 {
			trace = &httptrace.ClientTrace{GotFirstResponseByte: p.kill}
		}
		_, _ = deliver(i, trace)
		p.start()
		p.until("it is there again", func(s checks.Stats) bool { return s.Checks == 1 })
		if code, text := deliver(i, &httptrace.ClientTrace{}); code != 200 || !strings.Contains(text, fmt.Sprintf(`"line":"night %d"`, i)) {
			t.Errorf("night %d: %d %s", i, code, text)
		}
	}
	p.kill()
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+filepath.Join(data, "jarvis.db")))
	defer func() { _ = db.Close() }()
	var n, distinct int
	if err := db.QueryRow("SELECT count(*), count(DISTINCT line) FROM check_results").Scan(&n, &distinct); err != nil || n != kills || distinct != kills {
		t.Errorf("%d results of %d nights are on record, %d were delivered (%v)", n, distinct, kills, err)
	}
}
