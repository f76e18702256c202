package real

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// transcript is what a person in chat saw: every line, and the waiting for one.
type transcript struct {
	name string
	next int // after the line that Next gave last

	mu    sync.Mutex
	lines []string
	more  chan struct{}
	done  chan struct{} // closed when the link is over
}

func newTranscript(name string) *transcript {
	return &transcript{name: name, more: make(chan struct{}, 1), done: make(chan struct{})}
}

func (t *transcript) add(line string) {
	t.mu.Lock()
	t.lines = append(t.lines, line)
	t.mu.Unlock()
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// Lines gives all lines seen so far.
func (t *transcript) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// Count tells how many lines match.
func (t *transcript) Count(pattern string) int {
	re := regexp.MustCompile(pattern)
	n := 0
	for _, l := range t.Lines() {
		if re.MatchString(l) {
			n++
		}
	}
	return n
}

// Wait gives the first line that matches, seen already or to come.
func (t *transcript) Wait(pattern string, limit time.Duration) (string, error) {
	l, _, err := t.wait(0, pattern, limit)
	return l, err
}

// Next gives the first line that matches after the one that Next gave last. For one goroutine.
func (t *transcript) Next(pattern string, limit time.Duration) (string, error) {
	l, at, err := t.wait(t.next, pattern, limit)
	if err == nil {
		t.next = at + 1
	}
	return l, err
}

// wait looks for the pattern from line from on, and gives where it is. The error has the last lines, for the reader of
// a failed test.
func (t *transcript) wait(from int, pattern string, limit time.Duration) (line string, at int, err error) {
	re, limit := regexp.MustCompile(pattern), Patience(limit)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		lines := t.Lines()
		for ; from < len(lines); from++ {
			if re.MatchString(lines[from]) {
				return lines[from], from, nil
			}
		}
		select {
		case <-t.more:
		case <-t.done:
			return "", 0, fmt.Errorf("the link of %s broke while it waited for %s", t.name, pattern)
		case <-timer.C:
			last := lines[max(0, len(lines)-8):]
			return "", 0, fmt.Errorf("%s saw no line like %s in %s; the last were:\n%s", t.name, pattern, limit, strings.Join(last, "\n"))
		}
	}
}
