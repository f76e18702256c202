package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/jarvisops/jarvis/command"
)

// newVerb gives what kong calls for a verb.
func newVerb(v command.Verb) any {
	c := verbCmd{verb: v}
	switch v.Name {
	case "help":
		return &helpCmd{}
	case "run":
		return &runCmd{verb: v}
	case "import":
		return &importCmd{verb: v}
	case "check":
		return &checkCmd{verbCmd: c}
	case "log":
		return &logCmd{verbCmd: c}
	case "retry":
		return &retryCmd{movesCmd: movesCmd{verbCmd: c}}
	case "deploy", "redeploy", "destroy":
		return &dryCmd{movesCmd: movesCmd{verbCmd: c}}
	}
	if moves(v) {
		return &movesCmd{verbCmd: c}
	}
	return &c
}

// dryCmd is a verb that can be planned.
type dryCmd struct {
	movesCmd
	DryRun bool `help:"Do nothing, and say what would be done: as plan does."`
}

// Run is called by kong.
func (c *dryCmd) Run(ctx context.Context, t *term) (err error) {
	if c.DryRun {
		if c.verb, c.Args, err = command.Rephrase(c.verb, append(c.Args, "--dry-run")); err != nil {
			return err
		}
	}
	return c.movesCmd.Run(ctx, t)
}

// retryCmd is the verb `retry`.
type retryCmd struct {
	movesCmd
	From string `help:"Stage to go on at, by its number or step: as in retry HOST from STAGE." placeholder:"STAGE"`
}

// Run is called by kong.
func (c *retryCmd) Run(ctx context.Context, t *term) (err error) {
	if c.From != "" {
		if c.verb, c.Args, err = command.Rephrase(c.verb, append(c.Args, "--from", c.From)); err != nil {
			return err
		}
	}
	return c.movesCmd.Run(ctx, t)
}

// firstWord gives the place of the first word that is no flag of ours and no value of one; -1 when there is none.
func firstWord(args []string) int {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--config" || args[i] == "-c" || args[i] == "--server":
			i++
		case !strings.HasPrefix(args[i], "-"):
			return i
		}
	}
	return -1
}

// inOurWords puts our verb in the place of a word of other tools, or of a prefix, as chat does. What acts is refused
// with the line to say, but for its help.
func inOurWords(app *kong.Node, args []string) ([]string, error) {
	i := firstWord(args)
	if i < 0 {
		return args, nil
	}
	word, rest := args[i], args[i+1:]
	if slices.ContainsFunc(app.Children, func(n *kong.Node) bool { return n.Name == word }) || word == "" {
		return args, nil
	}
	v, err := command.NewTable(&command.Env{}).Find(word, rest...)
	asked := slices.ContainsFunc(rest, func(a string) bool { return a == "--help" || a == "-h" })
	// Of a command that is no verb, as `exec`, it may be a prefix as well.
	own := slices.ContainsFunc(visible(app), func(n *kong.Node) bool { return !isVerb(n) && strings.HasPrefix(n.Name, word) })
	switch {
	case v.Name == "" && (own || err == nil || errors.Is(err, command.ErrUnknown)):
		return args, nil
	case v.Name == "" || err != nil && !asked:
		return args, err
	case own && strings.HasPrefix(v.Name, word):
		return args, nil
	}
	return append(append(slices.Clone(args[:i]), v.Name), rest...), nil
}

// flagsFirst puts the flags of a verb before its words, since a person writes them anywhere, as in check list --json
// web, and the parser takes no word after a flag that came after a word. A line with a flag that the verb does not have
// stays as it is: whether that takes a value is not known. Of `run`, and of what is no verb, as `exec`, what comes
// after the first word may belong to a command on a host.
func flagsFirst(app *kong.Node, args []string) []string {
	at := firstWord(args)
	if at < 0 {
		return args
	}
	i := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return n.Name == args[at] && isVerb(n) })
	if i < 0 || args[at] == "run" {
		return args
	}
	known := slices.Concat(app.Flags, app.Children[i].Flags)
	var flags, words []string
	for rest := args[at+1:]; len(rest) > 0; {
		n := lengthOfFlag(known, rest)
		switch {
		case rest[0] == "--":
			words, rest = append(words, rest...), nil
			continue
		case n < 0:
			return args
		case n == 0:
			words, rest = append(words, rest[0]), rest[1:]
			continue
		}
		flags, rest = append(flags, rest[:n]...), rest[n:]
	}
	return slices.Concat(args[:at+1], flags, words)
}

// lengthOfFlag gives how many words a flag at the beginning has, with its value: none for what is no flag, less for one
// that is not known or lacks its value.
func lengthOfFlag(known []*kong.Flag, args []string) int {
	long, isLong := strings.CutPrefix(args[0], "--")
	letters, isShort := strings.CutPrefix(args[0], "-")
	if !isShort || letters == "" {
		return 0
	}
	name, _, given := strings.Cut(long, "=")
	i := slices.IndexFunc(known, func(f *kong.Flag) bool {
		if isLong {
			return f.Name == name
		}
		return letters == string(f.Short) // several letters in one word are rare, and stay where they are
	})
	switch {
	case i < 0 && slices.ContainsFunc(known, func(f *kong.Flag) bool { return f.Negated && "no-"+f.Name == name }):
		return 1
	case i < 0:
		return -1
	case given || known[i].IsBool() || known[i].IsCounter():
		return 1
	case len(args) < 2:
		return -1
	}
	return 2
}
