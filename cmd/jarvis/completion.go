package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/jarvisops/jarvis/command"
)

// The program is built first: with one that does not build, nothing is written over.
//go:generate go build -o ../../bin/generate .
//go:generate sh -c "../../bin/generate man > ../../packaging/jarvis.1"
//go:generate sh -c "../../bin/generate completion bash > ../../packaging/completion/jarvis.bash"
//go:generate sh -c "../../bin/generate completion zsh > ../../packaging/completion/jarvis.zsh"
//go:generate sh -c "../../bin/generate completion fish > ../../packaging/completion/jarvis.fish"

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown under --help.
func (completionCmd) Help() string {
	return "Examples:\n  jarvis completion bash > /etc/bash_completion.d/jarvis\n  jarvis completion zsh > ~/.zfunc/_jarvis\n  jarvis completion fish > ~/.config/fish/completions/jarvis.fish"
}

// Run is called by kong.
func (c completionCmd) Run(t *term, app *kong.Kong) error {
	write := map[string]func(io.Writer, []offer){"bash": bash, "zsh": zsh, "fish": fish}[c.Shell]
	var b strings.Builder
	write(&b, offersOf(app.Model.Node))
	_, err := io.WriteString(t.out, b.String())
	return err
}

// What lists hosts and runs for a word that may be one; both are silent when no server runs.
const (
	hostsOf = `jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1`
	runsOf  = `jarvis status 2>/dev/null | sed -n 's/.*Run \([0-9][0-9]*\),.*/\1/p'`
)

// offer is what the shells offer after a command, all of it from the command's own table.
type offer struct {
	name, help string
	first      []string // the words that may come first after it: sub-commands, or the sub-words of a verb
	flags      []*kong.Flag
	hosts      bool // a word may be a host
	runs       bool // or a run's number
	files      bool // or a file
	subs       []offer
}

// offersOf gives the program itself, and then each command.
func offersOf(root *kong.Node) []offer {
	all := []offer{{flags: shown(root)}}
	for _, n := range visible(root) {
		all[0].first = append(all[0].first, n.Name)
		all = append(all, offerOf(n))
	}
	return all
}

// offerOf takes the words of a verb from the table of verbs, and everything else from kong.
func offerOf(n *kong.Node) offer {
	o := offer{name: n.Name, help: n.Help, flags: shown(n), files: !isVerb(n) && len(visible(n)) == 0}
	for _, c := range visible(n) {
		o.first = append(o.first, c.Name)
		o.subs = append(o.subs, offerOf(c))
	}
	for _, a := range n.Positional {
		if a.Enum != "" {
			o.first, o.files = append(o.first, a.EnumSlice()...), false
		}
	}
	if isVerb(n) {
		verbs := command.Verbs()
		v := verbs[slices.IndexFunc(verbs, func(v command.Verb) bool { return v.Name == n.Name })]
		o.first, o.files = v.SubWords(), strings.Contains(cliUsage(v), "FILE")
		o.hosts, o.runs = strings.Contains(v.Usage, "HOST") || strings.Contains(v.Usage, "CLUSTER"), strings.Contains(v.Usage, "RUN")
	}
	return o
}

func isVerb(n *kong.Node) bool { return n.Group != nil && n.Group.Key == "Verbs" }

func visible(n *kong.Node) []*kong.Node {
	var out []*kong.Node
	for _, c := range n.Children {
		if !c.Hidden && c.Type == kong.CommandNode {
			out = append(out, c)
		}
	}
	return out
}

func shown(n *kong.Node) []*kong.Flag {
	return slices.DeleteFunc(slices.Clone(n.Flags), func(f *kong.Flag) bool { return f.Hidden })
}

func flagWords(list []*kong.Flag) string {
	var out []string
	for _, f := range list {
		out = append(out, "--"+f.Name)
	}
	return strings.Join(out, " ")
}

// yes is a shell's word for true; "" is that for false.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// cases writes what bash and zsh set for each command; both read it alike.
func cases(b io.Writer, all []offer) {
	_, _ = io.WriteString(b, "\tcase $verb in\n")
	for _, o := range all {
		name := o.name
		if name == "" {
			name = "''"
		}
		_, _ = fmt.Fprintf(b, "\t%s)\n\t\tfirst=%q flags=%q hosts=%s runs=%s files=%s\n", name, strings.Join(o.first, " "), flagWords(o.flags), yes(o.hosts), yes(o.runs), yes(o.files))
		for _, s := range o.subs {
			_, _ = fmt.Fprintf(b, "\t\t[ \"$sub\" != %s ] || flags=%q\n", s.name, flagWords(s.flags))
		}
		_, _ = io.WriteString(b, "\t\t;;\n")
	}
	_, _ = io.WriteString(b, "\tesac\n")
}

func bash(w io.Writer, all []offer) {
	_, _ = io.WriteString(w, `# bash completion for jarvis; made by `+"`jarvis completion bash`"+`
_jarvis() {
	local cur=${COMP_WORDS[COMP_CWORD]} i verb= sub= after=0 first= flags= hosts= runs= files= words=
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--config | --server) ((++i)) ;;
		-*) ;;
		*)
			if [ -z "$verb" ]; then
				verb=${COMP_WORDS[i]}
			else
				[ $((after++)) -gt 0 ] || sub=${COMP_WORDS[i]}
			fi
			;;
		esac
	done
`)
	cases(w, all)
	_, _ = fmt.Fprintf(w, `	case $cur in
	-*)
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
		return
		;;
	esac
	[ "$after" -gt 0 ] || words=$first
	[ -z "$hosts" ] || words="$words $(%s)"
	[ -z "$runs" ] || words="$words $(%s)"
	[ "${COMP_WORDS[COMP_CWORD - 1]}" != --config ] || words= files=yes
	COMPREPLY=($(compgen -W "$words" -- "$cur"; [ -z "$files" ] || compgen -f -- "$cur"))
}
complete -o filenames -F _jarvis jarvis
`, hostsOf, runsOf)
}

func zsh(w io.Writer, all []offer) {
	_, _ = io.WriteString(w, "#compdef jarvis\n# zsh completion for jarvis; made by `jarvis completion zsh`\n_jarvis() {\n\tlocal i verb= sub= after=0 first= flags= hosts= runs= files=\n\tlocal -a verbs more\n\tverbs=(\n")
	for _, o := range all[1:] {
		_, _ = fmt.Fprintf(w, "\t\t'%s:%s'\n", o.name, strings.NewReplacer("'", `'\''`, ":", `\:`).Replace(o.help))
	}
	_, _ = io.WriteString(w, `	)
	for ((i = 2; i < CURRENT; i++)); do
		case $words[i] in
		--config | --server) ((++i)) ;;
		-*) ;;
		*)
			if [[ -z $verb ]]; then
				verb=$words[i]
			else
				[ $((after++)) -gt 0 ] || sub=$words[i]
			fi
			;;
		esac
	done
`)
	cases(w, all)
	_, _ = fmt.Fprintf(w, `	if [[ $words[CURRENT-1] == --config ]]; then
		_files
		return
	fi
	if [[ $words[CURRENT] == -* ]]; then
		compadd -- ${=flags}
		return
	fi
	if [[ -z $verb ]]; then
		_describe verb verbs
		return
	fi
	[ "$after" -gt 0 ] || more=(${=first})
	[ -z "$hosts" ] || more+=(${(f)"$(%s)"})
	[ -z "$runs" ] || more+=(${(f)"$(%s)"})
	compadd -a more
	[ -z "$files" ] || _files
}
_jarvis "$@"
`, hostsOf, runsOf)
}

// fish offers each word under a condition of its own (complete -n), where bash and zsh have one case for a command.
func fish(w io.Writer, all []offer) {
	_, _ = io.WriteString(w, `# fish completion for jarvis; made by `+"`jarvis completion fish`"+`
function __jarvis_words
	set -l value no
	set -l typed (commandline -opc)
	for w in $typed[2..-1]
		if test $value = yes
			set value no
			continue
		end
		switch $w
			case --config --server
				set value yes
			case '-*'
			case '*'
				echo $w
		end
	end
end
function __jarvis_after -a verb more
	set -l w (__jarvis_words)
	test (count $w) -gt 0; and test "$w[1]" = "$verb"; or return 1
	test -z "$more"; or test (count $w) -eq (math $more + 1)
end
function __jarvis_sub -a verb sub
	set -l w (__jarvis_words)
	test (count $w) -gt 1; and test "$w[1] $w[2]" = "$verb $sub"
end
complete -c jarvis -f
`)
	said := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	for i, o := range all {
		on := fmt.Sprintf("'__jarvis_after %s'", o.name)
		if i == 0 {
			on = "'test (count (__jarvis_words)) -eq 0'"
		}
		for _, f := range o.flags {
			fishFlag(w, on, f, said)
		}
		for _, s := range o.subs {
			_, _ = fmt.Fprintf(w, "complete -c jarvis -n '__jarvis_after %s 0' -a %s -d '%s'\n", o.name, s.name, said.Replace(s.help))
			for _, f := range s.flags {
				fishFlag(w, fmt.Sprintf("'__jarvis_sub %s %s'", o.name, s.name), f, said)
			}
		}
		if i == 0 {
			for _, c := range all[1:] {
				_, _ = fmt.Fprintf(w, "complete -c jarvis -n %s -a %s -d '%s'\n", on, c.name, said.Replace(c.help))
			}
			continue
		}
		if len(o.first) > 0 && len(o.subs) == 0 {
			_, _ = fmt.Fprintf(w, "complete -c jarvis -n '__jarvis_after %s 0' -a '%s'\n", o.name, strings.Join(o.first, " "))
		}
		if o.hosts {
			_, _ = fmt.Fprintf(w, "complete -c jarvis -n %s -a \"(%s)\"\n", on, hostsOf)
		}
		if o.runs {
			_, _ = fmt.Fprintf(w, "complete -c jarvis -n %s -a \"(%s)\"\n", on, strings.ReplaceAll(runsOf, `\`, `\\`))
		}
		if o.files {
			_, _ = fmt.Fprintf(w, "complete -c jarvis -n %s -F\n", on)
		}
	}
}

// fishFlag offers a flag where the condition holds. -r: a value follows; -F: it is a file.
func fishFlag(w io.Writer, on string, f *kong.Flag, said *strings.Replacer) {
	more := ""
	if f.Short != 0 {
		more += " -s " + string(f.Short)
	}
	if !f.IsBool() {
		more += " -r"
	}
	if f.Name == "config" {
		more += " -F"
	}
	_, _ = fmt.Fprintf(w, "complete -c jarvis -n %s -l %s%s -d '%s'\n", on, f.Name, more, said.Replace(f.Help))
}
