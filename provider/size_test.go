package provider

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestSlipsInSizes: a number without a unit that can only be a slip is refused with what it would mean and what to
// write.
func TestSlipsInSizes(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"size: 2", "size: 2 would be 2 MB of memory, and no machine boots with less than 64 MB; write 2GB or 2048"},
		{"size: 63", "write 63GB"},
		{"size: 64", ""},
		{"size: 512", ""},
		{"size: 2GB", ""},
		{"size: 2MB", "size: 2MB is too little: no machine boots with less than 64 MB of memory"},
		{"size: {memory: 4, cpus: 2}", "write 4GB or 4096"},
		{"size: {memory: 4GB, cpus: 2}", ""},
		{"disk: 40", ""},
		{"disk: 40960", "a disk of 40960 would have 40960 GB; write 40960MB or 40960GB"},
		{"disk: 40960GB", ""},
		{"disks: [{size: 20480}]", "write 20480MB or 20480GB"},
	} {
		var w Wish
		err := yaml.Unmarshal([]byte(c.said), &w)
		if c.want == "" && err != nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %q", c.said, err, c.want)
		}
	}
}

func TestShape(t *testing.T) {
	if a, b := Shape("512 MB", 1), Shape("1 GB", 2); a != "512 MB, 1 CPU" || b != "1 GB, 2 CPUs" {
		t.Errorf("Shape = %q, %q", a, b)
	}
}
