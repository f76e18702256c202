package lab

import (
	"context"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/afero"
	"mvdan.cc/sh/v3/interp"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Programs of a sandbox that read lines and write lines, as our own commands use them, and flock.

// filter is sed, sort, head or tail on what is read; ok is false for a use that a sandbox does not know.
func filter(args []string, in io.Reader) (out string, ok bool) {
	b, _ := io.ReadAll(in)
	lines := slices.Collect(strings.Lines(string(b)))
	switch args[0] {
	case "sort": // -V too: names that differ in one number only are in order as long as it has as many digits
		slices.Sort(lines)
		return strings.Join(lines, ""), true
	case "sed":
		if len(args) != 3 || args[1] != "-n" {
			return "", false
		}
		return sed(args[2], lines)
	}
	n := 10
	if len(args) == 3 && args[0] == "head" && args[1] == "-c" {
		n, err := strconv.Atoi(args[2])
		if err != nil || n < 0 {
			return "", false
		}
		return string(b[:min(n, len(b))]), true
	} else if len(args) == 3 && args[1] == "-n" {
		var err error
		if n, err = strconv.Atoi(args[2]); err != nil || n < 0 {
			return "", false
		}
	} else if len(args) != 1 {
		return "", false
	}
	n = min(n, len(lines))
	if args[0] == "head" {
		return strings.Join(lines[:n], ""), true
	}
	return strings.Join(lines[len(lines)-n:], ""), true
}

var sedRE = pattern.New(`^(s?)/((?:[^/\\]|\\.)*)/(?:((?:[^/\\]|\\.)*)/)?p$`)

// sed knows -n '/RE/p' and -n 's/RE/TEXT/p'.
func sed(script string, lines []string) (string, bool) {
	m := sedRE.FindStringSubmatch(script)
	if m == nil {
		return "", false
	}
	re, err := regexp.Compile(basic(m[2]))
	if err != nil {
		return "", false
	}
	text := regexp.MustCompile(`\\(\d)`).ReplaceAllString(strings.ReplaceAll(m[3], "$", "$$"), "$${$1}")
	var out strings.Builder
	for _, l := range lines {
		l = strings.TrimSuffix(l, "\n")
		at := re.FindStringSubmatchIndex(l)
		switch {
		case at == nil:
			continue
		case m[1] == "s":
			l = l[:at[0]] + string(re.ExpandString(nil, text, l, at)) + l[at[1]:]
		}
		out.WriteString(l + "\n")
	}
	return out.String(), true
}

// basic writes a basic regular expression, in which ( is itself and \( is not, as Go has them.
func basic(re string) string {
	const swapped = "(){}|+?"
	var out strings.Builder
	for i := 0; i < len(re); i++ {
		switch c := re[i]; {
		case c == '\\' && i+1 < len(re):
			i++
			if !strings.ContainsRune(swapped, rune(re[i])) {
				out.WriteByte('\\')
			}
			out.WriteByte(re[i])
		case strings.IndexByte(swapped, c) >= 0:
			out.WriteString(`\` + string(c))
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// flock knows -n, -s and -x, then FILE -c LINE or FILE PROGRAM….
func (s *Sandbox) flock(ctx context.Context, args []string, fail func(int, string, ...any) error) error {
	var flags string
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		flags, args = flags+args[0][1:], args[1:]
	}
	if len(args) < 2 || strings.Trim(flags, "nsx") != "" {
		return fail(64, "a sandbox knows flock [-nsx] FILE -c LINE, and FILE PROGRAM")
	}
	file, todo := path.Clean(args[0]), args[1:]
	if todo[0] == "-c" {
		todo = append([]string{"sh"}, todo...)
	}
	if parent := path.Dir(file); !exists(s.fs, file) {
		if !exists(s.fs, parent) {
			return fail(66, "cannot open lock file %s: No such file or directory", file)
		}
		if err := afero.WriteFile(s.fs, file, nil, 0o644); err != nil {
			return fail(66, "cannot open lock file %s: %v", file, err)
		}
	}
	shared := strings.Contains(flags, "s")
	for !s.takeLock(file, shared) {
		if strings.Contains(flags, "n") {
			return interp.ExitStatus(1)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return interp.ExitStatus(137)
		}
	}
	defer s.giveLock(file, shared)
	return s.exec(ctx, todo)
}

// takeLock counts who shares a lock; -1 is one who has it alone.
func (s *Sandbox) takeLock(file string, shared bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.locks[file]; {
	case shared && n >= 0:
		s.locks[file]++
	case !shared && n == 0:
		s.locks[file] = -1
	default:
		return false
	}
	return true
}

// giveLock gives back one share of a lock; with the last one the file is free.
func (s *Sandbox) giveLock(file string, shared bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks[file]--; !shared || s.locks[file] == 0 {
		delete(s.locks, file)
	}
}
