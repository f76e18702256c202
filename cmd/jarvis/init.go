package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	xterm "golang.org/x/term"

	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/examples"
)

// initCmd writes the first configuration. What a flag does not say is asked on a terminal; without one its default
// counts.
type initCmd struct {
	Dir    string `default:"." placeholder:"DIR" help:"Folder for jarvis.yaml and its credentials, as in /etc/jarvis."`
	DropIn string `name:"drop-in" placeholder:"FILE" help:"Where the service's credentials are named (default for /etc/jarvis: the unit's own folder in /etc/systemd/system; else beside jarvis.yaml)."`
	Yes    bool   `short:"y" help:"Ask nothing: what no flag says is as by default."`

	Set    map[string]string `placeholder:"KEY=VALUE" help:"Answer a question, as in --set chat=irc; --help lists them."`
	Secret map[string]string `placeholder:"NAME=FILE" help:"Take a secret from a file, as in --secret irc_password=pw.txt."`
}

// question is one answer that goes into the file.
type question struct {
	key, text, usual string
	secret           bool
	when             func(has func(key string) string) bool // nil: always
}

// with tells that an answer was given, or has one of the values: it may have several, with commas.
func with(key string, values ...string) func(func(string) string) bool {
	return func(has func(string) string) bool {
		for _, word := range words(has(key)) {
			if len(values) == 0 || slices.Contains(values, word) {
				return true
			}
		}
		return false
	}
}

// questions are asked in this order. The keys of secrets are the names of their credentials.
func questions() []question {
	who := question{key: "person", text: "Who may do everything: your login on this machine", usual: ownLogin()}
	chat, people := chatQuestions()
	return slices.Concat([]question{
		{key: "name", text: "What is the bot called", usual: "jarvis"},
		{key: "data", text: "Folder for its database and keys", usual: "./data"},
	}, chat, []question{who}, people, machineQuestions(), []question{
		{key: "dns_server", text: "DNS server that takes updates, host:port (empty: none)"},
		{key: "dns_key", text: "Name of its TSIG key", usual: "jarvis", when: with("dns_server")},
		{key: "dns_secret", text: "The key itself, base64", secret: true, when: with("dns_server")},
		{key: "ldap_url", text: "Directory that hosts are written to, as in ldap://ldap.example.org (empty: none)"},
		{key: "ldap_base", text: "Where hosts live in it", usual: "ou=Hosts,dc=example,dc=org", when: with("ldap_url")},
		{key: "ldap_bind_dn", text: "Who may write there", usual: "cn=jarvis,dc=example,dc=org", when: with("ldap_url")},
		{key: "ldap_password", text: "Its password", secret: true, when: with("ldap_url")},
	})
}

// ownLogin sees through sudo: the first person of the configuration is who typed, not root.
func ownLogin() string {
	if u := os.Getenv("SUDO_USER"); u != "" {
		return u
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}

// Help is shown under --help.
func (initCmd) Help() string {
	var b strings.Builder
	b.WriteString("Nothing that is there is overwritten.\n\nExamples:\n  sudo jarvis init --dir /etc/jarvis\n  jarvis init -y --set chat=irc --set irc_server=irc.example.org:6697 --set irc_account=jarvis --secret irc_password=pw.txt\n\nQuestions, with their defaults:")
	for _, q := range questions() {
		usual := q.usual
		switch {
		case q.secret:
			usual = "--secret " + q.key + "=FILE"
		case q.key == "person":
			usual = "you"
		}
		fmt.Fprintf(&b, "\n  %-17s %s", q.key, q.text)
		if usual != "" {
			fmt.Fprintf(&b, " [%s]", usual)
		}
	}
	return b.String()
}

// systemDropIn is where systemd reads the credentials of the service.
const systemDropIn = "/etc/systemd/system/jarvis.service.d/credentials.conf"

// Run is called by kong.
func (c *initCmd) Run(t *term) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "jarvis.yaml")
	dropIn := c.DropIn
	switch {
	case dropIn != "":
	case file == config.System:
		dropIn = systemDropIn
	default:
		dropIn = filepath.Join(dir, "jarvis.service.d", "credentials.conf")
	}
	// What the package brought, and nobody changed, holds nothing of anybody's.
	pristine := false
	if st, err := os.Lstat(file); err == nil && st.Mode().IsRegular() { // a link is somebody's, whatever it leads to
		if b, err := os.ReadFile(file); err == nil {
			pristine = string(b) == examples.Package
		}
	}
	if _, err := os.Lstat(file); err == nil && !pristine {
		return &exitError{exitUsage, file + " is there already, and is left as it is; edit it, or name another folder with --dir"}
	}
	a, err := c.ask(t, file == config.System)
	if err != nil {
		return err
	}
	var made written
	if pristine {
		aside := file + ".package"
		if err := os.Rename(file, aside); err != nil {
			return err
		}
		defer func() {
			if _, err := os.Lstat(file); err == nil {
				_ = os.Remove(aside)
			} else {
				_ = os.Rename(aside, file)
			}
		}()
	}
	if err := a.write(&made, dir, file, dropIn); err != nil {
		made.undo()
		return err
	}
	if _, err := config.Verify(file); err != nil {
		made.undo()
		return fmt.Errorf("nothing was written, because the answers do not fit:\n%w", err)
	}
	for _, f := range made {
		if st, err := os.Stat(f); err == nil && st.IsDir() {
			continue
		}
		_, _ = fmt.Fprintln(t.out, "wrote", f)
	}
	if slices.Contains(made, dropIn) && !strings.HasPrefix(dropIn, "/etc/systemd/") && !strings.HasPrefix(dropIn, "/run/systemd/") {
		_, _ = fmt.Fprintf(t.out, "systemd does not read %s; for the service copy it: `install -D -m 644 %s %s`\n", dropIn, dropIn, systemDropIn)
	}
	_, _ = fmt.Fprintf(t.out, "no second person is asked before something is destroyed, or is done to what is in production; when there is one, take the line `approvals` out of %s\n", file)
	data := a["data"]
	if !filepath.IsAbs(data) {
		data = filepath.Join(dir, data)
	}
	_, _ = fmt.Fprintf(t.out, "Jarvis logs in to hosts with a key of its own, which the first start makes: put the line of %s into authorized_keys of hosts that are there already\n", filepath.Join(data, "id_ed25519.pub"))
	if file != config.System {
		_, _ = fmt.Fprintf(t.out, "%s is right; next: `jarvis --config %s config check --online`, then `jarvis --config %s serve`; the service of the package reads %s, and no other\n", file, file, file, config.System)
		return nil
	}
	_, _ = fmt.Fprintf(t.out, "%s is right; next: `jarvis --config %s config check --online`, then `systemctl daemon-reload && systemctl enable jarvis && systemctl restart jarvis`, or `jarvis --config %s serve` by hand\n", file, file, file)
	return nil
}

// answers are what the file is made of.
type answers map[string]string

// ask takes each answer from the flags, else from the terminal, else the usual one. A secret has no usual one.
func (c *initCmd) ask(t *term, system bool) (answers, error) {
	a := answers{}
	list := questions()
	for _, said := range []map[string]string{c.Set, c.Secret} {
		for key := range said {
			if !slices.ContainsFunc(list, func(q question) bool { return q.key == key }) {
				return nil, usage("there is no question %q; `jarvis init --help` lists them", key)
			}
		}
	}
	for _, q := range list {
		if _, said := c.Set[q.key]; said && q.secret {
			return nil, usage("%s is a secret, which everybody could see here; write it to a file and say --secret %s=FILE", q.key, q.key)
		}
		if _, said := c.Secret[q.key]; said && !q.secret {
			return nil, usage("%s is no secret; say --set %s=VALUE", q.key, q.key)
		}
	}
	asks := isTerminal(t.in) && !c.Yes
	in := bufio.NewReader(t.in)
	for _, q := range list {
		if system && q.key == "data" {
			q.usual = "/var/lib/jarvis"
		}
		if q.when != nil && !q.when(func(k string) string { return a[k] }) {
			if c.Set[q.key] != "" || c.Secret[q.key] != "" {
				return nil, usage("%s is not asked for beside the other answers; leave it out, or choose what it belongs to, as chat=irc for irc_server", q.key)
			}
			continue
		}
		v, said := c.Set[q.key]
		if name := c.Secret[q.key]; q.secret && name != "" {
			b, err := config.ReadSecret(name)
			if err != nil {
				return nil, usage("--secret %s: %v", q.key, err)
			}
			v, said = strings.TrimRight(string(b), "\r\n"), true
		}
		switch {
		case said:
		case asks:
			var err error
			if v, err = c.typed(t, in, q); err != nil {
				return nil, err
			}
		case q.secret:
			return nil, usage("%s is needed: %s; say --secret %s=FILE", q.key, strings.ToLower(q.text), q.key)
		default:
			v = q.usual
		}
		if q.secret && v == "" {
			return nil, usage("%s is empty; without it nothing works there", q.key)
		}
		if v != "none" {
			a[q.key] = v
		}
	}
	return a, nil
}

// typed asks for one answer.
func (c *initCmd) typed(t *term, in *bufio.Reader, q question) (string, error) {
	prompt := q.text
	if q.usual != "" {
		prompt += " [" + q.usual + "]"
	}
	_, _ = fmt.Fprint(t.out, prompt, ": ")
	if f, ok := t.in.(*os.File); ok && q.secret {
		b, err := xterm.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(t.out)
		return strings.TrimSpace(string(b)), err
	}
	line, err := in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("no answer came; nothing was written: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return q.usual, nil
	}
	return line, nil
}

// written are the files and folders that are made, so that all of them go when one cannot be.
type written []string

// file never writes over a file that is there.
func (w *written) file(name, text string, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return &exitError{exitUsage, name + " is there already, and is left as it is; move it away first"}
	}
	if err != nil {
		return err
	}
	*w = append(*w, name)
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// folder makes one, and those above it.
func (w *written) folder(name string, mode os.FileMode) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if up := filepath.Dir(name); up != name {
		if err := w.folder(up, 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(name, mode); err != nil {
		return err
	}
	*w = append(*w, name)
	return nil
}

// undo takes away what was made, the last first; a folder that something else came into stays.
func (w *written) undo() {
	for _, f := range slices.Backward(*w) {
		_ = os.Remove(f)
	}
}

// write puts everything down: the credentials for root alone, the configuration for the service's group.
func (a answers) write(made *written, dir, file, dropIn string) error {
	creds := filepath.Join(dir, config.Credentials)
	if err := made.folder(dir, 0o755); err != nil {
		return err
	}
	load := "# Secrets of the service, made by `jarvis init`. jarvis.yaml names one as ${credential:NAME}.\n[Service]\n"
	any := false
	for _, q := range questions() {
		if !q.secret || a[q.key] == "" {
			continue
		}
		if err := made.folder(creds, 0o700); err != nil {
			return err
		}
		any = true
		name := filepath.Join(creds, q.key)
		if err := made.file(name, a[q.key]+"\n", 0o600); err != nil {
			return err
		}
		load += "LoadCredential=" + q.key + ":" + name + "\n"
	}
	if any {
		if err := made.folder(filepath.Dir(dropIn), 0o755); err != nil {
			return err
		}
		if err := made.file(dropIn, load, 0o644); err != nil {
			return err
		}
	}
	if err := made.file(file, a.yaml(file == config.System), 0o640); err != nil {
		return err
	}
	if g, err := user.LookupGroup("jarvis"); err == nil && os.Getuid() == 0 { // the service reads it as this group
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return err
		}
		return os.Chown(file, -1, gid)
	}
	return nil
}

// quoted is an answer as YAML.
func quoted(answer string) string { return strconv.Quote(plainDollars(answer)) }

// plainDollars has a dollar be a dollar: what somebody answers names no secret.
func plainDollars(answer string) string { return strings.ReplaceAll(answer, "${", "$${") }

// cred names a credential in YAML.
func cred(key string) string { return strconv.Quote(credential(key)) }

func credential(key string) string { return "${credential:" + key + "}" }

// yaml writes the configuration.
func (a answers) yaml(system bool) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	text := func(key string) string { return quoted(a[key]) }
	line("# Made by `jarvis init`; docs/reference/config.md has every key. `jarvis config check` says what is wrong after a change.")
	line("name: %s", text("name"))
	line("data: %s", text("data"))
	if system {
		line("socket: {path: %s}   # members of its group may open it", config.Known)
	}
	b.WriteString(a.chat())
	who := fmt.Sprintf("name: %s, local: %s", text("person"), text("person"))
	for _, n := range config.Networks() {
		if a["person_"+n] != "" {
			who += fmt.Sprintf(", %s: %s", n, text("person_"+n))
		}
	}
	line("people:\n  - {%s, roles: [admin]}", who)
	line("approvals: {off: true}   # of a team of one; with a second person take this out")
	var workers []string
	for _, m := range words(a["machines"]) {
		workers = append(workers, a.machine(m))
	}
	if a["dns_server"] != "" {
		workers = append(workers, fmt.Sprintf("dns: {server: %s, tsig: {name: %s, secret: %s}}", text("dns_server"), text("dns_key"), cred("dns_secret")))
	}
	if a["ldap_url"] != "" {
		tls := "start_tls: true, " // no password goes over the wire in clear
		if strings.HasPrefix(a["ldap_url"], "ldaps:") {
			tls = ""
		}
		workers = append(workers, fmt.Sprintf("ldap: {url: %s, %sbind_dn: %s, password: %s, base: %s}", text("ldap_url"), tls, text("ldap_bind_dn"), cred("ldap_password"), text("ldap_base")))
	}
	if len(workers) > 0 {
		line("workers:\n  %s", strings.Join(workers, "\n  "))
	}
	return b.String()
}
