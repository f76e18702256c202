package plain

import "io/fs"

// Kind says what stands under a name when it is no regular file, as Lstat has it: "a directory", "a symbolic link". It
// is "" for a regular file, the only thing that a new file may ever be put in place of.
func Kind(m fs.FileMode) string {
	switch m.Type() {
	case 0:
		return ""
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeNamedPipe:
		return "a named pipe"
	case fs.ModeSocket:
		return "a socket"
	}
	if m&fs.ModeDevice != 0 {
		return "a device"
	}
	return "no regular file"
}
