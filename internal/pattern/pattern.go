// Package pattern has regular expressions for package-level variables: one is compiled when it is first used, and not
// at each start of the program, which uses few of them. Together they took a tenth of the time from exec(2) to main,
// and a megabyte.
//
// Everybody may import it. It starts no goroutine. internal/floors refuses regexp.MustCompile in a package-level
// variable, and compiles each expression given to New: a wrong one fails a test, and not whoever comes by first.
package pattern

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression (syntax of package regexp). It is safe for concurrent use. Its methods are those of
// regexp.Regexp.
type Pattern struct {
	expr string
	once sync.Once
	re   *regexp.Regexp
}

// New only remembers the expression: the compiler makes data of it, so it costs nothing at a start. One that is wrong
// panics at its first use.
func New(expr string) *Pattern { return &Pattern{expr: expr} }

// Regexp compiles it, once.
func (p *Pattern) Regexp() *regexp.Regexp {
	p.once.Do(func() { p.re = regexp.MustCompile(p.expr) })
	return p.re
}

// MatchString is regexp.Regexp's.
func (p *Pattern) MatchString(s string) bool { return p.Regexp().MatchString(s) }

// FindString is regexp.Regexp's.
func (p *Pattern) FindString(s string) string { return p.Regexp().FindString(s) }

// FindStringSubmatch is regexp.Regexp's.
func (p *Pattern) FindStringSubmatch(s string) []string { return p.Regexp().FindStringSubmatch(s) }

// FindAllString is regexp.Regexp's.
func (p *Pattern) FindAllString(s string, n int) []string { return p.Regexp().FindAllString(s, n) }

// FindAllStringSubmatch is regexp.Regexp's.
func (p *Pattern) FindAllStringSubmatch(s string, n int) [][]string {
	return p.Regexp().FindAllStringSubmatch(s, n)
}

// FindSubmatch is regexp.Regexp's.
func (p *Pattern) FindSubmatch(b []byte) [][]byte { return p.Regexp().FindSubmatch(b) }

// FindAllSubmatch is regexp.Regexp's.
func (p *Pattern) FindAllSubmatch(b []byte, n int) [][][]byte {
	return p.Regexp().FindAllSubmatch(b, n)
}

// ReplaceAll is regexp.Regexp's.
func (p *Pattern) ReplaceAll(src, repl []byte) []byte { return p.Regexp().ReplaceAll(src, repl) }

// ReplaceAllString is regexp.Regexp's.
func (p *Pattern) ReplaceAllString(src, repl string) string {
	return p.Regexp().ReplaceAllString(src, repl)
}

// ReplaceAllLiteralString is regexp.Regexp's.
func (p *Pattern) ReplaceAllLiteralString(src, repl string) string {
	return p.Regexp().ReplaceAllLiteralString(src, repl)
}

// ReplaceAllStringFunc is regexp.Regexp's.
func (p *Pattern) ReplaceAllStringFunc(src string, repl func(string) string) string {
	return p.Regexp().ReplaceAllStringFunc(src, repl)
}
