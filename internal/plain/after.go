package plain

import (
	"net/http"
	"strconv"
	"time"
)

// maxAfter is the longest that a server may have us wait: more is a slip of theirs, and would overflow in the end.
const maxAfter = 24 * time.Hour

// RetryAfter reads the header of that name (RFC 9110 §10.2.3): seconds, or a date. What is over is 0; ok is false for
// what is neither.
func RetryAfter(header string) (d time.Duration, ok bool) {
	if n, err := strconv.ParseInt(header, 10, 64); err == nil {
		return time.Duration(min(max(n, 0), int64(maxAfter/time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return min(max(time.Until(at), 0), maxAfter), true
}
