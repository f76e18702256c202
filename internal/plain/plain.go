// Package plain is the one cleaner of text from outside: what a step, a task, a check, a host, a chat or a commit says
// is made harmless here before it is stored, and once more before it is shown. One exception: `jarvis exec` and its kin
// print a host's bytes as they came, as ssh does.
//
//	bytes ──► Line, Text ──► valid UTF-8 that moves no cursor, hides no character and turns no direction
//
// Cleaning does not shorten, mask or quote: who stores a line bounds it (Clip). It starts no goroutine and keeps no
// state.
package plain

import (
	"strings"
	"unicode/utf8"
)

// Line gives s as one line of plain text, and s itself, without a copy, when it is that already.
//
//   - A byte that is no UTF-8 is read as Latin-1: tools that do not speak UTF-8 mostly speak that, so their message
//     stays readable, where U+FFFD would lose letters. 0x80 to 0x9F are controls in Latin-1, and go.
//   - Terminal sequences (ECMA-48) go whole, begun with ESC or with one C1 control, also when they are not finished;
//     IRC's formatting goes with its digits; every other control goes.
//   - What would begin a line again, or a new one (CR, LF, VT, FF, NEL, U+2028, U+2029), and a tab become a space, so
//     that nothing is written over and no words run together. CR and LF at the end go.
//   - What turns the direction of text or has no width goes; the joiners U+200C and U+200D stay, for scripts and
//     emoji need them.
//
// Line(Line(s)) is Line(s), and it never has more runes than s has bytes.
func Line(s string) string {
	if n := len(s); n > 0 && (s[n-1] == '\n' || s[n-1] == '\r') {
		s = strings.TrimRight(s, "\r\n")
	}
	i := dirty(s, false)
	if i < 0 {
		return s
	}
	return rest(s, i)
}

// Text is Line for several lines: "\n" and "\r\n" end one, and stay as "\n".
func Text(s string) string {
	if dirty(s, true) < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for {
		line, more, found := strings.Cut(s, "\n")
		b.WriteString(Line(line))
		if !found {
			return b.String()
		}
		b.WriteByte('\n')
		s = more
	}
}

// dirty gives where the first character is that does not stay as it is; -1: nowhere.
func dirty(s string, text bool) int {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' && !(text && c == '\n') || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || become(r) != r {
			return i
		}
		i += n
	}
	return -1
}

const gone = -1

// become gives what stands for a character from 0x80 on: itself, a space, or gone.
func become(r rune) rune {
	switch {
	case r == 0x85, r == 0x2028, r == 0x2029:
		return ' '
	case r < 0xA0,
		r == 0xAD, r == 0x61C, r == 0x180E, // soft hyphen, Arabic letter mark, Mongolian vowel separator
		r == 0x200B, r == 0x200E, r == 0x200F,
		0x202A <= r && r <= 0x202E, // embeddings and overrides
		0x2060 <= r && r <= 0x206F, // word joiner, invisible operators, isolates, what is deprecated
		r == 0xFEFF, 0xFFF9 <= r && r <= 0xFFFB,
		0xFDD0 <= r && r <= 0xFDEF, r&0xFFFE == 0xFFFE, // no characters at all
		0xE0000 <= r && r <= 0xE0FFF && (r < 0xE0100 || r > 0xE01EF): // tags: a text within the text
		return gone
	}
	return r
}

// rest cleans s from i on, where dirty found something.
func rest(s string, i int) string {
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:i])
	open := 0 // up to here no control string is ended; without it, many that begin would each be read to the end
	for i < len(s) {
		c := s[i]
		switch {
		case ' ' <= c && c < 0x7f:
			b.WriteByte(c)
			i++
			continue
		case c == 0x1b:
			i += escape(s[i:])
			continue
		case c == 0x03:
			i += 1 + colour(s[i+1:], 2, isDigit)
			continue
		case c == 0x04:
			i += 1 + colour(s[i+1:], 6, isHex)
			continue
		case '\t' <= c && c <= '\r':
			b.WriteByte(' ')
			i++
			continue
		case c < utf8.RuneSelf:
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		raw := r == utf8.RuneError && n == 1
		if raw {
			r = rune(c)
		}
		if raw && i < open && r != csi {
			i++ // within what is not finished anyway
			if r = become(r); r != gone {
				b.WriteRune(r)
			}
			continue
		}
		if k, over := c1(r, s[i+n:]); k >= 0 {
			if raw && !over { // it may as well be a letter of Windows-1252: what is not finished stays to be read
				open, k = i+n+k, 0
			}
			i += n + k
			continue
		}
		if r = become(r); r != gone {
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// escape gives the length of what begins with ESC.
func escape(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[':
		return 2 + control(s[2:])
	case ']', 'P', 'X', '^', '_', 'k': // OSC, DCS, SOS, PM, APC, and the title of screen(1)
		n, _ := text(s[2:])
		return 2 + n
	}
	i := 1
	for i < len(s) && ' ' <= s[i] && s[i] <= '/' {
		i++
	}
	if i < len(s) && '0' <= s[i] && s[i] <= '~' {
		i++
	}
	return i
}

// csi begins a control sequence, as ESC [ does.
const csi = 0x9b

// c1 gives the length of what follows a C1 control as its sequence, and whether it is whole; negative: r begins none.
func c1(r rune, s string) (n int, over bool) {
	switch r {
	case csi:
		return control(s), true
	case 0x90, 0x98, 0x9d, 0x9e, 0x9f: // DCS, SOS, OSC, PM, APC
		return text(s)
	}
	return -1, false
}

// control gives the length of a control sequence's parameters, intermediates and final byte.
func control(s string) int {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '?' {
		i++
	}
	for i < len(s) && ' ' <= s[i] && s[i] <= '/' {
		i++
	}
	if i < len(s) && '@' <= s[i] && s[i] <= '~' {
		i++
	}
	return i
}

// text gives the length of a control string with what ends it: ST, BEL (xterm's OSC), CAN or SUB. Without one it is
// over at the end of the line, or where the next sequence begins. over reports whether it was ended.
func text(s string) (n int, over bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case 0x07, 0x18, 0x1a, 0x9c:
			if s[i] == 0x9c && inRune(s, i) {
				continue
			}
			return i + 1, true
		case '\n':
			return i, false
		case 0x1b:
			if i+1 < len(s) && s[i+1] == '\\' {
				return i + 2, true
			}
			return i, false
		}
	}
	return len(s), false
}

// inRune reports whether the byte at i is part of a character that began before it. That of U+009C itself is not: it
// is ST in two bytes.
func inRune(s string, i int) bool {
	for k := i - 1; k >= 0 && k >= i-3; k-- {
		if utf8.RuneStart(s[k]) {
			r, n := utf8.DecodeRuneInString(s[k:])
			return k+n > i && r != 0x9c
		}
	}
	return false
}

// colour gives the length of IRC's colours: one number, or two with a comma. Of hexadecimal ones all six digits count.
func colour(s string, most int, is func(byte) bool) int {
	number := func(s string) int {
		n := 0
		for n < most && n < len(s) && is(s[n]) {
			n++
		}
		if most == 6 && n < 6 {
			return 0
		}
		return n
	}
	n := number(s)
	if n > 0 && n < len(s) && s[n] == ',' {
		if m := number(s[n+1:]); m > 0 {
			n += 1 + m
		}
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
