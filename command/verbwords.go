package command

import (
	"context"
	"fmt"
	"strings"
)

// Word is one of the things that a verb does which does several, as `show` of `check`.
type Word struct {
	Name  string
	Usage string // its arguments
	Doc   string // one line
	Role  string // "": the verb's
	Min   int    // fewest arguments after it
	Max   int    // most; -1: as many as it likes
	Run   func(ctx context.Context, e *Env, c *Call, args []string) (Answer, error)
}

// worded makes a verb of words. Without any the first is meant, where the verb needs no argument.
func worded(v Verb, words ...Word) Verb {
	var usage []string
	for i, w := range words {
		if w.Role == "" {
			words[i].Role = v.Role
		}
		usage = append(usage, strings.TrimSpace(w.Name+" "+w.Usage))
	}
	v.Words, v.Max, v.Usage = words, -1, strings.Join(usage, " | ")
	if v.Min == 0 {
		v.Usage = "[" + v.Usage + "]"
	}
	v.Run = func(ctx context.Context, e *Env, c *Call) (Answer, error) {
		if len(c.Args) == 0 {
			return v.do(ctx, e, c, words[0].Name, nil)
		}
		return v.do(ctx, e, c, c.Args[0], c.Args[1:])
	}
	return v
}

// Word gives one by its name.
func (v Verb) Word(name string) (Word, bool) {
	for _, w := range v.Words {
		if w.Name == name {
			return w, true
		}
	}
	return Word{}, false
}

// do does what one word says, for whom its role is.
func (v Verb) do(ctx context.Context, e *Env, c *Call, name string, args []string) (Answer, error) {
	w, ok := v.Word(name)
	switch {
	case !ok && v.CLI[name] != "":
		return Answer{}, &UserError{Msg: fmt.Sprintf("`%s %s` is only on the command line", v.Name, name), Hint: "as in `" + v.CLI[name] + "`", Kind: ErrUsage}
	case !ok:
		return Answer{}, &UserError{Msg: fmt.Sprintf("`%s` knows no word %q", v.Name, clip(name, 40)), Hint: "there are " + strings.Join(v.SubWords(), ", "), Kind: ErrUsage}
	case !c.Person.Has(w.Role):
		return Answer{}, &UserError{Msg: fmt.Sprintf("`%s %s` needs the role %q, which %s does not have", v.Name, w.Name, w.Role, c.Person.Name), Kind: ErrDenied}
	case len(args) < w.Min || w.Max >= 0 && len(args) > w.Max:
		return Answer{}, v.use(name)
	}
	return w.Run(ctx, e, c, args)
}

// use says how one word is used.
func (v Verb) use(name string) error {
	w, _ := v.Word(name)
	line := strings.TrimSpace(v.Name + " " + w.Name + " " + w.Usage)
	return &UserError{Msg: fmt.Sprintf("`%s %s` is used as: %s", v.Name, w.Name, line), Hint: fmt.Sprintf("`help %s %s` explains it", v.Name, w.Name), Kind: ErrUsage}
}

// explain tells of a verb in one line, or of one of its words.
func (v Verb) explain(word string) (string, error) {
	usage, doc, role, end := strings.TrimSpace(v.Name+" "+v.Usage), v.Doc, v.Role, " As in: "+v.Example
	if word != "" {
		w, ok := v.Word(word)
		if !ok {
			return "", &UserError{Msg: fmt.Sprintf("`%s` knows no word %q", v.Name, clip(word, 40)), Hint: fmt.Sprintf("`help %s` lists them", v.Name), Kind: ErrNotFound}
		}
		usage, doc, role, end = strings.TrimSpace(v.Name+" "+w.Name+" "+w.Usage), w.Doc, w.Role, ""
	} else if v.Words != nil {
		usage, end = v.Name, fmt.Sprintf(" As in: %s. It knows the words %s; `help %s WORD` explains one", v.Example, strings.Join(v.SubWords(), ", "), v.Name)
	}
	s := usage + " — " + doc + "." + end
	if end == "" {
		s = usage + " — " + doc
	}
	if role != "" {
		s += fmt.Sprintf(" (needs the role %q)", role)
	}
	return s, nil
}

// Of gives what an operation is about: how it is used in chat, what it does, and the role that it needs.
func (v Verb) Of(a API) (usage, doc, role string) {
	if len(a.Prefix) > 0 {
		if w, ok := v.Word(a.Prefix[0]); ok {
			return strings.TrimSpace(v.Name + " " + w.Name + " " + w.Usage), w.Doc, w.Role
		}
	}
	return strings.TrimSpace(v.Name + " " + v.Usage), v.Doc, v.Role
}
