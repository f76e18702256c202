// Command gendocs writes docs/openapi.yaml, docs/verbs.md, docs/steps.md, docs/providers.md and docs/config.md from the structs that hold them. CI runs it
// and fails on a diff.
package main

import (
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/web"
	"github.com/jarvisops/jarvis/workers/all"
	"github.com/jarvisops/jarvis/workers/converge"
	"github.com/jarvisops/jarvis/workers/dns"
	"github.com/jarvisops/jarvis/workers/ec2"
	"github.com/jarvisops/jarvis/workers/esx"
	"github.com/jarvisops/jarvis/workers/keys"
	"github.com/jarvisops/jarvis/workers/ldap"
	"github.com/jarvisops/jarvis/workers/linode"
	"github.com/jarvisops/jarvis/workers/monitor"
)

//go:generate go run .

func main() {
	steps, providers, err := stepsDoc()
	if err != nil {
		log.Fatal(err)
	}
	openapi, err := web.OpenAPI()
	if err != nil {
		log.Fatal(err)
	}
	for name, text := range map[string]string{"openapi.yaml": string(openapi), "verbs.md": verbsDoc(), "steps.md": steps, "providers.md": providers, "config.md": config.Markdown()} {
		if err := os.WriteFile(filepath.Join("..", "..", "docs", name), []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func verbsDoc() string {
	var b strings.Builder
	b.WriteString("# What you may say\n\n<!-- made by go generate from the verb table; edit command/*.go -->\n\nThe same words in chat (`jarvis: status loki`) and on the command line (`jarvis status loki`). Of a verb that only reads, a\nprefix that no other has will do (`stat`); what changes something is said whole, and a typo is told the nearest verb. On the command line `deploy` and `plan` also take a file, or `-` for standard input.\n\n| verb | what it does | as in | role | over HTTP |\n|---|---|---|---|---|\n")
	for _, v := range command.Verbs() {
		role := v.Role
		if role == "" {
			role = "–"
		}
		var ops []string
		for _, a := range v.API {
			ops = append(ops, fmt.Sprintf("`%s %s`", a.Method, a.Path))
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s | %s |\n", strings.ReplaceAll(strings.TrimSpace(v.Name+" "+v.Usage), "|", `\|`), v.Doc, v.Example, role, strings.Join(ops, "<br>"))
	}
	return b.String()
}

// stepsDoc builds every worker with a configuration that names a server nobody asks.
func stepsDoc() (steps, providers string, err error) {
	dir, err := os.MkdirTemp("", "gendocs-")
	if err != nil {
		return "", "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	set, err := all.Build(all.Config{
		Linode:   &linode.Config{Token: "nobody's"},
		EC2:      &ec2.Config{Region: "us-east-1"},
		Monitor:  &monitor.Config{Alertmanager: monitor.Alertmanager{URL: "https://alerts.example.org"}},
		Keys:     &keys.Config{Gitolite: keys.Gitolite{Admin: "ssh://git@git.example.org/gitolite-admin"}},
		ESX:      &esx.Config{URL: clipboard.Secret("https://user:password@vcenter/sdk")},
		DNS:      &dns.Config{},
		LDAP:     &ldap.Config{URL: "ldap://localhost", Base: "ou=Hosts,dc=example,dc=org"},
		Converge: &converge.Config{Dir: dir},
	}, dir)
	if err != nil {
		return "", "", err
	}
	defer set.Close()
	tasks, err := tasklog.New(nil, dir)
	if err != nil {
		return "", "", err
	}
	set.Registry.Add(tasks.Steps()...)
	var b strings.Builder
	b.WriteString("# Steps\n\n<!-- made by go generate from the step tables; edit the workers -->\n\nA key with `?` is read when it is there. *Resume* says what happens to a step that was under way when Jarvis died: *again* repeats\nit, *probe* looks for what the earlier try made and adopts it, *ask* waits for a person. `dnswizard:` stands for `dns:`,\n`ldapworker:` for `ldap:`, `sp:` for the clipboard's provider. Programs of your own are steps too: [external.md](external.md).\n`task:` steps belong to [reviewed tasks](tasks.md) and refuse to work in any other run.\n\n| step | what it does | needs | gives | time | resume | undo |\n|---|---|---|---|---|---|---|\n")
	for _, s := range set.Registry.Steps() {
		undo := ""
		if s.Undo != nil {
			undo = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", s.Name, s.Doc, strings.Join(s.Needs, ", "), strings.Join(s.Gives, ", "), command.Short(s.Timeout), s.Resume, undo)
	}
	b.WriteString("\n## Built-in pipelines\n\nA step of a worker that is not configured is left out. `boot: network` in the clipboard takes the lists of `esx-network`.\n\n")
	lists := all.Pipelines(set.Registry)
	for _, verb := range slices.Sorted(maps.Keys(lists)) {
		for _, p := range slices.Sorted(maps.Keys(lists[verb])) {
			fmt.Fprintf(&b, "- `%s` on `%s`: %s\n", verb, p, strings.Join(lists[verb][p], " → "))
		}
	}
	return b.String(), providersDoc(set.Registry), nil
}

// providersDoc is the matrix of what each provider offers.
func providersDoc(r *pipeline.Registry) string {
	tasks := map[string]map[string]pipeline.Step{}
	for _, s := range r.Steps() {
		module, task, _ := strings.Cut(s.Name, ":")
		if slices.Contains(all.Providers, module) {
			if tasks[task] == nil {
				tasks[task] = map[string]pipeline.Step{}
			}
			tasks[task][module] = s
		}
	}
	var b strings.Builder
	b.WriteString("# Providers\n\n<!-- made by go generate from the step tables; edit the workers -->\n\nWhat each offers. *undo*: the step can be taken back; *plan*: it says before what it would do. How machines come and go, on all of\nthem: [machines.md](machines.md).\n\n| step |")
	for _, p := range all.Providers {
		b.WriteString(" `" + p + "` |")
	}
	b.WriteString(" what it does |\n|---|" + strings.Repeat("---|", len(all.Providers)) + "---|\n")
	for _, task := range slices.Sorted(maps.Keys(tasks)) {
		b.WriteString("| `" + task + "` |")
		doc := ""
		for _, p := range all.Providers {
			s, ok := tasks[task][p]
			cell := " – |"
			if ok {
				cell, doc = " yes", s.Doc
				if s.Plan != nil {
					cell += ", plan"
				}
				if s.Undo != nil {
					cell += ", undo"
				}
				cell += " |"
			}
			b.WriteString(cell)
		}
		b.WriteString(" " + doc + " |\n")
	}
	b.WriteString("\n| key of the clipboard |")
	for _, p := range all.Providers {
		b.WriteString(" `" + p + "` |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(all.Providers)) + "\n")
	for _, k := range []string{"guestid", "size", "datacenter", "boot", "disk"} {
		b.WriteString("| `" + k + "` |")
		for _, p := range all.Providers {
			needs := tasks["deploy"][p].Needs
			switch {
			case slices.Contains(needs, k):
				b.WriteString(" must |")
			case slices.Contains(needs, k+"?"):
				b.WriteString(" may |")
			default:
				b.WriteString(" – |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
