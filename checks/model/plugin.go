package model

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Status is the outcome of a check, with the numbers of the Monitoring Plugins Development Guidelines.
type Status int

// The statuses, as a plugin's exit code has them.
const (
	OK Status = iota
	Warning
	Critical
	Unknown
)

// String gives the status as plugins write it; what is no status is UNKNOWN.
func (s Status) String() string {
	if s < OK || s > Unknown {
		return "UNKNOWN"
	}
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s]
}

// ParseStatus reads a status as people and plugins write it.
func ParseStatus(word string) (Status, error) {
	for s := OK; s <= Unknown; s++ {
		if strings.EqualFold(word, s.String()) {
			return s, nil
		}
	}
	return Unknown, fmt.Errorf("%q is no status; there are ok, warning, critical and unknown", word)
}

// Worse reports whether a status is worse than another: OK, WARNING, UNKNOWN, CRITICAL.
func (s Status) Worse(than Status) bool { return Rank(s) < Rank(than) }

// Rank puts the worst first: CRITICAL, UNKNOWN, WARNING, OK.
func Rank(s Status) int { return [...]int{3, 2, 0, 1}[s] }

// Output is what a plugin said.
type Output struct {
	Line string   // the first line, without performance data
	Long string   // the lines after it
	Perf []Metric // the performance data, in order
	// Garbled is performance data that no metric could be made of.
	Garbled string
}

// Metric is one value of performance data: 'label'=value[UOM];[warn];[crit];[min];[max]
type Metric struct {
	Label    string
	Value    float64 // NaN: the plugin could not determine it ("U")
	Unit     string  // as the plugin wrote it: "", "s", "ms", "us", "%", "B", "KB", "MB", "GB", "TB", "c"
	Warn     *Range
	Crit     *Range
	Min, Max *float64
	// WarnText and CritText are the thresholds as the plugin wrote them, also where they are no ranges.
	WarnText, CritText string
}

// Range says which values raise an alert: those outside of it, or with Inside those in it.
type Range struct {
	From, To float64 // -Inf and +Inf where it is open
	Inside   bool    // "@": alert inside
}

// Alerts reports whether a value raises an alert.
func (r Range) Alerts(v float64) bool {
	in := v >= r.From && v <= r.To
	return in == r.Inside
}

// String writes the range as plugins do.
func (r Range) String() string {
	s := ""
	if r.Inside {
		s = "@"
	}
	switch {
	case math.IsInf(r.From, -1):
		s += "~:"
	case r.From != 0:
		s += number(r.From) + ":"
	}
	if math.IsInf(r.To, 1) {
		if r.From == 0 {
			s += "0:"
		}
		return s
	}
	return s + number(r.To)
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// ParseOutput reads what a plugin printed: text|perfdata on the first line; then long text, and after another | more
// performance data, to the end (Monitoring Plugins Development Guidelines). Plugins that write text|perfdata on each of
// several lines lose no text.
func ParseOutput(stdout string) Output {
	var o Output
	var perf string
	o.Line, o.Long, perf = SplitOutput(stdout)
	o.Perf, o.Garbled = ParsePerf(perf)
	return o
}

// SplitOutput takes the first line, the long text and the performance data apart, as they were written.
func SplitOutput(stdout string) (line, long, perf string) {
	first, rest, _ := strings.Cut(strings.TrimRight(stdout, "\n"), "\n")
	line, perf, _ = strings.Cut(first, "|")
	data := []string{perf}
	var text []string
	only := false // performance data goes on to the end
	for l := range strings.Lines(rest) {
		l = strings.TrimSuffix(l, "\n")
		before, after, has := strings.Cut(l, "|")
		switch {
		case has:
			text, data, only = append(text, before), append(data, after), true
		case only && isPerf(l):
			data = append(data, l)
		default:
			text = append(text, l)
		}
	}
	return strings.TrimSpace(line), strings.TrimRight(strings.Join(text, "\n"), " \n"), strings.Join(strings.Fields(strings.Join(data, " ")), " ")
}

// isPerf reports whether a line has performance data and nothing else.
func isPerf(line string) bool {
	_, garbled := ParsePerf(line)
	return garbled == ""
}

// ParsePerf reads performance data. What is no metric is given back as garbled; the rest counts.
func ParsePerf(s string) (out []Metric, garbled string) {
	var bad []string
	for s = strings.TrimLeft(s, " \t"); s != ""; s = strings.TrimLeft(s, " \t") {
		label, rest, ok := cutLabel(s)
		if !ok {
			word, after, _ := strings.Cut(s, " ")
			bad = append(bad, word)
			s = after
			continue
		}
		value, after, _ := strings.Cut(rest, " ")
		s = after
		m, err := parseMetric(label, value)
		if err != nil {
			bad = append(bad, label+"="+value)
			continue
		}
		out = append(out, m)
	}
	return out, strings.Join(bad, " ")
}

// cutLabel takes a label and its equals sign off; a quoted one may hold anything, and ” for a quote.
func cutLabel(s string) (label, rest string, ok bool) {
	if !strings.HasPrefix(s, "'") {
		i := strings.IndexAny(s, "= \t'") // and no further: each word of a long text comes here
		if i <= 0 || s[i] != '=' {
			return "", "", false
		}
		return s[:i], s[i+1:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		if i+1 < len(s) && s[i+1] == '=' && b.Len() > 0 {
			return b.String(), s[i+2:], true
		}
		return "", "", false
	}
	return "", "", false
}

// parseMetric reads a metric after its label. An error is of the value or its unit: thresholds that are no ranges stay
// as text.
func parseMetric(label, text string) (Metric, error) {
	m := Metric{Label: label}
	f := strings.Split(text, ";")
	if len(f) > 5 {
		f = f[:5] // some plugins write one more
	}
	if strings.HasPrefix(f[0], "U") {
		m.Value = math.NaN()
	} else {
		n := 0
		for n < len(f[0]) && strings.IndexByte("+-0123456789.,eE", f[0][n]) >= 0 {
			// An E begins a unit unless a number goes on after it.
			if (f[0][n] == 'e' || f[0][n] == 'E') && (n+1 == len(f[0]) || strings.IndexByte("+-0123456789", f[0][n+1]) < 0) {
				break
			}
			n++
		}
		v, err := parseNumber(f[0][:n])
		if err != nil {
			return m, err
		}
		m.Value, m.Unit = v, f[0][n:]
		if len(m.Unit) > 16 {
			return m, fmt.Errorf("%q is no unit", m.Unit)
		}
	}
	for i, field := range f[1:] {
		if field == "" {
			continue
		}
		if i < 2 {
			*[]*string{&m.WarnText, &m.CritText}[i] = field
			r, err := ParseRange(field)
			if err != nil {
				continue // the value counts all the same
			}
			if i == 0 {
				m.Warn = &r
			} else {
				m.Crit = &r
			}
			continue
		}
		v, err := parseNumber(field)
		if err != nil {
			continue
		}
		if i == 2 {
			m.Min = &v
		} else {
			m.Max = &v
		}
	}
	return m, nil
}

// parseNumber reads a number; plugins in some locales write a comma.
func parseNumber(s string) (float64, error) {
	v, err := strconv.ParseFloat(strings.Replace(s, ",", ".", 1), 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = fmt.Errorf("%q is no number", s)
	}
	return v, err
}

// ParseRange reads a threshold: 10, 10:, ~:10, 10:20, @10:20.
func ParseRange(s string) (Range, error) {
	r := Range{From: 0, To: math.Inf(1)}
	text := strings.TrimPrefix(s, "@")
	r.Inside = text != s
	from, to, both := strings.Cut(text, ":")
	if !both {
		from, to = "0", text
	}
	var err error
	switch from {
	case "~":
		r.From = math.Inf(-1)
	case "":
	default:
		if r.From, err = parseNumber(from); err != nil {
			return r, fmt.Errorf("%q is no range as 10, 10:, ~:10, 10:20 or @10:20", s)
		}
	}
	if to != "" {
		if r.To, err = parseNumber(to); err != nil {
			return r, fmt.Errorf("%q is no range as 10, 10:, ~:10, 10:20 or @10:20", s)
		}
	} else if !both {
		return r, fmt.Errorf("a range is empty")
	}
	if r.From > r.To {
		return r, fmt.Errorf("%q is no range: %s is more than %s", s, from, to)
	}
	return r, nil
}
