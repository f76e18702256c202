package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/pipeline"
)

// Find gives the verb for a word, or for a prefix that only one verb has, when that verb only reads: what acts is never
// guessed. A word of elsewhere is looked up in Synonyms. The error is a *UserError with the nearest, or with what to
// say; that is a whole line when rest is what follows the word.
func (t *Table) Find(word string, rest ...string) (Verb, error) {
	word = strings.ToLower(word)
	var match []Verb
	var names []string
	for _, v := range t.verbs {
		if v.Name == word {
			return v, nil
		}
		if strings.HasPrefix(v.Name, word) && word != "" {
			match = append(match, v)
		}
		names = append(names, v.Name)
	}
	if v, ok := t.synonym(word); ok {
		if v.Acts {
			return v, ownWord(word, v, rest)
		}
		return v, nil
	}
	if len(match) == 1 && match[0].Acts {
		return Verb{}, &UserError{Msg: fmt.Sprintf("%q is not a whole word, and `%s` changes things", word, match[0].Name), Hint: fmt.Sprintf("say `%s`", match[0].Name), Kind: ErrUsage}
	}
	if len(match) == 1 {
		return match[0], nil
	}
	if len(match) > 1 {
		var could []string
		for _, v := range match {
			could = append(could, v.Name)
		}
		return Verb{}, &UserError{Msg: fmt.Sprintf("%q could be %s", word, strings.Join(could, " or ")), Kind: ErrUsage}
	}
	e := &UserError{Msg: fmt.Sprintf("I do not know %q", clip(word, 40)), Hint: "`help` lists what I know", Kind: ErrUnknown}
	if near := pipeline.Nearest(word, names); near != "" && !t.risky(near, word) {
		e.Hint = fmt.Sprintf("did you mean `%s`?", near)
	}
	return Verb{}, e
}

// risky reports whether to guess a verb from a word could do harm: "please" is two letters from `release`, which
// changes things.
func (t *Table) risky(verb, word string) bool {
	return word == "" || verb[0] != word[0] && slices.ContainsFunc(t.verbs, func(v Verb) bool { return v.Name == verb && v.Acts })
}
