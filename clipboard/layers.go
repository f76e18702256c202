package clipboard

import (
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A text may have been quoted more than once: a shell's line in JSON, JSON in JSON in JSON, HTML in a URL. So the
// quoting is undone, layer by layer and in each order, and the secret is looked for in what comes out. Each byte of
// that knows from where it came, so that the mask goes into the text as it is.

// view is a text with some of its quoting undone: byte i came from[i] to upto[i] of the text as it is.
type view struct {
	text       string
	from, upto []int32
}

// undo is one way of quoting: it gives what stands at s[i:] without it, and how long that is there; 0: nothing of its
// kind.
type undo func(s string, i int) (plain string, n int)

// nested are the ways that come in layers; outer are those that come last, around all others. Each has the characters
// without which it is not there.
var nested, outer = []way{{`\`, undoBackslash}, {"%", undoPercent}, {"&", undoEntity}, {`'"`, undoQuotes}, {`'"`, undoShell}},
	[]way{{"=", undoPrintable}, {`\`, undoHexPair}, {`\`, undoDecimal}, {"$%", undoDouble}, {"`", undoSign('`')}, {"^", undoSign('^')}, {" \n", undoBlanks}, {", ", undoNumbers}}

// layered are all signs of all ways.
const layered = "\\%&'\"=$`^ \n,"

type way struct {
	signs string
	undo  undo
}

const (
	maxLayers = 3
	maxViews  = 200 // a text that has more was made to be slow, and is masked whole
)

// hideLayered gives s without the secret where it is quoted more than once, or in a way of its own.
func hideLayered(s, secret string) string {
	ways := slices.Concat(nested, outer)
	if core := longestWord(secret); len(core) >= 4 && !strings.Contains(s, core) {
		// Letters and digits stand for themselves in every layer, but in a list of bytes.
		if strings.Count(s, ",")+strings.Count(s, " ") < len(secret)-1 || fewDigits(s, 2*len(secret)) {
			return s
		}
		ways = []way{{", ", undoNumbers}}
	}
	seen := map[string]bool{s: true}
	layer := []view{whole(s)}
	for range maxLayers {
		var next []view
		for _, v := range layer {
			for _, w := range ways {
				if !strings.ContainsAny(v.text, w.signs) {
					continue
				}
				n := v.without(w.undo)
				if n.text == v.text || seen[n.text] {
					continue
				}
				if seen[n.text] = true; len(seen) > maxViews {
					return Mask
				}
				at, size, slow := firstQuoted(n.text, secret)
				if slow {
					return Mask
				}
				if size > 0 {
					return s[:n.from[at]] + Mask + hideLayered(s[n.upto[at+size-1]:], secret)
				}
				next = append(next, n)
			}
		}
		layer = next
		if len(ways) > len(nested) {
			ways = nested
		}
	}
	return s
}

// fewDigits reports whether s has fewer digits than least, and counts no further than that.
func fewDigits(s string, least int) bool {
	for i := 0; i < len(s) && least > 0; i++ {
		if s[i] >= '0' && s[i] <= '9' {
			least--
		}
	}
	return least > 0
}

// whole is a text as it is.
func whole(s string) view {
	v := view{text: s, from: make([]int32, len(s)), upto: make([]int32, len(s))}
	for i := range len(s) {
		v.from[i], v.upto[i] = int32(i), int32(i+1)
	}
	return v
}

// without undoes one way of quoting in a view. Bytes that make no UTF-8 are taken for Latin-1.
func (v view) without(f undo) view {
	var b strings.Builder
	out := view{from: make([]int32, 0, len(v.text)), upto: make([]int32, 0, len(v.text))}
	add := func(text string, from, upto int32) {
		b.WriteString(text)
		for range len(text) {
			out.from, out.upto = append(out.from, from), append(out.upto, upto)
		}
	}
	for i := 0; i < len(v.text); {
		if plain, n := f(v.text, i); n > 0 {
			add(plain, v.from[i], v.upto[i+n-1])
			i += n
			continue
		}
		add(v.text[i:i+1], v.from[i], v.upto[i])
		i++
	}
	if out.text = b.String(); utf8.ValidString(out.text) {
		return out
	}
	return out.latin1()
}

// latin1 takes bytes that are no UTF-8 for characters of Latin-1; each byte of the result still knows its place.
func (v view) latin1() view {
	var b strings.Builder
	out := view{}
	for i := 0; i < len(v.text); {
		r, n := utf8.DecodeRuneInString(v.text[i:])
		if r == utf8.RuneError && n == 1 {
			r = rune(v.text[i])
		}
		for range utf8.RuneLen(r) {
			out.from, out.upto = append(out.from, v.from[i]), append(out.upto, v.upto[i+n-1])
		}
		b.WriteRune(r)
		i += n
	}
	out.text = b.String()
	return out
}

// longestWord gives the longest row of letters and digits.
func longestWord(s string) string {
	best := ""
	for _, w := range strings.FieldsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	}) {
		if len(w) > len(best) {
			best = w
		}
	}
	return best
}

// isHex refuses a sign and an underscore, which ParseUint alone would take.
func isHex(s string) bool {
	_, err := strconv.ParseUint(s, 16, 32)
	return err == nil && !strings.ContainsAny(s, "+_")
}

func fromHex(s string) uint32 {
	n, _ := strconv.ParseUint(s, 16, 32)
	return uint32(n)
}

// hexAt gives up to most hex digits of s from i on.
func hexAt(s string, i, most int) string {
	j := i
	for j < len(s) && j-i < most && isHex(s[j:j+1]) {
		j++
	}
	return s[i:j]
}

// undoBackslash knows the escapes of JSON, Go, C, Python, Perl, JavaScript and the shell's double quotes.
func undoBackslash(s string, i int) (string, int) {
	if s[i] != '\\' || i+1 >= len(s) {
		return "", 0
	}
	c := s[i+1]
	switch c {
	case 'n', 't', 'r', 'a', 'b', 'f', 'v', 'e':
		return string("\n\t\r\a\b\f\v\x1b"[strings.IndexByte("ntrabfve", c)]), 2
	case '\n': // goes on in the next line, whose indent does not count
		j := i + 2
		for j < len(s) && (s[j] == ' ' || s[j] == '\t') {
			j++
		}
		return "", j - i
	case 'u', 'U', 'x', 'X':
		return undoNumber(s, i, c)
	}
	if c >= '0' && c <= '7' {
		j := i + 1
		for j < len(s) && j-i <= 3 && s[j] >= '0' && s[j] <= '7' {
			j++
		}
		n, _ := strconv.ParseUint(s[i+1:j], 8, 16)
		return string([]byte{byte(n)}), j - i
	}
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 {
		return "", 0
	}
	return s[i+1 : i+2], 2
}

// undoNumber reads \xHH, \x{H…}, \uHHHH, \u{H…} and \UHHHHHHHH.
func undoNumber(s string, i int, c byte) (string, int) {
	if i+2 < len(s) && s[i+2] == '{' {
		h := hexAt(s, i+3, 8)
		if end := i + 3 + len(h); h != "" && end < len(s) && s[end] == '}' {
			return string(rune(fromHex(h))), end + 1 - i
		}
		return "", 0
	}
	size := map[byte]int{'x': 2, 'X': 2, 'u': 4, 'U': 8}[c]
	h := hexAt(s, i+2, size)
	if len(h) < size {
		return "", 0
	}
	n := fromHex(h)
	if size == 2 {
		return string([]byte{byte(n)}), 4
	}
	if utf16.IsSurrogate(rune(n)) && strings.HasPrefix(s[i+6:], `\u`) {
		if low := hexAt(s, i+8, 4); len(low) == 4 {
			return string(utf16.DecodeRune(rune(n), rune(fromHex(low)))), 12
		}
	}
	return string(rune(n)), 2 + size
}

func undoPercent(s string, i int) (string, int) { return hexByte(s, i, '%') }

// undoPrintable is quoted-printable (RFC 2045 §6.7).
func undoPrintable(s string, i int) (string, int) {
	if s[i] == '=' && strings.HasPrefix(s[i+1:], "\n") {
		return "", 2
	}
	if s[i] == '=' && strings.HasPrefix(s[i+1:], "\r\n") {
		return "", 3
	}
	return hexByte(s, i, '=')
}

// undoHexPair is how LDAP writes a byte (RFC 4514 §2.4, RFC 4515 §3).
func undoHexPair(s string, i int) (string, int) { return hexByte(s, i, '\\') }

// hexByte reads a sign and two hex digits, as %41; n is 0 where they are not there.
func hexByte(s string, i int, sign byte) (string, int) {
	if s[i] != sign {
		return "", 0
	}
	h := hexAt(s, i+1, 2)
	if len(h) < 2 {
		return "", 0
	}
	return string([]byte{byte(fromHex(h))}), 3
}

// undoDecimal is how DNS writes a byte (RFC 1035 §5.1).
func undoDecimal(s string, i int) (string, int) {
	if s[i] != '\\' || i+4 > len(s) {
		return "", 0
	}
	n, err := strconv.ParseUint(s[i+1:i+4], 10, 8)
	if err != nil {
		return "", 0
	}
	return string([]byte{byte(n)}), 4
}

// undoEntity reads an entity of HTML of at most 12 bytes, as &amp; or &#x41;
func undoEntity(s string, i int) (string, int) {
	if s[i] != '&' {
		return "", 0
	}
	end := strings.IndexByte(s[i:min(len(s), i+12)], ';')
	if end < 0 {
		return "", 0
	}
	token := s[i : i+end+1]
	if plain := html.UnescapeString(token); plain != token {
		return plain, len(token)
	}
	return "", 0
}

// undoQuotes is a shell's: quotes go, and a backslash outside of them stands for what follows.
func undoQuotes(s string, i int) (string, int) {
	switch {
	case s[i] == '\'' || s[i] == '"':
		return "", 1
	case s[i] == '\\' && i+1 < len(s):
		return s[i+1 : i+2], 2
	}
	return "", 0
}

// undoShell reads a shell's words as it does: in single quotes a backslash is a backslash.
func undoShell(s string, i int) (string, int) {
	switch s[i] {
	case '\\':
		if i+1 < len(s) {
			return s[i+1 : i+2], 2
		}
	case '\'':
		if end := strings.IndexByte(s[i+1:], '\''); end >= 0 {
			return s[i+1 : i+1+end], end + 2
		}
	case '"':
		var b strings.Builder
		for j := i + 1; j < len(s); j++ {
			switch {
			case s[j] == '"':
				return b.String(), j + 1 - i
			case s[j] == '\\' && j+1 < len(s) && strings.IndexByte("$`\"\\\n", s[j+1]) >= 0:
				j++
			}
			b.WriteByte(s[j])
		}
	}
	return "", 0
}

// undoDouble is for those who write a sign twice: docker compose ($$), systemd and ini files (%%).
func undoDouble(s string, i int) (string, int) {
	if (s[i] == '$' || s[i] == '%') && i+1 < len(s) && s[i+1] == s[i] {
		return s[i : i+1], 2
	}
	return "", 0
}

// undoSign is for those who have another sign than the backslash: PowerShell, cmd.exe.
func undoSign(sign byte) undo {
	return func(s string, i int) (string, int) {
		if s[i] == sign && i+1 < len(s) {
			return s[i+1 : i+2], 2
		}
		return "", 0
	}
}

// undoBlanks makes one blank of each row of blanks and line ends: a passphrase may have been wrapped.
func undoBlanks(s string, i int) (string, int) {
	j := i
	for j < len(s) && strings.IndexByte(" \t\r\n", s[j]) >= 0 {
		j++
	}
	if j == i {
		return "", 0
	}
	return " ", j - i
}

// undoNumbers reads lists of bytes: [112, 97], 0x70, 0x61.
func undoNumbers(s string, i int) (string, int) {
	if s[i] < '0' || s[i] > '9' || i > 0 && (s[i-1] >= '0' && s[i-1] <= '9' || s[i-1] >= 'a' && s[i-1] <= 'z') {
		return "", 0
	}
	digits, base := s[i:min(len(s), i+3)], 10
	skip := 0
	if strings.HasPrefix(s[i:], "0x") || strings.HasPrefix(s[i:], "0X") {
		digits, base, skip = hexAt(s, i+2, 2), 16, 2
	} else if k := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); k >= 0 {
		digits = digits[:k]
	}
	n, err := strconv.ParseUint(digits, base, 8)
	if err != nil {
		return "", 0
	}
	j := i + skip + len(digits)
	for j < len(s) && (s[j] == ' ' || s[j] == ',') {
		j++
	}
	return string([]byte{byte(n)}), j - i
}
