// Package inventory reads lists of hosts that were there before Jarvis: a plain list, known_hosts, and Ansible's
// inventories in INI and YAML. It parses text and nothing else: it contacts nobody, opens no file, and runs nothing of
// what it reads.
//
//	bytes ──► Read ──► List{Hosts, Notes} ──► command.import puts them on record
//
// A file that is not of its format is an error, a *SyntaxError with its line. A line that is, and of which no host can
// be made, is a Note with its line: nothing is left out in silence. Values of variables are read where they say how a
// host is reached, and are otherwise never kept.
package inventory

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Formats that Read knows.
const (
	Plain      = "list"
	KnownHosts = "known_hosts"
	INI        = "ini"
	YAML       = "yaml"
)

// Formats lists them.
var Formats = []string{Plain, KnownHosts, INI, YAML}

// Bounds of one file.
const (
	MaxBytes = 512 << 10
	MaxHosts = 10_000

	maxNamed = 100_000 // with those that are named again, or are none
	maxName  = 512     // bytes of each that a pattern stands for, with a user and a port
	maxIn    = 1 << 20 // groups that hosts are in, of all hosts together
	maxSpent = 1 << 19 // what is read of YAML, with what aliases have read again
)

// Host is a host of a list. What is empty the file does not say.
type Host struct {
	Name   string   // lower case, or an address
	Addr   string   // where it is reached, when that is not its name
	User   string   // to log in as
	Port   int      // of its sshd
	Keys   []string // its host keys, as in authorized_keys
	Also   []string // other names and addresses of it
	Groups []string // sorted
	Line   int      // where it is first named
}

// Note says what was left out, and why.
type Note struct {
	Line int    `json:"line,omitempty"` // 0: of no one line
	Text string `json:"text"`
}

// String implements fmt.Stringer.
func (n Note) String() string {
	if n.Line == 0 {
		return n.Text
	}
	return fmt.Sprintf("line %d: %s", n.Line, n.Text)
}

// List is what a file says.
type List struct {
	Format string
	Hosts  []Host
	Notes  []Note
}

// SyntaxError: the file is not of the format, so that nothing of it can be trusted.
type SyntaxError struct {
	Line int
	Msg  string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Msg
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
}

// Read reads a file in a format; "" guesses it. A *SyntaxError when it cannot.
func Read(format string, src []byte) (List, error) {
	if len(src) > MaxBytes {
		return List{}, &SyntaxError{Msg: fmt.Sprintf("the file is too large: at most %d KiB are taken; split it", MaxBytes>>10)}
	}
	if format == "" {
		format = Guess(string(src))
	}
	l := List{Format: format}
	var err error
	switch format {
	case Plain:
		err = l.readPlain(string(src))
	case KnownHosts:
		err = l.readKnownHosts(string(src))
	case INI:
		err = l.readINI(string(src))
	case YAML:
		err = l.readYAML(src)
	default:
		return l, &SyntaxError{Msg: fmt.Sprintf("there is no format %q; there is %s", plain.Line(format), strings.Join(Formats, ", "))}
	}
	slices.SortStableFunc(l.Notes, func(a, b Note) int { return cmp.Compare(a.Line, b.Line) })
	return l, err
}

var (
	keyLine = pattern.New(`^(@\S+\s+)?\S+\s+(ssh-|ecdsa-|sk-)\S+\s+AAAA`)
	yamlKey = pattern.New(`^[\w."'-]+:(\s|$)`)
)

// Guess tells a file's format by its lines.
func Guess(src string) string {
	format := Plain
	for line := range strings.Lines(src) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "---", yamlKey.MatchString(line):
			return YAML
		case keyLine.MatchString(line):
			return KnownHosts
		case strings.HasPrefix(line, "[") && strings.HasSuffix(strings.TrimSpace(line), "]"):
			return INI
		case !strings.HasPrefix(line, "#") && strings.Contains(line, "="):
			format = INI
		}
	}
	return format
}

// note says what is left out, without control characters and not at length: what stands there is somebody's.
func (l *List) note(line int, format string, args ...any) {
	s := plain.Line(fmt.Sprintf(format, args...))
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	l.Notes = append(l.Notes, Note{line, s})
}

// add puts a host on the list once it was checked; what is wrong with it is noted.
func (l *List) add(h Host) error {
	if why := h.check(); why != "" {
		l.note(h.Line, "ignored: %s", why)
		return nil
	}
	if len(l.Hosts) == MaxHosts {
		return &SyntaxError{h.Line, fmt.Sprintf("there are more than %d hosts in the file; split it", MaxHosts)}
	}
	l.Hosts = append(l.Hosts, h)
	return nil
}

// check makes a host's words what the record takes, and says what is wrong with them.
func (h *Host) check() string {
	h.Name = strings.TrimSuffix(strings.ToLower(h.Name), ".")
	switch a, err := netip.ParseAddr(h.Name); {
	case err == nil && a.Zone() != "":
		return fmt.Sprintf("the address %s is of one link, and means nothing elsewhere", h.Name)
	case err == nil:
		h.Name = a.Unmap().String()
	case strings.Trim(h.Name, "0123456789") == "":
		return fmt.Sprintf("the host name %q would be taken for the number of a run", h.Name)
	default:
		if err := clipboard.CheckName(h.Name); err != nil {
			return err.Error()
		}
	}
	if h.Addr != "" {
		if a, err := netip.ParseAddr(h.Addr); err == nil {
			h.Addr = a.Unmap().String()
		} else if h.Addr = strings.TrimSuffix(strings.ToLower(h.Addr), "."); clipboard.CheckName(h.Addr) != nil {
			return fmt.Sprintf("%s: its address %q is neither an address nor a host name", h.Name, h.Addr)
		}
	}
	if h.User != "" {
		if err := clipboard.CheckUser(h.User); err != nil {
			return fmt.Sprintf("%s: %v", h.Name, err)
		}
	}
	if h.Port < 0 || h.Port > 65535 {
		return fmt.Sprintf("%s: the port %d is not between 1 and 65535", h.Name, h.Port)
	}
	return ""
}
