package main

import (
	"context"
	"strings"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/web"
)

// runCmd is the verb `run`. After the host every word is the command's, as in exec and ssh(1): a flag of ours that
// stood in it would be taken out of what somebody has typed for a host.
type runCmd struct {
	JSON bool     `help:"Print the answer as JSON." name:"json"`
	Args []string `arg:"" passthrough:"partial" help:"The hosts, and the command: all that follows the hosts is the command's."`

	verb command.Verb
}

// Help is shown under --help.
func (c *runCmd) Help() string {
	return "Usage: jarvis run [--json] " + c.verb.Usage + "\n\nFlags of ours stand before the hosts; after them every word is the command's. Exit code 1 when it failed on a host.\n\nExamples:\n  jarvis " + c.verb.Example + "\n  jarvis run loki ls -l /"
}

// words writes the command as the verb takes it, where a command that begins with a dash stands after --.
func (c *runCmd) words() []string {
	args := c.Args
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) > 1 && strings.HasPrefix(args[1], "-") && args[1] != "--" {
		args = append([]string{args[0], "--"}, args[1:]...)
	}
	return append([]string{c.verb.Name}, args...)
}

// Run is called by kong.
func (c *runCmd) Run(ctx context.Context, t *term) error {
	t.json = c.JSON
	cl, err := t.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	a, err := ask(ctx, cl, web.CommandRequest{Words: c.words()}, c.verb)
	if err != nil {
		return err
	}
	if err := t.answer(c.JSON, a); err != nil {
		return err
	}
	return verdictOf(a)
}
