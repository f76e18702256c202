package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// exitCodes are told by --help and by the manual.
const exitCodes = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 not allowed, 4 not found, 5 not done yet (it waits for a second person, or --timeout is over), 24 a file changed while it was read to be sent, 130 interrupted. 1 is also for a plan that would fail, and for a drift of a host that differs or is not known."

type manCmd struct{}

// manEntry is one line of a list in the manual: what it is called, and what it is.
type manEntry struct{ name, text string }

// manFiles are those that the program looks for.
var manFiles = []manEntry{
	{"./jarvis.yaml, /etc/jarvis/jarvis.yaml", "the configuration; docs/reference/config.md explains every key"},
	{"/etc/jarvis/credentials/", "secrets that the configuration names as ${credential:NAME}"},
	{"/var/lib/jarvis/", "data of the package: the record, the keys, known_hosts"},
	{"DATA/run/jarvis.sock, /run/jarvis/jarvis.sock", "where the command line reaches the server of this machine"},
	{"~/.ssh/config, ~/.ssh/known_hosts", "how exec, upload, sync, fetch and lock reach hosts that are not on record"},
	{"/usr/share/doc/jarvis/", "examples, changes, licences"},
}

// manEnvironment are the variables that the program reads.
var manEnvironment = []manEntry{
	{"JARVIS_CONFIG", "the configuration, where --config names none"},
	{"JARVIS_SERVER", "the address of a server elsewhere, where neither --server nor --config names one"},
	{"JARVIS_TOKEN", "the token for a server elsewhere; `jarvis token new NAME` makes one there"},
	{"CREDENTIALS_DIRECTORY", "the folder of ${credential:NAME}; systemd sets it"},
	{"SSH_AUTH_SOCK", "the agent whose keys exec and its kin try"},
	{"TERM", "dumb, or nothing: no line is redrawn. There are no colours, so NO_COLOR has nothing to turn off"},
	{"TZ", "the zone of the times in text"},
}

// roff writes text so that no letter of it is a command, and all of it ASCII: not every roff reads UTF-8.
func roff(s string) string {
	var b strings.Builder
	for _, r := range noCommand.Replace(s) {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

var noCommand = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "\n.", "\n\\&.")

// Run prints jarvis(1); it is called by kong.
func (manCmd) Run(t *term, app *kong.Kong) error {
	var b strings.Builder
	b.WriteString(".TH JARVIS 1 \"\" \"\" \"Jarvis\"\n.SH NAME\njarvis \\- deploys hosts, on the word of people in chat\n.SH SYNOPSIS\n.B jarvis\n[\\-\\-config FILE | \\-\\-server URL] COMMAND ...\n.SH DESCRIPTION\n")
	prose(&b, strings.TrimSuffix(app.Model.Help, "\n\n"+exitCodes))
	b.WriteString(".SH OPTIONS\n")
	manFlags(&b, shown(app.Model.Node))
	b.WriteString(".SH COMMANDS\n")
	for _, c := range visible(app.Model.Node) {
		manCommand(&b, c, "")
	}
	b.WriteString(".SH FILES\n")
	entries(&b, manFiles)
	b.WriteString(".SH ENVIRONMENT\n")
	entries(&b, manEnvironment)
	b.WriteString(".SH EXIT STATUS\n" + roff(strings.TrimPrefix(exitCodes, "Exit codes: ")) + "\n")
	b.WriteString(".SH SEE ALSO\n.BR systemctl (1),\n.BR journalctl (1),\n.BR ssh_config (5)\n")
	_, err := io.WriteString(t.out, b.String())
	return err
}

// manCommand writes a command with its flags, and those below it.
func manCommand(b *strings.Builder, c *kong.Node, above string) {
	name := above + c.Name
	fmt.Fprintf(b, ".SS %s\n%s\n", roff(name), roff(c.Help))
	if c.Detail != "" {
		b.WriteString(".PP\n")
		prose(b, c.Detail)
	}
	manFlags(b, shown(c))
	for _, s := range visible(c) {
		manCommand(b, s, name+" ")
	}
}

func manFlags(b *strings.Builder, list []*kong.Flag) {
	for _, f := range list {
		name := "--" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		if !f.IsBool() {
			name += " " + strings.ToUpper(f.FormatPlaceHolder())
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name), roff(f.Help))
	}
}

// entries are paragraphs of a word and its text.
func entries(b *strings.Builder, list []manEntry) {
	for _, e := range list {
		fmt.Fprintf(b, ".TP\n.I %s\n%s\n", roff(e.name), roff(e.text))
	}
}

// prose writes paragraphs; lines of examples stay lines.
func prose(b *strings.Builder, text string) {
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.Contains(p, "\n") {
			fmt.Fprintf(b, ".nf\n%s\n.fi\n", roff(p))
			continue
		}
		b.WriteString(roff(p) + "\n")
	}
}
