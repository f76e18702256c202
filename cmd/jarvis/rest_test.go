package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// The fault: on PostgreSQL, while another transaction of Jarvis was open for more than 100 ms, a stream said that the
// run rests, or 204 to who came again, before its last events.
func TestAStreamRestsAfterItsLastEvent(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	url := must[string](t)(pg.Database(t.Context()))
	s := newAPISite(t, 207, fmt.Sprintf("database: %q\n", url))
	open := must[*pgx.Conn](t)(pgx.Connect(t.Context(), url))
	defer func() { _ = open.Close(context.Background()) }()
	for _, q := range []string{"SET application_name = 'jarvis'", "BEGIN", "SELECT pg_current_xact_id()"} { // as one of ours that takes long
		if _, err := open.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, body := s.call(t, "POST", "/v1/deploy", s.token, fmt.Sprintf(`{"clipboard": %q}`, lab.Clipboard("loki"))); code != http.StatusAccepted {
		t.Fatalf("deploy = %d %s", code, body)
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if _, _, body := s.call(t, "GET", "/v1/runs/1", s.token, ""); strings.Contains(body, `"state":"ready"`) {
			break
		} else if time.Since(began) > time.Minute {
			t.Fatal(body)
		}
	}
	type answer struct {
		code int
		body string
	}
	first, again := make(chan answer, 1), make(chan answer, 1)
	ask := func(to chan answer, header ...string) {
		code, _, body := s.call(t, "GET", "/v1/runs/1/events", s.token, "", append(header, "Accept", "text/event-stream")...)
		to <- answer{code, body}
	}
	go ask(first)
	go ask(again, "Last-Event-ID", "0")
	select {
	case a := <-first:
		t.Fatalf("the stream ended before the last event: %d %s", a.code, a.body)
	case a := <-again:
		t.Fatalf("the stream of who came again ended before the last event: %d %s", a.code, a.body)
	case <-time.After(time.Second):
	}
	if _, err := open.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	for _, from := range []chan answer{first, again} {
		if a := <-from; a.code != http.StatusOK || !strings.Contains(a.body, "event: ready\n") || !strings.HasSuffix(a.body, "event: rest\ndata: {}\n\n") {
			t.Errorf("the stream ended with %d %s", a.code, a.body)
		}
	}
}
