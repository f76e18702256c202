package remote_test

import (
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

func TestSplitHost(t *testing.T) {
	for s, want := range map[string]string{
		"web": "|web|", "root@web": "root|web|", "root@web:2222": "root|web|2222", "a@b@web": "a@b|web|", "[::1]:22": "|::1|22", "::1": "|::1|", "x@[fe80::1]": "x|fe80::1|",
		"": "!", "web:0": "!", "web:x": "!", "-oProxyCommand=x": "!", "a b": "!", "[::1": "!", "[::1]x": "!", "u@": "!",
	} {
		user, host, port, err := remote.SplitHost(s)
		if got := user + "|" + host + "|" + port; (want == "!") != (err != nil) || err == nil && got != want {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
}
