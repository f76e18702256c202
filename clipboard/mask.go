package clipboard

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// MinSecret is how many characters a secret has at least: a shorter one could not be masked without hiding half the
// language.
const MinSecret = 8

// ErrShortSecret is why a secret is refused.
var ErrShortSecret = errors.New("a secret must have at least 8 characters: a shorter one could not be masked where it shows up")

// short counts characters, not bytes: such a secret is in too many words to be masked.
func short(s string) bool { return utf8.RuneCountInString(s) < MinSecret }

// Masker replaces secrets by Mask in any text, also where they are quoted or encoded: for a shell, as JSON or YAML, in
// a URL, as HTML, hex, or base64, there also in the middle of something longer. The zero value knows no secret. Safe
// for concurrent use: a step may make a secret while its lines are masked.
type Masker struct{ known atomic.Pointer[secrets] }

// secrets is what a Masker knows at one time, and what finds it; made when first needed.
type secrets struct {
	list   []string // longest first
	once   sync.Once
	forms  *strings.Replacer
	pieces map[string]bool // of the encoded forms, however they are cut into lines
}

// Clone gives a masker that knows the same, and learns by itself from then on.
func (m *Masker) Clone() *Masker {
	c := &Masker{}
	c.known.Store(m.known.Load())
	return c
}

// Add teaches one secret; of many lines, also each line by itself, for logs come line by line.
func (m *Masker) Add(secret string) {
	old := m.known.Load()
	var list []string
	if old != nil {
		list = slices.Clone(old.list)
	}
	had := len(list)
	add := func(s string, least int) {
		if len(s) >= least && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	add(secret, 4) // records from before MinSecret
	for _, l := range strings.Split(secret, "\n") {
		if l = strings.TrimSpace(l); !strings.HasPrefix(l, "-----") {
			add(l, MinSecret)
		}
	}
	if len(list) == had {
		return
	}
	sort.SliceStable(list, func(i, j int) bool { return len(list[i]) > len(list[j]) })
	if !m.known.CompareAndSwap(old, &secrets{list: list}) {
		m.Add(secret)
	}
}

// Secrets gives what was added, longest first.
func (m *Masker) Secrets() []string {
	if k := m.known.Load(); k != nil {
		return slices.Clone(k.list)
	}
	return nil
}

func (m *Masker) knows() bool { return m.known.Load() != nil }

// Mask gives s without the secrets.
func (m *Masker) Mask(s string) string {
	k := m.known.Load()
	if k == nil || s == "" {
		return s
	}
	k.once.Do(func() { k.forms, k.pieces = replacer(k.list), pieces(k.list) })
	s = hexRun.ReplaceAllStringFunc(base64Run.ReplaceAllStringFunc(k.forms.Replace(s), k.run64), k.runHex)
	if strings.ContainsAny(s, escapes) {
		for _, sec := range k.list {
			s = hideQuoted(s, sec)
		}
	}
	if strings.ContainsAny(s, layered) {
		for _, sec := range k.list {
			s = hideLayered(s, sec)
		}
	}
	return s
}

// Shows reports whether s holds a secret in any form.
func (m *Masker) Shows(s string) bool { return m.Mask(s) != s }

// replacer finds what a secret is as a whole when it is encoded; the longest form first, so that nothing of it stays.
func replacer(secrets []string) *strings.Replacer {
	var all []string
	for _, s := range secrets {
		all = append(all, s)
		if len(s) < MinSecret {
			continue
		}
		h := hex.EncodeToString([]byte(s))
		all = append(all, h, strings.ToUpper(h))
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			all = append(append(all, in64(s, enc)...), in64(wide(s), enc)...)
		}
		all = append(all, hex.EncodeToString([]byte(wide(s))))
	}
	sort.SliceStable(all, func(i, j int) bool { return len(all[i]) > len(all[j]) })
	pairs := make([]string, 0, 2*len(all))
	for _, f := range all {
		if len(f) >= MinSecret || slices.Contains(secrets, f) {
			pairs = append(pairs, f, Mask)
		}
	}
	return strings.NewReplacer(pairs...)
}

// wide gives the text as UTF-16 (little endian), as PowerShell and Windows write it.
func wide(s string) string {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = append(b, byte(c), byte(c>>8))
	}
	return string(b)
}

// in64 gives what of a secret's base64 does not depend on what stands before and after it: it may begin at any of the
// three places in a group (`user:secret` of an Authorization header).
func in64(s string, enc *base64.Encoding) []string {
	var forms []string
	for at := range 3 {
		whole := enc.EncodeToString([]byte(strings.Repeat("\x00", at) + s))
		from, to := (at*8+5)/6, (at+len(s))*8/6
		forms = append(forms, whole[from:to])
	}
	return forms
}

// A long secret comes in lines, and each program has its own idea of their length; hex comes with spaces and colons,
// too. Whatever of such a run holds a piece of a secret is masked as a whole. A piece has 48 bits: no other text has it
// by chance.
const piece64, pieceHex = 8, 12

var (
	base64Run = pattern.New(`[A-Za-z0-9+/_-]{8,}`)
	hexRun    = pattern.New(`[0-9A-Fa-f]{2}(?:[ :-]{0,2}[0-9A-Fa-f]{2}){5,}`)
	url64     = strings.NewReplacer("-", "+", "_", "/")
	noGaps    = strings.NewReplacer(" ", "", ":", "", "-", "")
)

// pieces gives the parts of the hex and base64 forms by which a secret is found in a run that is cut anywhere.
func pieces(secrets []string) map[string]bool {
	out := map[string]bool{}
	cut := func(s string, n, step int) {
		for i := 0; i+n <= len(s); i += step {
			out[s[i:i+n]] = true
		}
	}
	for _, s := range secrets {
		if len(s) < MinSecret {
			continue
		}
		cut(hex.EncodeToString([]byte(s)), pieceHex, 2)
		for _, form := range in64(s, base64.RawStdEncoding) {
			cut(form, piece64, 1)
		}
	}
	return out
}

// run64 reads both alphabets of base64 (RFC 4648 §5) as one.
func (k *secrets) run64(run string) string { return k.hide(run, url64.Replace(run), piece64) }

// runHex passes over case, and over what stands between the bytes.
func (k *secrets) runHex(run string) string {
	return k.hide(run, strings.ToLower(noGaps.Replace(run)), pieceHex)
}

// hide gives the mask in the place of a run that, written plainly, holds a piece of a secret.
func (k *secrets) hide(run, plainly string, n int) string {
	for i := 0; i+n <= len(plainly); i++ {
		if k.pieces[plainly[i:i+n]] {
			return Mask
		}
	}
	return run
}

// taggedText finds secrets in a text that may be no YAML at all.
var taggedText = pattern.New(`!secret[ \t]+([^\r\n]+)`)

// maskTagged takes what looks like a secret out of an error about src.
func maskTagged(src []byte, err error) error {
	var e *SyntaxError
	if !errors.As(err, &e) {
		return err
	}
	var m Masker
	for _, found := range taggedText.FindAllSubmatch(src, -1) {
		v := strings.TrimSpace(string(found[1]))
		m.Add(v)
		m.Add(strings.Trim(v, `"'`))
	}
	return &SyntaxError{Line: e.Line, Column: e.Column, Msg: m.Mask(e.Msg), Hint: m.Mask(e.Hint)}
}
