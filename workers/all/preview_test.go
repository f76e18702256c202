package all

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/workers/keys"
)

// TestPreviewIsNeverShorter: what passes before anything is made must not be found too long when the old machine is
// gone.
func TestPreviewIsNeverShorter(t *testing.T) {
	for _, more := range []string{"", "  login: {user: admin}\n", "  user_data: \"packages: [vim]\"\n", "  user_data: \"#!/bin/sh\\ntrue\\n\"\n"} {
		for _, user := range []string{"", "jarvis"} {
			c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.websages.com\n" + more))
			if err != nil {
				t.Fatal(err)
			}
			before, err := cloudinit.Preview(c)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(c.Text(), "hostkey") {
				t.Fatalf("the clipboard has the stand-ins now: %s", c.Text())
			}
			w, err := keys.New(keys.Config{PublicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN3G5jTUjB4FZ5Zk6Q0P8wJvmPp0Q1r5pR5yq7tB8c3D jarvis@hub.example.org", User: user})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Steps()[0].Do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			after, err := cloudinit.UserData(c)
			if err != nil {
				t.Fatal(err)
			}
			if len(before.Text) < len(after.Text) || len(before.Text) > len(after.Text)+600 {
				t.Errorf("%q, user %q: %d bytes before, and %d then", more, user, len(before.Text), len(after.Text))
			}
			now, err := cloudinit.Preview(c)
			if err != nil || now.Text != after.Text && user != "" {
				t.Errorf("%q: with all made, the preview differs: %v", more, err)
			}
		}
	}
}
