package real

import "time"

// Patience is how long a test waits for what is promised within limit before it gives up: the limit itself, and four
// times as long under the race detector, where a program takes several times its time and its speed shows nothing. It
// costs nothing but the time of a test that fails.
func Patience(limit time.Duration) time.Duration { return limit * slowed }
