package clipboard

import (
	"fmt"
	"path"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// mountPoint has what needs no quoting in fstab(5).
var mountPoint = pattern.New(`^/[A-Za-z0-9/._-]+$`)

// reserved are mount points whose loss would cost the host.
var reserved = map[string]bool{"/": true, "/bin": true, "/sbin": true, "/lib": true, "/lib64": true, "/usr": true, "/etc": true, "/dev": true, "/proc": true, "/sys": true, "/run": true, "/boot": true, "/root": true, "/var": true}

// CheckMount says why a clipboard may not have something mounted there.
func CheckMount(at string) error {
	switch {
	case reserved[path.Clean(at)]:
		return fmt.Errorf("mount %q belongs to the system; it is not for a clipboard to change", at)
	case !mountPoint.MatchString(at) || path.Clean(at) != at:
		return fmt.Errorf("mount %q is not a path, as in /srv", at)
	}
	return nil
}
