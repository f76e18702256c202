package config

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// standIn is one ${…} of the file, and what was put in for it.
type standIn struct{ said, value, key string }

// piece is how many characters of a value give it away at its own key, where a message may quote a part of it only.
const piece = 6

// scheme is what an address begins with: a piece of a value that is in a message's own words as well.
var scheme = pattern.New(`(?i)^[^a-z0-9]*(?:https?|ldaps?|ldapi|postgres(?:ql)?|qemu|unix|ssh)?(?:\+[a-z]+)?:?/*$`)

// conceal puts ${…}, as it stands in the file, in the place of what was put in for it. Whoever reads what is wrong with
// a file, as in a log, need not be who may read what it names; and nobody can tell which of these are secrets. At the
// key of a value every longer piece of it counts, for a message may quote a part: a line, a host, a word.
//
//	… "ftp://u:hunter22@x" is not … ──► … "ftp://u:${file:pw}@x" is not …
func (r *reading) conceal(text, key string) string {
	if len(r.standIns) == 0 || text == "" {
		return text
	}
	list := slices.Clone(r.standIns)
	slices.SortStableFunc(list, func(a, b standIn) int { return len(b.value) - len(a.value) })
	// A rune of its own stands for each until all are found: what is put in is not looked at again.
	var last []string
	for i, s := range list {
		sign := string(rune(0xF0000 + i))
		last = append(last, sign, s.said)
		for _, form := range forms(s.value) {
			if len(form) >= shortest || key != "" && r.near(s.key, key) && len(form) > 2 {
				text = replaceFold(text, form, sign)
			} else {
				text = replaceWord(text, form, sign)
			}
		}
		if key != "" && r.near(s.key, key) {
			text = hidePieces(text, s.value, sign)
		}
	}
	return strings.NewReplacer(last...).Replace(text)
}

// near reports whether a value that stands at one key may be quoted by what is told of another.
func (r *reading) near(at, told string) bool {
	at, told = strings.ReplaceAll(at, "[0]", ""), strings.ReplaceAll(told, "[0]", "")
	if at == told || below(at, told) || below(told, at) {
		return true
	}
	return slices.ContainsFunc(r.aliases, func(k string) bool { return k == told || below(k, told) || below(told, k) })
}

// forms are the ways in which a message writes a value as a whole, the longest first.
func forms(v string) []string {
	quoted := strconv.Quote(v)
	out := []string{v, quoted[1 : len(quoted)-1], plain.Line(v), strings.TrimSpace(v), url.QueryEscape(v), url.PathEscape(v)}
	out = slices.DeleteFunc(out, func(s string) bool { return s == "" })
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(out)
}

// replaceFold replaces in whatever case: names are told in small letters.
func replaceFold(text, form, by string) string {
	low, find := lower(text), lower(form)
	if !strings.Contains(low, find) {
		return text
	}
	var b strings.Builder
	for {
		i := strings.Index(low, find)
		if i < 0 {
			return b.String() + text
		}
		b.WriteString(text[:i] + by)
		text, low = text[i+len(find):], low[i+len(find):]
	}
}

// replaceWord replaces what is a word by itself: a short value would make holes in others.
func replaceWord(text, form, by string) string {
	re, err := regexp.Compile(`(?i)(^|[^A-Za-z0-9])` + regexp.QuoteMeta(form) + `($|[^A-Za-z0-9])`)
	if err != nil {
		return text
	}
	for range 2 { // neighbours share what is between them
		text = re.ReplaceAllString(text, "${1}"+by+"${2}")
	}
	return text
}

// hidePieces replaces what a text and a value have in common, of piece characters and more.
func hidePieces(text, value, by string) string {
	low, v := lower(text), lower(value)
	known := map[string]bool{}
	for i := 0; i+piece <= len(v); i++ {
		known[v[i:i+piece]] = true
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		end := i
		for at := i; at+piece <= len(low) && at < max(end, i+1) && known[low[at:at+piece]]; at++ {
			end = at + piece
		}
		if end == i || scheme.MatchString(low[i:end]) {
			b.WriteByte(text[i])
			i++
			continue
		}
		b.WriteString(by)
		i = end
	}
	return b.String()
}

// lower gives ASCII letters as small ones, so that every character stays where it is.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Conceal gives a text about this configuration without what its ${…} stand for.
func (c *Config) Conceal(text string) string {
	if c == nil || c.read == nil {
		return text
	}
	return c.read.conceal(text, "")
}

// Wrong gives what a package says of its part of this configuration as an Errors.
func (c *Config) Wrong(err error) error {
	r := *cmp.Or(c.read, &reading{})
	r.file, r.wrong, r.others = cmp.Or(r.file, "configuration"), nil, nil
	r.add(err, "configuration")
	return r.err()
}

// note adds what is wrong. It is the only one that does, and err the only one that gives it away.
func (r *reading) note(key string, line int, msg string) {
	r.wrong = append(r.wrong, &Error{File: r.file, Line: line, Msg: plain.Line(msg), key: plain.Line(key)})
}

// hidden gives a mistake as it may be read by anybody. Keys are never put in from elsewhere.
func (r *reading) hidden(e *Error) *Error {
	out := *e
	if rest, ok := strings.CutPrefix(e.Msg, e.key); ok {
		out.Msg = e.key + r.conceal(rest, e.key)
	} else {
		out.Msg = r.conceal(e.Msg, e.key)
	}
	return &out
}
