package fleet

import (
	"strings"

	"golang.org/x/sys/unix"
)

// xattrs gives the extended attributes of a file or directory as PAX records (SCHILY.xattr, as GNU tar and star write
// them): those of users, capabilities, and access control lists. What the file system does not tell is left out.
func xattrs(file string) map[string]string {
	size, err := unix.Llistxattr(file, nil)
	if err != nil || size == 0 {
		return nil
	}
	buf := make([]byte, size)
	if size, err = unix.Llistxattr(file, buf); err != nil {
		return nil
	}
	var out map[string]string
	for _, name := range strings.Split(strings.TrimRight(string(buf[:size]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") && name != "security.capability" && !strings.HasPrefix(name, "system.posix_acl_") {
			continue
		}
		n, err := unix.Lgetxattr(file, name, nil)
		if err != nil {
			continue
		}
		value := make([]byte, n)
		if n, err = unix.Lgetxattr(file, name, value); err != nil {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out["SCHILY.xattr."+name] = string(value[:n])
	}
	return out
}
