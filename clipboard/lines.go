package clipboard

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// line is one line of a document with the end it was written with: "\n", "\r\n", "\r" (YAML 1.2 §5.4), or "" for a last
// line without one.
type line struct{ text, end string }

// document is the text as lines. They are counted as the parser counts them, so that a node's Line finds its own.
type document struct {
	lines []line
	eol   string // what new lines end with: what the first line ends with
}

// split cuts a text at what ends a line in YAML 1.2. What other tools take for the end of a line does not get here:
// Parse refuses it.
func split(src []byte) *document {
	d := &document{eol: "\n"}
	s := string(src)
	for s != "" {
		i := strings.IndexAny(s, "\r\n")
		if i < 0 {
			d.lines = append(d.lines, line{text: s})
			break
		}
		end := s[i : i+1]
		if strings.HasPrefix(s[i:], "\r\n") {
			end = "\r\n"
		}
		d.lines = append(d.lines, line{s[:i], end})
		s = s[i+len(end):]
	}
	if len(d.lines) > 0 && d.lines[0].end != "" {
		d.eol = d.lines[0].end
	}
	return d
}

// join gives the text back byte by byte; only a last line without an end gets one, when another came after it.
func (d *document) join() []byte {
	var b bytes.Buffer
	for i, l := range d.lines {
		b.WriteString(l.text)
		if l.end == "" && i < len(d.lines)-1 { // it was the last one, and something came after it
			l.end = d.eol
		}
		b.WriteString(l.end)
	}
	return b.Bytes()
}

// replace puts lines in the place of those from first up to, but without, end.
func (d *document) replace(first, end int, texts ...string) {
	fresh := make([]line, len(texts))
	for i, t := range texts {
		fresh[i] = line{t, d.eol}
	}
	d.lines = append(d.lines[:first:first], append(fresh, d.lines[end:]...)...)
}

// oddBreaks are characters that the parser's YAML 1.1 takes for the end of a line, and YAML 1.2 and editors do not
// (NEL, LS, PS), and the byte order mark, which means something at the very start only.
const oddBreaks = "\u0085\u2028\u2029\ufeff"

// refuseOddBreaks finds what two readers of the document would not agree on: where a line ends. A `!secret` that one
// sees in another line than the other would be left in clear.
func refuseOddBreaks(src []byte) error {
	if !hasOddBreaks(src) {
		return nil
	}
	i := bytes.IndexAny(src, oddBreaks)
	before := split(src[:i]).lines
	n, col := 1, 1
	if len(before) > 0 {
		last := before[len(before)-1]
		if n = len(before); last.end == "" {
			col = len([]rune(last.text)) + 1
		} else {
			n++
		}
	}
	r := []rune(string(src[i:min(len(src), i+4)]))[0]
	return &SyntaxError{Line: n, Column: col, Msg: fmt.Sprintf("there is the invisible character U+%04X here, which some programs take for the end of a line", r),
		Hint: fmt.Sprintf(`remove it, or write "\u%04x" in double quotes`, r)}
}

// hasOddBreaks is fast where there are none, as in almost every document: each edit asks.
func hasOddBreaks(src []byte) bool {
	for _, odd := range [][]byte{[]byte("\u0085"), []byte("\u2028"), []byte("\u2029"), []byte("\ufeff")} {
		if bytes.Contains(src, odd) {
			return true
		}
	}
	return false
}

// extent gives the first and last line (from 0) of entry i in the mapping under the top-level key.
func (d *document) extent(root *yaml.Node, top string, i int) (first, last int) {
	t := index(root, top)
	m := root.Content[t+1]
	end := len(d.lines)
	if t+2 < len(root.Content) {
		end = root.Content[t+2].Line - 1
	}
	if i+2 < len(m.Content) {
		end = m.Content[i+2].Line - 1
	}
	k := m.Content[i]
	first = k.Line - 1
	last = max(first, min(end, len(d.lines))-1)
	for _, l := range d.lines[first:last] {
		if keepBlank.MatchString(l.text) {
			return first, last // `|+` keeps the blank lines after it: they are part of the value
		}
	}
	for last > first {
		l := d.lines[last].text
		t := strings.TrimLeft(l, " \t")
		indent := len(l) - len(strings.TrimLeft(l, " "))
		if t == "" || strings.HasPrefix(t, "#") && indent < k.Column || strings.HasPrefix(l, "...") || strings.HasPrefix(l, "---") {
			last--
			continue
		}
		break
	}
	return first, last
}

// entry lays out `key: value` with the lines below it.
func entry(indent, key string, text []string, comment string) []string {
	head := indent + key
	if text[0] != "" {
		head += " " + text[0]
	}
	if comment != "" {
		head += " " + comment
	}
	out := []string{head}
	for _, l := range text[1:] {
		out = append(out, indent+"  "+l)
	}
	return out
}

// keyText gives the key as written, quotes and colon included.
func keyText(line string, k *yaml.Node) string {
	rest := line[byteColumn(line, k.Column):]
	n := len(k.Value)
	if k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && rest != "" {
		n = 1 + strings.IndexByte(rest[1:], rest[0]) + 1
	}
	if i := strings.IndexByte(rest[min(n, len(rest)):], ':'); i >= 0 {
		n += i + 1
	}
	return rest[:min(n, len(rest))]
}

// byteColumn turns a column in characters (from 1) into a byte offset.
func byteColumn(line string, col int) int {
	n := 0
	for i := range line {
		if n++; n == col {
			return i
		}
	}
	return len(line)
}

var keepBlank = pattern.New(`[|>][0-9]?\+`)
