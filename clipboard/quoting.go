package clipboard

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// escapes begin every form in which a program writes a character otherwise than as it is.
const escapes = `\%&'"+`

// otherNames are what some characters are called besides.
var otherNames = map[rune][]string{
	' ': {`+`}, '\'': {`'\''`, `'"'"'`, `''`, `&apos;`}, '"': {`&quot;`, `""`}, '&': {`&amp;`}, '<': {`&lt;`}, '>': {`&gt;`},
	'\u0085': {`\N`}, '\u00a0': {`\_`},
}

// letters are what stands for some characters after a backslash, or two.
var letters = map[rune]string{'\n': "n", '\t': "t", '\r': "r", '\a': "a", '\x1b': "eE"}

// hideQuoted gives s without the secret where each of its characters is written in any of the ways in which programs
// quote it: by backslashes (shell, JSON, YAML, Go), in single quotes, for a URL, as HTML. Nothing is prepared for it:
// every clipboard has its own secrets, and few texts have a quoted one.
func hideQuoted(s, secret string) string {
	var b strings.Builder
	for {
		at, n, slow := firstQuoted(s, secret)
		if slow {
			return Mask // made to be slow: nothing of it is shown
		}
		if n == 0 {
			break
		}
		b.WriteString(s[:at] + Mask)
		s = s[at+n:]
	}
	if b.Len() == 0 {
		return s
	}
	return b.String() + s
}

// firstQuoted finds the secret in s, however each of its characters is written; n is how long it is there, 0 when it is
// not. slow: the text takes too long to read.
func firstQuoted(s, secret string) (at, n int, slow bool) {
	begins := escapes + secret[:1]
	left := 8*len(s) + 1_000_000
	for i := range len(s) {
		if strings.IndexByte(begins, s[i]) < 0 {
			continue
		}
		n, steps := quotedLen(s[i:], secret, left)
		if left -= steps; left < 0 {
			return 0, 0, true
		}
		if n > 0 {
			return i, n, false
		}
	}
	return 0, 0, false
}

// quotedLen gives how much of the beginning of s is the secret, the longest way to read it; 0: it is none. steps is
// what it took to see that; more than left when it gave up.
func quotedLen(s, secret string, left int) (n, steps int) {
	at := []int{0} // where the characters read so far may end; a row of backslashes can be read in many ways
	for _, r := range secret {
		var next []int
		for _, i := range at {
			next = appendEnds(next, s[i:], i, r)
			if steps += 1 + len(next)/16; steps > left {
				return 0, steps
			}
		}
		if len(next) == 0 {
			return 0, steps
		}
		at = next
	}
	return slices.Max(at), steps
}

// appendEnds appends each place at which r ends when it is written at the beginning of s, which is at base. A place
// stands there once.
func appendEnds(ends []int, s string, base int, r rune) []int {
	add := func(n int) {
		if n > 0 && !slices.Contains(ends, base+n) {
			ends = append(ends, base+n)
		}
	}
	lit := string(r)
	for k := 0; k <= 4 && k < len(s); k++ { // as it is, after up to four backslashes
		if strings.HasPrefix(s[k:], lit) {
			add(k + len(lit))
		}
		if s[k] != '\\' {
			break
		}
	}
	if s == "" || strings.IndexByte(escapes, s[0]) < 0 {
		return ends
	}
	for _, name := range otherNames[r] {
		if strings.HasPrefix(s, name) {
			add(len(name))
		}
	}
	switch s[0] {
	case '%':
		add(each(lit, s, func(t string, c byte) int {
			n := prefixFold(t, fmt.Sprintf("%%%02x", c))
			if n == 0 { // escaped twice
				n = prefixFold(t, fmt.Sprintf("%%25%02x", c))
			}
			return n
		}))
	case '&':
		add(zeros(s, "&#x", fmt.Sprintf("%x;", r), len(s)))
		add(zeros(s, "&#", fmt.Sprintf("%d;", r), len(s)))
	case '\\':
		for _, slash := range []string{`\`, `\\`} {
			rest, ok := strings.CutPrefix(s, slash)
			if !ok || rest == "" {
				break
			}
			switch c := rest[0]; {
			case c == 'u' || c == 'U':
				add(zeros(s, slash+"u", fmt.Sprintf("%04x", r), 4))
				if r > 0xffff {
					hi, lo := utf16.EncodeRune(r)
					add(prefixFold(s, fmt.Sprintf(slash+"u%04x"+slash+"u%04x", hi, lo)))
				}
			case c == 'x' || c == 'X':
				add(each(lit, s, func(t string, c byte) int { return prefixFold(t, slash+fmt.Sprintf("x%02x", c)) }))
				if r < 0x100 {
					add(prefixFold(s, slash+fmt.Sprintf("x%02x", r))) // YAML and Python name the character, not its bytes
				}
			case c >= '0' && c <= '7':
				add(each(lit, s, func(t string, c byte) int { return zeros(t, slash, fmt.Sprintf("%03o", c), 1) }))
			case strings.IndexByte(letters[r], c) >= 0:
				add(len(slash) + 1)
			}
		}
	}
	return ends
}

// each reads the bytes of a character one after the other, and gives the length of all.
func each(lit, s string, one func(t string, c byte) int) int {
	n := 0
	for i := range len(lit) {
		m := one(s[n:], lit[i])
		if m == 0 {
			return 0
		}
		n += m
	}
	return n
}

// zeros gives the length of head and tail at the beginning of s, with up to most zeros between them; 0 if they are not
// there.
func zeros(s, head, tail string, most int) int {
	n := prefixFold(s, head)
	if n == 0 {
		return 0
	}
	for z := 0; z <= most && n+z < len(s); z++ {
		if m := prefixFold(s[n+z:], tail); m > 0 {
			return n + z + m
		}
		if s[n+z] != '0' {
			return 0
		}
	}
	return 0
}

// prefixFold gives the length of prefix when s begins with it in capitals or small letters, else 0.
func prefixFold(s, prefix string) int {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return 0
	}
	return len(prefix)
}
