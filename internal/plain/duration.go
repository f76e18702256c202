package plain

import (
	"fmt"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Duration gives a time as people write it in a configuration: 400d, 36h, 1h30m, 30s.
func Duration(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if rest, ok := strings.CutSuffix(s, "m0s"); ok {
		s = rest + "m"
	}
	if rest, ok := strings.CutSuffix(s, "h0m"); ok {
		s = rest + "h"
	}
	return s
}
