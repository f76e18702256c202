package transfer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Macros that a variable of the shell stands in for are kept as one rune each, from hole on, until it is known where in
// a line they stand: in quotes or not.
const hole = '\uE000'

// quoting follows a line for sh.
type quoting struct {
	in      rune // ' or ", or 0
	escaped bool
}

// step takes the next character; afterwards in and escaped say what the one after it stands in.
func (q *quoting) step(r rune) {
	switch {
	case q.escaped:
		q.escaped = false
	case r == '\\' && q.in != '\'':
		q.escaped = true
	case q.in != 0 && r == q.in:
		q.in = 0
	case q.in == 0 && (r == '\'' || r == '"'):
		q.in = r
	}
}

// fill puts variables into a line where the holes are, quoted so that each is one word, or part of one.
func fill(line string, name func(int) string) string {
	var b strings.Builder
	var q quoting
	runes := []rune(line)
	for i, r := range runes {
		if r < hole || r >= hole+maxHoles {
			q.step(r)
			b.WriteRune(r)
			continue
		}
		word := "$" + name(int(r-hole))
		if i+1 < len(runes) && isNameRune(runes[i+1]) {
			word = "${" + name(int(r-hole)) + "}"
		}
		switch q.in {
		case 0:
			b.WriteString(`"` + word + `"`)
		case '\'':
			b.WriteString(`'"` + word + `"'`)
		default:
			b.WriteString(word)
		}
		q.escaped = false
	}
	return emptyQuotes.ReplaceAllString(b.String(), "$1")
}

// emptyQuotes is what is left of '$MACRO$' when a variable has taken its place.
var emptyQuotes = pattern.New(`''("\$\{?[A-Za-z0-9_]+\}?")''`)

const maxHoles = 1000

func isNameRune(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// words takes a line apart as sh does, where it is one plain command: without variables, pipes and the like.
func words(line string) ([]string, error) {
	var out []string
	var b strings.Builder
	var q quoting
	word := false
	for _, r := range line {
		was := q
		q.step(r)
		switch {
		case was.escaped:
			if was.in == '"' && !strings.ContainsRune("\"\\$`", r) {
				b.WriteRune('\\')
			}
			b.WriteRune(r)
		case q.escaped:
			word = true
		case was.in != q.in:
			word = true
		case was.in == 0 && (r == ' ' || r == '\t'):
			if word {
				out = append(out, b.String())
				b.Reset()
			}
			word = false
		case was.in == 0 && strings.ContainsRune("|&;<>()`$*?[#~\n", r), was.in == '"' && (r == '`' || r == '$'):
			return nil, fmt.Errorf("it has a %q", string(r))
		default:
			b.WriteRune(r)
			word = true
		}
	}
	if q.in != 0 || q.escaped {
		return nil, errors.New("a quote is not closed")
	}
	if word {
		out = append(out, b.String())
	}
	return out, nil
}
