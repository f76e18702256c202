package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab"
)

// A secret of a host that somebody pastes into a command, a reason or a word too many is in clear nowhere: not in the
// log, the audit record, the events, nor in what programs are told.
func TestASecretInACommandLineIsMasked(t *testing.T) {
	t.Parallel()
	s := newAPISite(t, 196, "approvals: {expires: 1h}\n")
	const secret = "s3cr3t-word-long"
	board := lab.Clipboard("loki") + "  api_token: !secret " + secret + "\n"
	if code, _, body := s.call(t, "POST", "/v1/deploy", s.token, fmt.Sprintf(`{"clipboard": %q}`, board)); code != http.StatusAccepted {
		t.Fatal(code, body)
	}
	say := func(token string, words ...string) string {
		t.Helper()
		_, _, body := s.call(t, "POST", "/v1/command", token, fmt.Sprintf(`{"words": ["%s"]}`, strings.Join(words, `", "`)))
		return body
	}
	s.call(t, "GET", "/v1/runs/1/events", s.token, "", "Accept", "text/event-stream") // until it rests
	bob := s.newToken(t, "bob")
	said := say(s.token, "run", "loki", "echo", secret) + say(s.token, "run", "loki", "echo", "pw="+base64.StdEncoding.EncodeToString([]byte(secret))) +
		say(s.token, "status", "loki", secret) + say(s.token, "frobnicate", "loki", secret)
	said += say(s.token, "redeploy", "loki") + say(bob, "deny", "2", "because", secret) +
		say(s.token, "redeploy", "loki") + say(bob, "approve", "3", "because", secret)
	_, audit, _ := jarvis(t, "", "--config", s.conf, "audit", "100")
	told := map[string]string{"answers": said, "log": s.log.String(), "audit": audit}
	for _, path := range []string{"/v1/runs/2", "/v1/runs/2/events", "/v1/runs/2/log", "/v1/runs/3/events", "/v1/events", "/v1/hosts/loki/runs"} {
		_, _, told[path] = s.call(t, "GET", path, s.token, "")
	}
	for where, text := range told {
		if strings.Contains(text, secret) {
			t.Errorf("%s: the secret is in clear:\n%s", where, text)
		}
	}
	for where, want := range map[string]string{
		"log": `line="run loki echo •••"`, "audit": "run loki echo •••", "/v1/runs/2/events": "denied by bob, because •••", "/v1/runs/3/events": "by bob, because •••",
	} {
		if !strings.Contains(told[where], want) {
			t.Errorf("%s does not have %s:\n%s", where, want, told[where])
		}
	}
}
