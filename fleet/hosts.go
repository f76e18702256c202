package fleet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/remote"
)

// MaxExpand bounds how many hosts one word may stand for.
const MaxExpand = 100_000

// maxExpanded bounds each name that is made, with a user and a port: a long word stands for many.
const maxExpanded = 512

var errMany = fmt.Errorf("stands for more than %d hosts", MaxExpand)

// Expand gives the hosts that a word stands for: web[1-20], web[01-20], db{a,b}.example.org, and combinations. IPv6
// addresses in brackets stay as they are.
func Expand(word string) ([]string, error) {
	list, err := expand(word, MaxExpand)
	switch {
	case errors.As(err, new(commaError)):
		return nil, commaError(word)
	case errors.Is(err, errMany):
		return nil, fmt.Errorf("%q %w", plain.Clip(word, 100), errMany)
	}
	return list, err
}

// expand makes nothing of which more than most hosts would come, not even in part: a word of a few kilobytes has many
// brackets, and each is filled before the next is read.
func expand(word string, most int) ([]string, error) {
	for i := 0; i < len(word); i++ {
		var options []string
		var rest string
		switch word[i] {
		case '[':
			end := strings.IndexByte(word[i:], ']')
			if end < 0 {
				return nil, fmt.Errorf("%q: a bracket is not closed", word)
			}
			inner := word[i+1 : i+end]
			if strings.Contains(inner, ":") { // an address
				if _, err := netip.ParseAddr(inner); err != nil {
					return nil, fmt.Errorf("%q: in brackets stand numbers, as in web[1-20], or an address of IPv6", word)
				}
				i += end
				continue
			}
			if strings.Trim(inner, "0123456789,-") != "" && !strings.ContainsAny(inner, ",-") {
				return nil, fmt.Errorf("%q: in brackets stand numbers, as in web[1-20]; names stand in braces, as in {web,db}", word)
			}
			for _, part := range strings.Split(inner, ",") {
				list, err := span(part, most-len(options))
				if err != nil {
					return nil, fmt.Errorf("%q: %w", plain.Clip(word, 100), err)
				}
				options = append(options, list...)
			}
			rest = word[i+end+1:]
		case '{':
			end := strings.IndexByte(word[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("%q: a brace is not closed", word)
			}
			options, rest = strings.Split(word[i+1:i+end], ","), word[i+end+1:]
		case ',':
			return nil, commaError(word)
		default:
			continue
		}
		if len(options) > most {
			return nil, errMany
		}
		tails, err := expand(rest, most/len(options))
		if err != nil {
			return nil, err
		}
		out := make([]string, 0, len(options)*len(tails))
		for _, o := range options {
			for _, t := range tails {
				if i+len(o)+len(t) > maxExpanded {
					return nil, fmt.Errorf("%q stands for a host of more than %d bytes", plain.Clip(word, 100), maxExpanded)
				}
				out = append(out, word[:i]+o+t)
			}
		}
		return out, nil
	}
	return []string{word}, nil
}

// commaError is a word of several hosts.
type commaError string

func (e commaError) Error() string {
	var list []string
	depth, begin := 0, 0
	for i, c := range string(e) {
		switch {
		case strings.ContainsRune("[{", c):
			depth++
		case strings.ContainsRune("]}", c):
			depth--
		case c == ',' && depth == 0:
			list, begin = append(list, string(e)[begin:i]), i+1
		}
	}
	list = append(list, string(e)[begin:])
	return fmt.Sprintf("%q: no host has a comma in its name; name each by itself, as in -o %s", string(e), strings.Join(list, " -o "))
}

// span gives 1, 2, 3 for 1-3, and 01, 02 for 01-02; errMany when they are more than most.
func span(s string, most int) ([]string, error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		return []string{s}, nil
	}
	a, err1 := strconv.Atoi(from)
	b, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || a < 0 || b < a {
		return nil, fmt.Errorf("%q is no range as 1-20", plain.Clip(s, 40))
	}
	if b-a >= most {
		return nil, errMany
	}
	width := 0
	if strings.HasPrefix(from, "0") {
		width = len(from)
	}
	if width > maxExpanded {
		return nil, fmt.Errorf("%q stands for a host of more than %d bytes", plain.Clip(s, 40), maxExpanded)
	}
	out := make([]string, 0, b-a+1)
	for n := range b - a + 1 { // not up to b: it may be the largest number that there is
		out = append(out, fmt.Sprintf("%0*d", width, a+n))
	}
	return out, nil
}

// ErrInventory: what should be a list of hosts is written as an inventory is.
var ErrInventory = errors.New("is of an inventory, not of a list of hosts")

// LineError is what is wrong with a line of a list of hosts.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *LineError) Unwrap() error { return e.Err }

// ReadHosts reads a list of hosts, one a line or several with spaces between them, each as Expand takes it, or @NAME.
// Blank lines and what follows # do not count. What is wrong with a line is a *LineError; it wraps ErrInventory when
// this is an inventory of Ansible's.
func ReadHosts(r io.Reader) ([]string, error) {
	var out []string
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		l, _, _ := strings.Cut(sc.Text(), "#")
		for _, w := range strings.Fields(l) {
			list, err := hostsOf(w)
			if err != nil {
				return nil, &LineError{n, err}
			}
			out = append(out, list...)
		}
	}
	return out, sc.Err()
}

// hostsOf gives the hosts that a word of a list stands for.
func hostsOf(word string) ([]string, error) {
	inner, heading := strings.CutPrefix(word, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	_, noAddr := netip.ParseAddr(inner)
	key := strings.HasSuffix(word, ":") && !strings.HasSuffix(word, "::")
	if heading && closed && noAddr != nil && strings.Trim(inner, "0123456789,-") != "" || strings.Contains(word, "=") || key {
		return nil, fmt.Errorf("%q %w", word, ErrInventory)
	}
	list, err := Expand(word)
	if err != nil {
		return nil, err
	}
	for _, h := range list {
		if strings.HasPrefix(h, "@") {
			continue
		}
		if _, _, _, err := remote.SplitHost(h); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Fold writes names the short way round: web[1-3,7].example.org.
func Fold(names []string) string {
	type group struct {
		head, tail string
		width      int
		numbers    []int
	}
	var groups []*group
	for _, n := range names {
		start := strings.IndexAny(n, "0123456789")
		if start < 0 || net.ParseIP(n) != nil {
			groups = append(groups, &group{head: n})
			continue
		}
		end := start
		for end < len(n) && n[end] >= '0' && n[end] <= '9' {
			end++
		}
		num, err := strconv.Atoi(n[start:end])
		if err != nil {
			groups = append(groups, &group{head: n})
			continue
		}
		width := 0
		if n[start] == '0' {
			width = end - start
		}
		var last *group
		if len(groups) > 0 {
			last = groups[len(groups)-1]
		}
		if last == nil || last.numbers == nil || last.head != n[:start] || last.tail != n[end:] || last.width != width && (width != 0 || len(strconv.Itoa(num)) < last.width) {
			groups = append(groups, &group{head: n[:start], tail: n[end:], width: width, numbers: []int{num}})
			continue
		}
		last.numbers = append(last.numbers, num)
	}
	var out []string
	for _, g := range groups {
		switch {
		case g.numbers == nil:
			out = append(out, g.head)
		case len(g.numbers) == 1:
			out = append(out, fmt.Sprintf("%s%0*d%s", g.head, g.width, g.numbers[0], g.tail))
		default:
			var parts []string
			for i := 0; i < len(g.numbers); {
				j := i
				for j+1 < len(g.numbers) && g.numbers[j+1] == g.numbers[j]+1 {
					j++
				}
				if i == j {
					parts = append(parts, fmt.Sprintf("%0*d", g.width, g.numbers[i]))
				} else {
					parts = append(parts, fmt.Sprintf("%0*d-%0*d", g.width, g.numbers[i], g.width, g.numbers[j]))
				}
				i = j + 1
			}
			out = append(out, g.head+"["+strings.Join(parts, ",")+"]"+g.tail)
		}
	}
	return strings.Join(out, ",")
}
