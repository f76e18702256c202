package loopback_test

import (
	"testing"

	"github.com/jarvisops/jarvis/internal/loopback"
)

func TestIs(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.82.0.10": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "127.": false, "127.example.org": false, "127.0.0.1.example.org": false, "localhost.example.org": false, "0.0.0.0": false, "192.0.2.1": false, "::": false,
	} {
		if got := loopback.Is(host); got != want {
			t.Errorf("Is(%q) = %v, want %v", host, got, want)
		}
	}
}
