package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/jarvisops/jarvis/command"
)

// global is what may stand before every command.
type global struct {
	Version kong.VersionFlag `help:"Say the version of this program."`

	Config string `help:"Configuration file (default: JARVIS_CONFIG, ./jarvis.yaml, then /etc/jarvis/jarvis.yaml)." placeholder:"FILE"`

	Server string `help:"Address of a server elsewhere, as in https://jarvis.example.org (default: JARVIS_SERVER); its token is taken from JARVIS_TOKEN." placeholder:"URL"`
}

// ownCommand is a command that is no verb; those come from the one table.
type ownCommand struct {
	name, help, group string
	hidden            bool
	new               func() any // what kong fills in, and runs
}

var ownCommands = []ownCommand{
	{name: "serve", help: "Run the server: chat, the socket, and every run that is under way.", new: func() any { return &serveCmd{} }},
	{name: "demo", help: "Watch a deployment in a world on this machine; then the prompt is yours.", new: func() any { return &demoCmd{} }},
	{name: "agent", help: "Do the steps of a silo that only this machine reaches: dials a server, opens nothing.", new: func() any { return &agentCmd{} }},
	{name: "step", help: "Run one step by hand: the clipboard on stdin, the new one on stdout.", new: func() any { return &stepCmd{} }},
	{name: "config", help: "Check or show the configuration.", new: func() any { return &configCmd{} }},

	{name: "init", help: "Write a first configuration: asks, or takes flags.", new: func() any { return &initCmd{} }},
	{name: "doctor", help: "Say what is wrong with this installation on this machine, and what to do.", new: func() any { return &doctorCmd{} }},
	{name: "reload", help: "Have the server read its configuration again.", new: func() any { return &reloadCmd{} }},
	{name: "backup", help: "Write the record and its keys into one sealed file, while the server runs.", new: func() any { return &backupCmd{} }},
	{name: "restore", help: "Make a data folder from a backup, or check one.", new: func() any { return &restoreCmd{} }},

	{name: "exec", group: "Hosts", help: "Run a command on many hosts at once.", new: func() any { return &execCmd{} }},
	{name: "upload", group: "Hosts", help: "Send files to many hosts at once.", new: func() any { return &uploadCmd{} }},
	{name: "sync", group: "Hosts", help: "Send files and run a tool there that puts them in place.", new: func() any { return &syncCmd{} }},
	{name: "fetch", group: "Hosts", help: "Bring files of hosts here.", new: func() any { return &fetchCmd{} }},
	{name: "lock", group: "Hosts", help: "Lock hosts against every other exec, sync and upload.", new: func() any { return &lockCmd{} }},

	{name: "completion", help: "Print a shell's completion.", new: func() any { return &completionCmd{} }},
	{name: "man", hidden: true, help: "Print the manual page.", new: func() any { return &manCmd{} }},
}

// whole are the commands that speak of all others.
var whole = []string{"help", "completion", "man"}

// speaksOf gives the commands that a command line can be about; all: of any. Kong builds what it knows of a command by
// reflection, which for all of them takes several times as long as the rest of a start, and a program's user waits for
// it each time.
func speaksOf(args []string) (names []string, all bool) {
	i := firstWord(args)
	if i < 0 {
		// The version needs no command. Everything else without one is about all of them.
		return nil, !slices.Equal(args, []string{"--version"})
	}
	word := args[i]
	known := slices.ContainsFunc(ownCommands, func(c ownCommand) bool { return c.name == word }) ||
		slices.ContainsFunc(command.Verbs(), func(v command.Verb) bool { return v.Name == word })
	switch {
	case !known || slices.Contains(whole, word):
		return nil, true
	case slices.ContainsFunc(orgalorgModes, func(m orgalorgMode) bool { return m.command == word }) && slices.ContainsFunc(args[i+1:], maybeOrgalorg):
		for _, m := range orgalorgModes {
			names = append(names, m.command)
		}
		return names, false
	}
	return []string{word}, false
}

// maybeOrgalorg reports whether a word can be what makes a line one of orgalorg's, who needs the flags of all its
// modes.
func maybeOrgalorg(word string) bool {
	if long, ok := strings.CutPrefix(word, "--"); ok {
		return slices.ContainsFunc(orgalorgModes, func(m orgalorgMode) bool { return m.long == long })
	}
	return strings.HasPrefix(word, "-") && strings.ContainsAny(word, "CSULV")
}

// newParser reads command lines about some commands, or about all.
func newParser(c *global, names []string, all bool, with ...kong.Option) (*kong.Kong, error) {
	with = append(with,
		kong.Name("jarvis"),
		kong.Description("Jarvis deploys hosts.\n\nExamples:\n  jarvis demo                      watch it work, nothing else needed\n  jarvis serve                     run the server\n  jarvis deploy loki.yaml          deploy a host and watch\n  jarvis status loki               where it stands\n  jarvis step dns:update_host < in.yaml > out.yaml\n\n"+exitCodes),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"version": "jarvis " + version})
	for _, o := range ownCommands {
		if all || slices.Contains(names, o.name) {
			var tags []string
			if o.hidden {
				tags = append(tags, `hidden:""`)
			}
			with = append(with, kong.DynamicCommand(o.name, o.help, o.group, o.new(), tags...))
		}
	}
	for _, v := range command.Verbs() {
		if all || slices.Contains(names, v.Name) {
			with = append(with, kong.DynamicCommand(v.Name, v.Doc+".", "Verbs", newVerb(v)))
		}
	}
	return kong.New(c, with...)
}
