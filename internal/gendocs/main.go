// Command gendocs writes docs/verbs.md, docs/steps.md and docs/config.md from the structs that hold them. CI runs it
// and fails on a diff.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/workers/all"
	"github.com/jarvisops/jarvis/workers/dns"
	"github.com/jarvisops/jarvis/workers/esx"
	"github.com/jarvisops/jarvis/workers/ldap"
)

//go:generate go run .

func main() {
	steps, err := stepsDoc()
	if err != nil {
		log.Fatal(err)
	}
	for name, text := range map[string]string{"verbs.md": verbsDoc(), "steps.md": steps, "config.md": config.Markdown()} {
		if err := os.WriteFile(filepath.Join("..", "..", "docs", name), []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func verbsDoc() string {
	var b strings.Builder
	b.WriteString("# What you may say\n\n<!-- made by go generate from the verb table; edit command/*.go -->\n\nThe same words in chat (`jarvis: status loki`) and on the command line (`jarvis status loki`). A prefix that only one verb has\nwill do; a typo gets the nearest verb. On the command line `deploy` and `plan` also take a file, or `-` for standard input.\n\n| verb | what it does | as in | role |\n|---|---|---|---|\n")
	for _, v := range command.Verbs() {
		role := v.Role
		if role == "" {
			role = "–"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", strings.ReplaceAll(strings.TrimSpace(v.Name+" "+v.Usage), "|", `\|`), v.Doc, v.Example, role)
	}
	return b.String()
}

// stepsDoc builds every worker with a configuration that names a server nobody asks.
func stepsDoc() (string, error) {
	dir, err := os.MkdirTemp("", "gendocs-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	set, err := all.Build(all.Config{
		ESX:  &esx.Config{URL: clipboard.Secret("https://user:password@vcenter/sdk")},
		DNS:  &dns.Config{},
		LDAP: &ldap.Config{URL: "ldap://localhost", Base: "ou=Hosts,dc=example,dc=org"},
	}, dir)
	if err != nil {
		return "", err
	}
	defer set.Close()
	var b strings.Builder
	b.WriteString("# Steps\n\n<!-- made by go generate from the step tables; edit the workers -->\n\nA key with `?` is read when it is there. *Resume* says what happens to a step that was under way when Jarvis died: *again* repeats\nit, *probe* looks for what the earlier try made and adopts it, *ask* waits for a person. `dnswizard:` stands for `dns:`,\n`ldapworker:` for `ldap:`, `sp:` for the clipboard's provider. Programs of your own are steps too: [external.md](external.md).\n\n| step | what it does | needs | gives | time | resume | undo |\n|---|---|---|---|---|---|---|\n")
	for _, s := range set.Registry.Steps() {
		undo := ""
		if s.Undo != nil {
			undo = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", s.Name, s.Doc, strings.Join(s.Needs, ", "), strings.Join(s.Gives, ", "), command.Short(s.Timeout), s.Resume, undo)
	}
	b.WriteString("\n## Built-in pipelines\n\n")
	for verb, byProvider := range all.Pipelines(set.Registry) {
		for p, steps := range byProvider {
			fmt.Fprintf(&b, "`%s` on `%s`: %s\n", verb, p, strings.Join(steps, " → "))
		}
	}
	return b.String(), nil
}
