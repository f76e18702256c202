package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/web"
)

// TestACommandThatIsGivenUp while its stdin is still open, at a server that never answers: whoever asked it is free at
// once.
func TestACommandThatIsGivenUp(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-goOn
	}))
	defer s.Close()
	defer close(goOn)
	c, err := web.NewRemoteClient(s.URL, "jt_x")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stdin, typed := io.Pipe()
	defer typed.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Exec(ctx, web.ExecRequest{Line: "cat", Stdin: true}, stdin, func(web.ExecFrame) {}) }()
	<-asked
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it waits for a server that never answers")
	}
}
