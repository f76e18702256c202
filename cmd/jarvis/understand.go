package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// understand reads a command line: our words, those of other tools, and those of orgalorg.
func understand(parser *kong.Kong, args []string) (*kong.Context, error) {
	args, err := inOurWords(parser.Model.Node, args)
	if err != nil {
		return nil, err
	}
	if args, err = likeOrgalorg(parser.Model.Node, args); err != nil {
		return nil, err
	}
	kctx, err := parser.Parse(flagsFirst(parser.Model.Node, args))
	if err != nil {
		return nil, notUnderstood(parser, args, err)
	}
	return kctx, nil
}

// notUnderstood says a slip in the same words as chat, and where to read more.
func notUnderstood(parser *kong.Kong, args []string, err error) error {
	slip := &command.UserError{Msg: err.Error(), Kind: command.ErrUsage}
	i := firstWord(args)
	if i < 0 {
		slip.Hint = "`jarvis --help` lists what there is"
		return slip
	}
	word := args[i]
	slip.Msg = ourWords(word, slip.Msg)
	if slices.ContainsFunc(visible(parser.Model.Node), func(n *kong.Node) bool { return n.Name == word }) {
		flag, unknown := strings.CutPrefix(slip.Msg, "unknown flag ")
		flag, _, _ = strings.Cut(flag, ",")
		if unknown {
			return noFlag(word, flag, slip)
		}
		slip.Hint = fmt.Sprintf("`jarvis help %s` says how it is used", word)
		return slip
	}
	_, ferr := command.NewTable(&command.Env{}).Find(word)
	var ue *command.UserError
	switch guessed := strings.Contains(err.Error(), "did you mean"); {
	case !strings.HasPrefix(err.Error(), "unexpected argument"), !errors.As(ferr, &ue):
	case strings.HasPrefix(ue.Hint, "did you mean"), errors.Is(ue, command.ErrUnknown) && !guessed:
		return ue
	}
	return slip
}

var (
	kongMissing = pattern.New(`^expected "<(.*)"$`)
	kongFlags   = pattern.New(`^(unknown flag -\w), did you mean one of .*`)
	kongValue   = pattern.New(`^(--\S+): expected (\S+) value but got (".*?")( \(short flag\))?(; perhaps try .*)?$`)
)

// needs says what is missing from a command that is given no words.
var needs = map[string]string{
	"exec":   "no command is given, as in `jarvis exec -o HOST uptime`",
	"upload": "no files are named, as in `jarvis upload -o HOST -r / /etc/motd`",
	"fetch":  "no files are named, as in `jarvis fetch HOST:/etc/motd`",
}

// ourWords says in ours what the library says of a line that it does not take.
func ourWords(word, msg string) string {
	switch {
	case kongMissing.MatchString(msg):
		if n := needs[word]; n != "" {
			return n
		}
		what := kongMissing.FindStringSubmatch(msg)[1]
		return fmt.Sprintf("`%s` is given no %s", word, strings.ToUpper(strings.NewReplacer("<", "", ">", "", " ...", "").Replace(what)))
	case strings.HasPrefix(msg, "unexpected argument ") && needs[word] != "" && word != "exec":
		return fmt.Sprintf("%s does not stand beside the other files of `%s`: they stand together, before the flags or after them; a pattern of hosts is quoted, as in -o 'web[1-3]'", strings.TrimPrefix(msg, "unexpected argument "), word)
	case kongFlags.MatchString(msg): // a letter is like each other letter
		return kongFlags.FindStringSubmatch(msg)[1]
	case kongValue.MatchString(msg):
		m := kongValue.FindStringSubmatch(msg)
		kind := map[string]string{"int": "a whole number"}[m[2]]
		if kind == "" {
			kind = "another value"
		}
		return fmt.Sprintf("%s takes %s, and not %s", m[1], kind, m[3])
	}
	return msg
}

// noFlag says of a flag that a command does not have what there is instead.
func noFlag(name, flag string, slip *command.UserError) error {
	verbs := command.Verbs()
	slip.Hint = fmt.Sprintf("`jarvis help %s` lists its flags", name)
	i := slices.IndexFunc(verbs, func(v command.Verb) bool { return v.Name == name })
	if i < 0 {
		return slip
	}
	var ue *command.UserError
	switch flag, _, _ = strings.Cut(flag, "="); flag {
	case "--no-wait", "--timeout":
		slip.Msg += fmt.Sprintf(": `%s` moves no run that could be waited for", name)
	default:
		if _, _, err := command.Rephrase(verbs[i], []string{name, flag}); errors.As(err, &ue) {
			return ue
		}
	}
	return slip
}

// helpCmd is the verb `help`, which needs no server here.
type helpCmd struct {
	JSON bool     `help:"Print the answer as JSON." name:"json"`
	Args []string `arg:"" optional:"" name:"command" help:"Explain this one."`
}

// Run is called by kong.
func (c *helpCmd) Run(ctx context.Context, t *term, app *kong.Kong) error {
	t.json = c.JSON
	if !c.JSON && !c.ofWord() {
		kctx, err := understand(app, append(slices.Clone(c.Args), "--help"))
		if err != nil {
			return err
		}
		return kctx.Run()
	}
	everything := access.Person{Name: "help", Roles: access.Roles} // it lists what there is, whoever asks
	a, err := command.NewTable(&command.Env{}).Do(ctx, command.Call{Words: append([]string{"help"}, c.Args...), Person: everything, Free: true})
	if err != nil {
		return err
	}
	return t.answer(c.JSON, command.Said(a))
}

// ofWord reports whether one word of a verb is asked for, as in help task retry, of which the verb's own help would
// tell all.
func (c *helpCmd) ofWord() bool {
	return len(c.Args) == 2 && slices.ContainsFunc(command.Verbs(), func(v command.Verb) bool { return v.Name == c.Args[0] && v.Words != nil })
}
