package clipboard_test

import (
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
)

func TestCheckMountKeepsTheSystem(t *testing.T) {
	for _, at := range []string{"/srv", "/srv/data", "/home", "/opt/a-b_c.d", "/var/lib/pg", "/dev/shm"} {
		if err := clipboard.CheckMount(at); err != nil {
			t.Errorf("CheckMount(%q) = %v", at, err)
		}
	}
	for _, at := range []string{"", "srv", "/", "//", "/etc", "/etc/", "/srv/", "/srv/../etc", "/srv/..", "/srv//x", "/usr/.", "/var", "/a b", "/a\tb", "/a\nb", "/$(reboot)", "none"} {
		if err := clipboard.CheckMount(at); err == nil {
			t.Errorf("CheckMount(%q) takes it", at)
		}
	}
}
