package real

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// CPU is what the server has used of processors so far, with its children, and with those that have ended.
func (p *Postgres) CPU() (time.Duration, error) {
	pids, err := p.pids()
	if err != nil {
		return 0, err
	}
	var ticks int64
	for i, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil && i > 0 {
			continue // ended meanwhile: the first process has its time by the next look
		} else if err != nil {
			return 0, fmt.Errorf("read what PostgreSQL used of processors: %w", err)
		}
		// proc_pid_stat(5): 14 and 15 are its own, 16 and 17 those of its children that ended. The name, which is the
		// second, may have spaces.
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, s := range f[11:15] {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read what PostgreSQL used of processors: %w", err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * (time.Second / 100), nil // USER_HZ is 100 wherever Go runs on Linux
}
