package nagios

import (
	"strings"
	"unicode/utf8"
)

// line is one logical line: its continuations are part of it.
type line struct {
	text string
	no   int // of its first line in the file
}

// lines takes a file apart: a backslash at the end joins the next line, two are one backslash.
func lines(src string) []line {
	var out []line
	no, open := 0, false
	for raw := range strings.Lines(src) {
		no++
		raw = strings.TrimRight(raw, "\r\n")
		if open {
			last := &out[len(out)-1]
			last.text += strings.TrimLeft(raw, " \t")
			raw = last.text
		} else {
			out = append(out, line{raw, no})
		}
		last := &out[len(out)-1]
		switch {
		case strings.HasSuffix(raw, `\\`):
			last.text, open = strings.TrimSuffix(raw, `\`), false
		case len(raw) > 1 && strings.HasSuffix(raw, `\`) && len(raw) < maxValue:
			last.text, open = strings.TrimSuffix(raw, `\`), true
		default:
			open = false
		}
	}
	return out
}

// plain takes the comment off a line, and the backslash off \; which begins no comment.
func plain(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == ';' {
			break
		}
		if text[i] == '\\' && i+1 < len(text) && text[i+1] == ';' {
			i++
		}
		b.WriteByte(text[i])
	}
	return strings.Trim(b.String(), " \t\r\n")
}

// text gives a file as UTF-8: what is not UTF-8 was written in Latin-1.
func text(src []byte) (s string, latin bool) {
	src = []byte(strings.TrimPrefix(string(src), "\ufeff"))
	if utf8.Valid(src) {
		return strings.ReplaceAll(string(src), "\x00", ""), false
	}
	var b strings.Builder
	for _, c := range src {
		if c != 0 {
			b.WriteRune(rune(c))
		}
	}
	return b.String(), true
}

// objects reads one file of objects.
func (t *Tree) objects(file string, src []byte) {
	s, latin := text(src)
	if latin {
		t.fault(Pos{file, 0}, "it is not UTF-8, and was read as Latin-1; look at names and texts with letters beyond ASCII")
	}
	var in *Object
	for _, l := range lines(s) {
		l.text = plain(l.text)
		pos := Pos{file, l.no}
		kind, head := definition(l.text)
		switch {
		case l.text == "" || l.text[0] == '#':
		case head:
			if in != nil {
				t.fault(pos, "a definition begins in the %s of line %d, which is not closed; it was closed here", in.Type, in.Pos.Line)
				t.put(in)
			}
			in = t.begin(pos, kind)
		case in != nil && l.text == "}":
			t.put(in)
			in = nil
		case in != nil:
			t.attr(in, pos, l.text)
		case t.include(pos, l.text):
		default:
			t.fault(pos, "%q stands in no definition; it was passed over", clip(l.text))
		}
	}
	if in != nil {
		t.fault(in.Pos, "the %s is not closed by }; the end of the file was taken for it", in.Type)
		t.put(in)
	}
}

// definition gives what follows `define`.
func definition(text string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, "define")
	if !ok || rest == "" || !strings.ContainsRune(" \t{", rune(rest[0])) {
		return "", false
	}
	return strings.Trim(rest, " \t"), true
}

// begin reads what follows define. An object of no known type has no Type: it is read to its end, and dropped.
func (t *Tree) begin(pos Pos, head string) *Object {
	end := strings.IndexAny(head, " \t{")
	if end < 0 {
		end = len(head)
	}
	o := &Object{Type: head[:end], Pos: pos}
	if o.Type == "hostgroupescalation" {
		o.Type = "hostescalation"
	}
	if _, known := nameOf[o.Type]; !known {
		t.fault(pos, "there is no object %q in Nagios; nothing of it was taken", clip(o.Type))
		o.Type = "" // its lines are read, and go with it
	}
	switch rest := strings.Trim(head[end:], " \t"); {
	case rest == "":
		t.fault(pos, "the { is missing after the type; it was taken as there")
	case rest != "{":
		t.fault(pos, "%q after the { is not read, as Nagios does not", clip(strings.TrimLeft(rest, "{ \t")))
	}
	return o
}

// put drops an object of no known type.
func (t *Tree) put(o *Object) {
	if o.Type != "" {
		t.Objects = append(t.Objects, o)
	}
}

// attr reads a line of an object. Of a timeperiod, what is no attribute says when it is.
func (t *Tree) attr(in *Object, pos Pos, text string) {
	if text == "{" {
		return // people put it on a line of its own; begin has told it
	}
	end := strings.IndexAny(text, " \t")
	if end < 0 {
		end = len(text)
	}
	a := &Attr{Word: text[:end], Value: strings.Trim(text[end:], " \t"), Pos: pos}
	a.Name = canonical(in.Type, a.Word)
	if in.Type == "timeperiod" && !isPeriodAttr(a.Name) {
		a.Name, a.Value = whenAttr, text
	}
	for _, old := range in.Attrs {
		if old.Name == a.Name && a.Name != whenAttr {
			t.fault(pos, "%s stands twice, on line %d too; as in Nagios the last one counts", a.Name, old.Pos.Line)
		}
	}
	in.Attrs = append(in.Attrs, a)
}

// whenAttr is the name of what says when a timeperiod is: the words differ.
const whenAttr = "when"

// isPeriodAttr tells attributes of a timeperiod from lines that name days.
func isPeriodAttr(name string) bool {
	switch name {
	case "use", "name", "register", "timeperiod_name", "alias", "exclude":
		return true
	}
	return strings.HasPrefix(name, "_")
}

// clip shortens what is shown of a line.
func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
