package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

//go:generate sh -c "go run . man > ../../packaging/jarvis.1"
//go:generate sh -c "go run . completion bash > ../../packaging/completion/jarvis.bash"
//go:generate sh -c "go run . completion zsh > ../../packaging/completion/jarvis.zsh"
//go:generate sh -c "go run . completion fish > ../../packaging/completion/jarvis.fish"

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown under --help.
func (completionCmd) Help() string {
	return "Examples:\n  jarvis completion bash > /etc/bash_completion.d/jarvis\n  jarvis completion zsh > ~/.zfunc/_jarvis\n  jarvis completion fish > ~/.config/fish/completions/jarvis.fish"
}

// Run is called by kong.
func (c completionCmd) Run(t *term, app *kong.Kong) error {
	switch c.Shell {
	case "bash":
		return bash(t.out, app.Model.Node)
	case "zsh":
		return zsh(t.out, app.Model.Node)
	}
	return fish(t.out, app.Model.Node)
}

// hostsOf lists names for a word that may be a host; it is silent when no server runs.
const hostsOf = `jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1`

// onHosts reports whether a command's words may be hosts or files: those of the verbs, and of `step`.
func onHosts(n *kong.Node) bool { return n.Name == "step" || n.Group != nil && n.Group.Key == "Verbs" }

// words gives what may follow a command, beside hosts and files.
func words(n *kong.Node) []string {
	var out []string
	for _, c := range visible(n) {
		out = append(out, c.Name)
	}
	for _, a := range n.Positional {
		if a.Enum != "" {
			out = append(out, a.EnumSlice()...)
		}
	}
	return append(out, flags(n)...)
}

func visible(n *kong.Node) []*kong.Node {
	var out []*kong.Node
	for _, c := range n.Children {
		if !c.Hidden && c.Type == kong.CommandNode {
			out = append(out, c)
		}
	}
	return out
}

func flags(n *kong.Node) []string {
	var out []string
	for _, f := range n.Flags {
		if !f.Hidden {
			out = append(out, "--"+f.Name)
		}
	}
	return out
}

func names(nodes []*kong.Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return strings.Join(out, " ")
}

func bash(w io.Writer, root *kong.Node) error {
	var b strings.Builder
	b.WriteString("# bash completion for jarvis; made by `jarvis completion bash`\n_jarvis() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words= hosts=\n")
	fmt.Fprintf(&b, "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W %q -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase $verb in\n", names(visible(root))+" "+strings.Join(flags(root), " "))
	for _, c := range visible(root) {
		more := ""
		if onHosts(c) {
			more = " hosts=yes"
		}
		fmt.Fprintf(&b, "\t%s) words=%q%s ;;\n", c.Name, strings.Join(words(c), " "), more)
	}
	fmt.Fprintf(&b, "\tesac\n\t[ -z \"$hosts\" ] || words=\"$words $(%s)\"\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"; [ -z \"$hosts\" ] || compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _jarvis jarvis\n", hostsOf)
	_, err := io.WriteString(w, b.String())
	return err
}

func zsh(w io.Writer, root *kong.Node) error {
	var b strings.Builder
	b.WriteString("#compdef jarvis\n# zsh completion for jarvis; made by `jarvis completion zsh`\n_jarvis() {\n\tlocal -a verbs hosts\n\tverbs=(\n")
	for _, c := range visible(root) {
		fmt.Fprintf(&b, "\t\t'%s:%s'\n", c.Name, strings.NewReplacer("'", "'\\''", ":", "\\:").Replace(c.Help))
	}
	b.WriteString("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, c := range visible(root) {
		if !onHosts(c) {
			fmt.Fprintf(&b, "\t%s) compadd -- %s ;;\n", c.Name, strings.Join(words(c), " "))
		}
	}
	fmt.Fprintf(&b, "\t*) hosts=(${(f)\"$(%s)\"}); compadd -a hosts; _files ;;\n\tesac\n}\n_jarvis \"$@\"\n", hostsOf)
	_, err := io.WriteString(w, b.String())
	return err
}

func fish(w io.Writer, root *kong.Node) error {
	var b strings.Builder
	b.WriteString("# fish completion for jarvis; made by `jarvis completion fish`\n")
	var onHost []string
	for _, c := range visible(root) {
		fmt.Fprintf(&b, "complete -c jarvis -f -n __fish_use_subcommand -a %s -d '%s'\n", c.Name, strings.ReplaceAll(c.Help, "'", "\\'"))
		for _, s := range words(c) {
			if !strings.HasPrefix(s, "-") {
				fmt.Fprintf(&b, "complete -c jarvis -f -n '__fish_seen_subcommand_from %s' -a %s\n", c.Name, s)
			}
		}
		if onHosts(c) {
			onHost = append(onHost, c.Name)
		}
		for _, f := range c.Flags {
			if !f.Hidden {
				fmt.Fprintf(&b, "complete -c jarvis -n '__fish_seen_subcommand_from %s' -l %s -d '%s'\n", c.Name, f.Name, strings.ReplaceAll(f.Help, "'", "\\'"))
			}
		}
	}
	fmt.Fprintf(&b, "complete -c jarvis -n '__fish_seen_subcommand_from %s' -a '(%s)'\n", strings.Join(onHost, " "), hostsOf)
	_, err := io.WriteString(w, b.String())
	return err
}

type manCmd struct{}

// Run prints jarvis(1); it is called by kong.
func (manCmd) Run(t *term, app *kong.Kong) error {
	roff := strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'")
	var b strings.Builder
	b.WriteString(".TH JARVIS 1\n.SH NAME\njarvis \\- deploys hosts, on the word of people in chat\n.SH SYNOPSIS\n.B jarvis\n[\\-\\-config FILE | \\-\\-server URL] COMMAND ...\n.SH DESCRIPTION\n")
	fmt.Fprintf(&b, "%s\n", strings.ReplaceAll(roff.Replace(app.Model.Help), "\n\n", "\n.PP\n"))
	b.WriteString(".SH OPTIONS\n")
	for _, f := range app.Model.Flags {
		fmt.Fprintf(&b, ".TP\n.B \\-\\-%s\n%s\n", roff.Replace(f.Name), roff.Replace(f.Help))
	}
	b.WriteString(".SH COMMANDS\n")
	for _, c := range visible(app.Model.Node) {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff.Replace(c.Name), roff.Replace(c.Help))
		for _, s := range visible(c) {
			fmt.Fprintf(&b, ".br\n.B %s %s\n\\- %s\n", roff.Replace(c.Name), roff.Replace(s.Name), roff.Replace(s.Help))
		}
		if c.Detail != "" {
			fmt.Fprintf(&b, ".br\n%s\n", strings.ReplaceAll(roff.Replace(c.Detail), "\n\n", "\n.br\n"))
		}
	}
	b.WriteString(".SH FILES\n.TP\n.I ./jarvis.yaml, /etc/jarvis/jarvis.yaml\nthe configuration; docs/config.md explains every key\n.SH ENVIRONMENT\n.TP\n.B JARVIS_TOKEN\nthe token for \\-\\-server\n")
	_, err := io.WriteString(t.out, b.String())
	return err
}
