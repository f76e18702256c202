package docs

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark/ast"
)

// plain gives the text of a node without its markup.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	if n.IsRaw() { // a block of code
		for i := range n.Lines().Len() {
			l := n.Lines().At(i)
			b.Write(l.Value(source))
		}
		return b.String()
	}
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			b.Write(c.Segment.Value(source))
			if c.SoftLineBreak() || c.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(c.Value)
		case *ast.AutoLink:
			b.Write(c.Label(source))
		default:
			b.WriteString(plain(c, source))
		}
	}
	return b.String()
}

// anchors gives headings the anchors that GitHub gives them: small letters, digits, - and _; a space is a -.
type anchors map[string]int

// Generate is called by goldmark for each heading.
func (a anchors) Generate(value []byte, _ ast.NodeKind) []byte {
	id := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, string(value))
	n := a[id]
	a[id]++
	if n > 0 {
		id += "-" + strconv.Itoa(n)
	}
	return []byte(id)
}

// Put is called by goldmark for an anchor that stands in the text.
func (a anchors) Put(value []byte) { a[string(value)]++ }
