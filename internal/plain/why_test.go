package plain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestWhyHasNoWordsOfGo over errors as the standard library really makes them.
func TestWhyHasNoWordsOfGo(t *testing.T) {
	_, stat := os.Stat("/nowhere/sms")
	_, inside := os.Stat("/dev/null/x")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, dial := net.Dial("tcp", addr)
	_, get := http.Get("http://" + addr + "/") //nolint:bodyclose,noctx // nobody answers
	ctx, stop := context.WithTimeout(t.Context(), 0)
	defer stop()
	_, slow := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	past, stop2 := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer stop2()
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("it is full"), "it is full"},
		{stat, "/nowhere/sms is not there"},
		{fmt.Errorf("read it: %w", stat), "/nowhere/sms is not there"},
		{inside, "/dev/null/x: not a directory"},
		{exec.Command("no-such-program-here").Run(), "no-such-program-here is not there"},
		{dial, addr + ": connection refused"},
		{get, addr + ": connection refused"},
		{slow, "no answer in time"},
		{past.Err(), "no answer in time"},
		{context.Canceled, "it was stopped"},
		{io.ErrUnexpectedEOF, "it closed the connection"},
		{&net.DNSError{Err: "no such host", Name: "nope.example.org", IsNotFound: true}, "there is no host nope.example.org"},
		{&net.DNSError{Err: "server misbehaving", Name: "x.example.org"}, "the name server does not tell of x.example.org: server misbehaving"},
	} {
		if got := Why(c.err); got != c.want && !strings.HasSuffix(got, ": "+c.want) {
			t.Errorf("Why(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}
