package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// screen is a terminal of some rows: it keeps what scrolled away, and knows what the live view writes.
type screen struct {
	rows, at int
	lines    []string
	gone     []string
}

var sequence = regexp.MustCompile(`^\x1b\[\??([0-9]*)([A-Za-z])`)

func (s *screen) write(t *testing.T, text string) {
	t.Helper()
	s.lines = make([]string, s.rows)
	for text != "" {
		if m := sequence.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[1])
			switch m[2] {
			case "A":
				if s.at < n {
					t.Errorf("the cursor is told to go up %d rows of %d", n, s.at)
				}
				s.at = max(0, s.at-n)
			case "J":
				for i := s.at; i < s.rows; i++ {
					s.lines[i] = ""
				}
			case "h", "l":
			default:
				t.Errorf("it writes %q", m[0])
			}
			text = text[len(m[0]):]
			continue
		}
		c := []rune(text)[0]
		text = text[len(string(c)):]
		switch {
		case c == '\r':
		case c == '\n' && s.at == s.rows-1:
			s.gone, s.lines = append(s.gone, s.lines[0]), append(s.lines[1:], "")
		case c == '\n':
			s.at++
		default:
			s.lines[s.at] += string(c)
		}
	}
}

// TestLiveViewOnATerminal: the view stays in one place where there are fewer rows than stages, also when the window
// changes; a dumb terminal gets lines without escapes.
func TestLiveViewOnATerminal(t *testing.T) {
	bin := buildJarvis(t)
	dir := t.TempDir()
	write := writeIn(t, dir)
	var steps []string
	for i := range 12 {
		steps = append(steps, fmt.Sprintf("toy:s%d", i+1))
	}
	write("w/toy", "#!/bin/sh\n[ \"$1\" = --steps ] && exit 64\nsleep 0.4\ncat\n", 0o755)
	conf := write("jarvis.yaml", "data: ./data\nlisten: \"\"\nworkers: {external: {dir: w}}\npipelines: {deploy: {toy: ["+`"`+strings.Join(steps, `", "`)+`"`+"]}}\n", 0o600)
	stop, _ := serveInProcess(t, conf)
	defer stop()
	deploy := func(host string) string {
		return bin + " --config " + conf + " deploy " + write(host+".yaml", "instance: {hostname: "+host+", provider: toy}\n", 0o600)
	}
	bar := regexp.MustCompile(`toy:s\d+ +[━─]`)

	t.Run("low", func(t *testing.T) {
		t.Setenv("TERM", "xterm")
		out := onTerminal(t, "stty rows 8 cols 70; "+deploy("loki"), "", "")
		s := screen{rows: 8}
		s.write(t, out)
		if gone := strings.Join(s.gone, "\n"); bar.MatchString(gone) && strings.Count(gone, "toy:s1 ") > 1 || len(s.gone) > 9 {
			t.Errorf("these scrolled away:\n%s", gone)
		}
		if last := strings.Join(s.lines, "\n"); !strings.Contains(last, "✔ 12/12 toy:s12") || !strings.Contains(last, "loki is ready") {
			t.Errorf("on the screen:\n%s", last)
		}
		if !strings.Contains(out, "stages are to come") || !strings.Contains(out, "stages are done") {
			t.Errorf("%q", out)
		}
	})
	t.Run("a window that changes", func(t *testing.T) {
		t.Setenv("TERM", "xterm")
		out := onTerminal(t, "stty rows 30 cols 90; (sleep 1.5; stty rows 6 cols 30 </dev/tty) & "+deploy("thor"), "", "")
		for _, m := range regexp.MustCompile(`\x1b\[(\d+)A`).FindAllStringSubmatch(out[strings.LastIndex(out, "\x1b[29A")+1:], -1) {
			if n, _ := strconv.Atoi(m[1]); n > 12 {
				t.Errorf("it goes up %d rows", n)
			}
		}
		tail := out[strings.LastIndex(out, "\x1b[J"):]
		for _, l := range strings.Split(tail, "\n")[:3] {
			if n := len([]rune(strings.TrimSuffix(strings.ReplaceAll(strings.TrimPrefix(l, "\x1b[J"), "\x1b[?7l", ""), "\r"))); n > 30 {
				t.Errorf("a line of %d characters in a window of 30: %q", n, l)
			}
		}
		if !strings.Contains(tail, "thor is ready") || !strings.Contains(tail, "12/12") {
			t.Errorf("%q", tail)
		}
	})
	for _, term := range []string{"dumb", ""} {
		t.Run("TERM="+term, func(t *testing.T) {
			t.Setenv("TERM", term)
			out := onTerminal(t, deploy("odin"+term), "", "")
			if strings.ContainsRune(out, '\x1b') || strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\r") {
				t.Errorf("it writes %q", out)
			}
			if !strings.Contains(out, "12/12 toy:s12 done") || !strings.Contains(out, "is ready") {
				t.Errorf("%q", out)
			}
		})
	}
}

func TestStageLinesFitTheRoom(t *testing.T) {
	var r web.RunView
	r.State = pipeline.Running
	for i := range 19 {
		r.Steps = append(r.Steps, fmt.Sprintf("toy:s%d", i+1))
	}
	for room := range 25 {
		for r.Stage = range 20 {
			lines := stageLines(r, room, time.Now())
			if len(lines) > max(1, room) || len(lines) != min(19, max(1, room)) {
				t.Errorf("%d lines for a room of %d", len(lines), room)
			}
			now := fmt.Sprintf("%2d/19 ", min(r.Stage+1, 19))
			if all := strings.Join(lines, "\n"); !strings.Contains(all, now) {
				t.Errorf("stage %d is not among\n%s", r.Stage+1, all)
			}
		}
	}
}
