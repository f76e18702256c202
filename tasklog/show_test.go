package tasklog

import "testing"

func TestWhatAnIDMeans(t *testing.T) {
	const id = "1f3a9c04aabbccddeeff00112233445566778899-2"
	for typed, want := range map[string]bool{"1f3a9c0": true, "1f3a9c0-2": true, "1f3a9c04-2": true, id: true, "1f3a9c04-1": false, "1f3a9c04-22": false, "1f3a9c04-": false, "2f": false, "": false, "-2": false} {
		if got := means(typed, id); got != want {
			t.Errorf("means(%q) = %v", typed, got)
		}
	}
}
