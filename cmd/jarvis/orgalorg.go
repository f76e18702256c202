package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A line of orgalorg's (github.com/reconquest/orgalorg) has one of -C, -S, -U and -L among its flags, which says what
// is done. Its parser takes flags, bundled or not, up to the first other word or --; a flag takes the next word as its
// value whatever that begins with. Here such a line becomes one of ours, in long flags with their values after "=",
// before our own parser reads it.

// orgalorgMode is what a letter of orgalorg's says is done, and the command of ours that does it.
type orgalorgMode struct {
	letter  byte
	long    string
	command string
}

var orgalorgModes = []orgalorgMode{{'C', "command", "exec"}, {'S', "sync", "sync"}, {'U', "upload", "upload"}, {'L', "lock", "lock"}}

// orgalorgFlag is a flag that orgalorg has and not each command of ours. Those that are not in the list are the same
// here and there.
type orgalorgFlag struct {
	long    string
	short   byte
	valued  bool
	modes   string // with which ours supports it; with others it does nothing, as there. "": with none
	refused string // what to say to whoever gives it where ours does not support it; "": nothing
}

const noTheme = "lines and status have one form here, without colours; leave it out, or say --json for what programs read"

var orgalorgFlags = []orgalorgFlag{
	{"relative", 'e', false, "SU", ""},
	{"no-preserve-uid", 0, false, "SU", ""},
	{"no-preserve-gid", 0, false, "SU", ""},
	{"simple", 'm', false, "S", ""},
	{"sync-cmd", 'n', true, "S", ""},
	{"arg", 'g', true, "S", ""},
	{"no-upload", 0, false, "S", "it goes with -S"},
	{"stdin", 'i', true, "CS", ""},
	{"serial", 'l', false, "CS", ""},
	{"shell", 0, true, "CS", ""},
	{"root", 'r', true, "CSUL", ""},
	{"quiet", 'q', false, "CSU", ""},
	{"json", 0, false, "CSU", ""},
	{"send-timeout", 'j', true, "CSU", ""},
	{"recv-timeout", 'z', true, "CSU", ""},
	{"no-lock", 'y', false, "CSU", "no lock is taken then; leave out -y, or -L"},
	{"no-lock-fail", 't', false, "CSU", "no lock is held then; leave out -t, or -L"},
	{"color", 0, true, "", ""},
	{"bar-format", 0, true, "", noTheme},
	{"log-format", 0, true, "", noTheme},
	{"colors-dark", 0, false, "", noTheme},
	{"colors-light", 0, false, "", noTheme},
}

// likeOrgalorg makes a line of ours of one of orgalorg's. Every other line is given back as it is.
func likeOrgalorg(app *kong.Node, args []string) ([]string, error) {
	at := firstWord(args)
	if at < 0 || !slices.Contains([]string{"exec", "sync", "upload", "lock"}, args[at]) {
		return args, nil
	}
	l := &orgalorgLine{app: app}
	l.read(args[at+1:])
	switch {
	case l.version:
		return append(slices.Clone(args[:at]), "--version"), nil
	case len(l.modes) == 0:
		return args, nil
	case len(l.modes) > 1:
		return nil, usage("-%c and -%c are both given; one of -C, -S, -U and -L says what is done", l.modes[0].letter, l.modes[1].letter)
	}
	if err := l.slip(args[at]); err != nil {
		return nil, err
	}
	flags, err := l.ours()
	if err != nil {
		return nil, err
	}
	out := append(append(slices.Clone(args[:at]), l.modes[0].command), flags...)
	if len(l.words) > 0 {
		out = append(append(out, "--"), l.words...)
	}
	return out, nil
}

// slip refuses a line in which a letter of orgalorg's was taken for something else: a lock that is to run a command,
// and flags after the first file, which would be files.
func (l *orgalorgLine) slip(said string) error {
	mode := l.modes[0]
	if said == mode.command || len(l.words) == 0 || l.ended {
		return nil
	}
	is := fmt.Sprintf("-%c (--%s) makes this a line of orgalorg's, which is a `%s`", mode.letter, mode.long, mode.command)
	if mode.letter == 'L' {
		return usage("%s and does nothing with %q; a file that is locked is named by --lock-file FILE", is, strings.Join(l.words, " "))
	}
	flag := slices.IndexFunc(l.words, func(w string) bool {
		_, err := os.Lstat(w)
		return strings.HasPrefix(w, "-") && err != nil
	})
	if flag >= 0 && mode.letter != 'C' {
		return usage("%s; its flags end at the first file, so %s would be one: put it before %s. A list of hosts on stdin is -s", is, l.words[flag], l.words[0])
	}
	return nil
}

// orgalorgLine is such a line, taken apart.
type orgalorgLine struct {
	app     *kong.Node
	modes   []orgalorgMode
	version bool
	flags   []givenFlag
	words   []string // the command, or the files
	ended   bool     // by --
}

type givenFlag struct {
	name     string // --long, or -s when neither program knows it
	value    string
	hasValue bool
}

// read takes a line apart as orgalorg does: flags end at the first other word, or at --.
func (l *orgalorgLine) read(args []string) {
	for len(args) > 0 {
		a := args[0]
		switch {
		case a == "--":
			l.words, l.ended = args[1:], true
			return
		case strings.HasPrefix(a, "--"):
			name, value, has := strings.Cut(a[2:], "=")
			args = l.flag(name, value, has, args[1:])
		case len(a) > 1 && a[0] == '-':
			args = l.bundle(a[1:], args[1:])
		default:
			l.words = args
			return
		}
	}
}

// bundle takes letters that stand after one dash. Of one that takes a value, the rest of the word is it, or the next
// word.
func (l *orgalorgLine) bundle(letters string, next []string) []string {
	for i := range len(letters) {
		name, valued := l.letter(letters[i])
		if valued && i+1 < len(letters) {
			return l.flag(name, letters[i+1:], true, next)
		}
		next = l.flag(name, "", false, next)
	}
	return next
}

// flag takes one flag by its long name, and gives the words after it and its value.
func (l *orgalorgLine) flag(name, value string, has bool, next []string) []string {
	if i := slices.IndexFunc(orgalorgModes, func(m orgalorgMode) bool { return m.long == name }); i >= 0 && !has {
		if !slices.Contains(l.modes, orgalorgModes[i]) {
			l.modes = append(l.modes, orgalorgModes[i])
		}
		return next
	}
	if name == "version" {
		l.version = true
		return next
	}
	if !has && l.valued(name) && len(next) > 0 {
		value, has, next = next[0], true, next[1:]
	}
	if !strings.HasPrefix(name, "-") {
		name = "--" + name
	}
	l.flags = append(l.flags, givenFlag{name, value, has})
	return next
}

// letter gives the long name of a letter, and whether it takes a value. One that nobody has is given back with its
// dash.
func (l *orgalorgLine) letter(c byte) (name string, valued bool) {
	for _, m := range orgalorgModes {
		if m.letter == c {
			return m.long, false
		}
	}
	if c == 'V' {
		return "version", false
	}
	for _, f := range orgalorgFlags {
		if f.short == c {
			return f.long, f.valued
		}
	}
	for _, f := range l.known() {
		if f.Short == rune(c) {
			return f.Name, takesValue(f)
		}
	}
	return "-" + string(rune(c)), false
}

// valued asks orgalorg's flags first: one of ours may have the same name and take no value.
func (l *orgalorgLine) valued(name string) bool {
	for _, f := range orgalorgFlags {
		if f.long == name {
			return f.valued
		}
	}
	return slices.ContainsFunc(l.known(), func(f *kong.Flag) bool { return f.Name == name && takesValue(f) })
}

func takesValue(f *kong.Flag) bool { return !f.IsBool() && !f.IsCounter() }

// known gives the flags of ours: those of the whole program, and of the commands that orgalorg's modes are.
func (l *orgalorgLine) known() []*kong.Flag {
	out := slices.Clone(l.app.Flags)
	for _, n := range l.app.Children {
		if slices.ContainsFunc(orgalorgModes, func(m orgalorgMode) bool { return m.command == n.Name }) {
			out = append(out, n.Flags...)
		}
	}
	return out
}

// ours writes the flags for our parser, without those that do nothing in this mode there either.
func (l *orgalorgLine) ours() ([]string, error) {
	mode := l.modes[0]
	var out []string
	for _, g := range l.flags {
		i := slices.IndexFunc(orgalorgFlags, func(f orgalorgFlag) bool { return "--"+f.long == g.name })
		if i >= 0 && !strings.Contains(orgalorgFlags[i].modes, string(mode.letter)) {
			if why := orgalorgFlags[i].refused; why != "" {
				return nil, usage("%s: %s", g.name, why)
			}
			if g.name == "--color" && !slices.Contains([]string{"never", "auto", "always"}, g.value) {
				return nil, usage("--color is never, auto or always; nothing is coloured here, so each means the same")
			}
			continue
		}
		if g.hasValue {
			g.name += "=" + g.value
		}
		out = append(out, g.name)
	}
	return out, nil
}
