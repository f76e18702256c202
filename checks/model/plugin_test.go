package model

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func (m Metric) text() string {
	s := fmt.Sprintf("%s=%s%s", m.Label, number(m.Value), m.Unit)
	for _, r := range []*Range{m.Warn, m.Crit} {
		s += ";"
		if r != nil {
			s += r.String()
		}
	}
	for _, v := range []*float64{m.Min, m.Max} {
		s += ";"
		if v != nil {
			s += number(*v)
		}
	}
	return s
}

func TestParseOutput(t *testing.T) {
	for _, c := range []struct{ out, line, long, perf, garbled string }{
		{"PING OK - Packet loss = 0%, RTA = 0.80 ms|rta=0.800000ms;100.000000;500.000000;0.000000 pl=0%;20;60;0\n", "PING OK - Packet loss = 0%, RTA = 0.80 ms", "", "rta=0.8ms;100;500;0; pl=0%;20;60;0;", ""},
		{"OK\n", "OK", "", "", ""},
		{"", "", "", "", ""},
		{"DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n/ 15272 MB (77%);\n/boot 68 MB (69%); | /boot=68MB;88;93;0;98\n/home=69357MB;253404;253409;0;253414\n", "DISK OK - free space: / 3326 MB (56%);",
			"/ 15272 MB (77%);\n/boot 68 MB (69%);", "/=2643MB;5948;5958;0;5968 /boot=68MB;88;93;0;98 /home=69357MB;253404;253409;0;253414", ""},
		{"OK|'Used: it''s / x'=3%;@10:20;~:30;;\n", "OK", "", "Used: it's / x=3%;@10:20;~:30;;", ""},
		{"OK|a=U b=1,5s c=-2.5e3B d=3E\n", "OK", "", "a=NaN;;;; b=1.5s;;;; c=-2500B;;;; d=3E;;;;", ""},
		{"OK|a=1 oops 'never closed=3 b=2\n", "OK", "", "a=1;;;; closed=3;;;; b=2;;;;", "oops 'never"},
		{"OK|a=1;x;20:10;y;z\n", "OK", "", "a=1;;;;", ""},
		{"OK: two | a=1\nfirst fine | b=2\nsecond bad | c=3\nlast words\n", "OK: two", "first fine \nsecond bad \nlast words", "a=1;;;; b=2;;;; c=3;;;;", ""},
		{"OK|=1 b= c=1e999\n", "OK", "", "", "=1 b= c=1e999"},
		{"LOAD OK|load1=0.010;5.000;10.000;0; load5=0.020;4.000;6.000;0;\n", "LOAD OK", "", "load1=0.01;5;10;0; load5=0.02;4;6;0;", ""},
	} {
		o := ParseOutput(c.out)
		var perf []string
		for _, m := range o.Perf {
			perf = append(perf, m.text())
		}
		if o.Line != c.line || o.Long != c.long || strings.Join(perf, " ") != c.perf || o.Garbled != c.garbled {
			t.Errorf("%q\n%q %q\n%s\n%q", c.out, o.Line, o.Long, strings.Join(perf, " "), o.Garbled)
		}
	}
}

// The examples of the guidelines' table, and what they say.
func TestRanges(t *testing.T) {
	for _, c := range []struct {
		text       string
		alert, not []float64
	}{
		{"10", []float64{-1, 11}, []float64{0, 10}},
		{"10:", []float64{9, -10}, []float64{10, 1e9}},
		{"~:10", []float64{11}, []float64{-1e9, 10}},
		{"10:20", []float64{9, 21}, []float64{10, 15, 20}},
		{"@10:20", []float64{10, 15, 20}, []float64{9, 21}},
	} {
		r, err := ParseRange(c.text)
		if err != nil || r.String() != c.text {
			t.Errorf("%q: %v, %v", c.text, r, err)
		}
		for _, v := range c.alert {
			if !r.Alerts(v) {
				t.Errorf("%g does not alert for %s", v, c.text)
			}
		}
		for _, v := range c.not {
			if r.Alerts(v) {
				t.Errorf("%g alerts for %s", v, c.text)
			}
		}
	}
	for _, s := range []string{"", "@", "x", "1:x", "20:10", "NaN", "1e999"} {
		if r, err := ParseRange(s); err == nil {
			t.Errorf("%q passes as %v", s, r)
		}
	}
}

func FuzzParseOutput(f *testing.F) {
	for _, s := range []string{"OK|a=1;2;3;4;5 'b c'=2%", "a\nb|c=U\nd=1", "|||", "x|'''='=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o := ParseOutput(s)
		if strings.ContainsAny(o.Line, "\n|") {
			t.Errorf("the line is %q", o.Line)
		}
		for _, m := range o.Perf {
			if m.Label == "" || math.IsInf(m.Value, 0) {
				t.Errorf("%+v", m)
			}
		}
	})
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"10", "@~:5", "1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRange(s)
		if err != nil {
			return
		}
		again, err := ParseRange(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %q, and that is %v, %v", s, r, again, err)
		}
	})
}

// A plugin that went wrong may print anything, up to the most that is kept of an output: it is read in time. Each of
// these once took seconds, in which no other result was taken.
func TestAnyOutputIsReadInTime(t *testing.T) {
	const most = 1 << 20
	for name, piece := range map[string]string{"bars": "|\n", "bars with a value": "x|a=1\n", "words": "word ", "quotes": "'a ", "pairs of quotes": "''a ", "words after a bar": "|w w w w "} {
		for before, text := range map[string]string{"": "", "after performance data": "OK|a=1\nmore|b=2\n"} {
			text += strings.Repeat(piece, most/len(piece))
			begin := time.Now()
			SplitOutput(text)
			ParsePerf(text)
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("%s %s: %s", name, before, took)
			}
		}
	}
}
