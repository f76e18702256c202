package real

import "os"

// Chromium gives the browser itself. Debian's `chromium` is a script before it, whose end would not be the browser's.
func Chromium() (string, error) {
	const debian = "/usr/lib/chromium/chromium"
	if _, err := os.Stat(debian); err == nil {
		return debian, nil
	}
	return need("chromium", "chromium")
}
