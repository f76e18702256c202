// Command gendocs writes docs/reference/openapi.yaml, docs/reference/verbs.md, docs/reference/steps.md,
// docs/reference/providers.md and docs/reference/config.md from the structs that hold them. CI runs it and fails on a
// diff.
package main

import (
	"cmp"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/web"
	"github.com/jarvisops/jarvis/workers/all"
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
		if err := os.WriteFile(filepath.Join("..", "..", "docs", "reference", name), []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func verbsDoc() string {
	var b strings.Builder
	b.WriteString("# What you may say\n\n<!-- made by go generate from the verb table; edit command/*.go -->\n\nThe same words in chat (`jarvis: status loki`) and on the command line (`jarvis status loki`). Of a verb that only reads, a\nprefix that no other has will do (`stat`); what changes something is said whole, and a typo is told the nearest verb. On the command line `deploy`, `redeploy`,\n`destroy` and `plan` also take a file, or `-` for standard input: `deploy` takes every word for one that is neither a URL nor cn=NAME, `plan` what is a file here,\nthe others what ends in .yaml or has a slash. Any other word is a host on record, and `plan HOST` says what `redeploy HOST` would do. `plan` is\nnever in the way of a run: one that is under way is named in its answer.\n\n`jarvis log -f HOST` (or RUN) prints what a run does from its first line on until it ends; over a restart of the server it goes on where it was, and Ctrl-C ends it and\nnot the run. Without a server `version`, `steps`, `plan FILE` and `whoami` answer by the configuration alone, and say so.\n\nExit codes: 0 done; 1 failed, also a `plan` in which a step would fail, and a `drift` that differs or is not known; 2 usage or configuration; 3 not\nallowed; 4 not found; 5 not done yet; 130 interrupted. [json.md](json.md) says more, and what `--json` prints.\n\n| verb | what it does | as in | role | over HTTP |\n|---|---|---|---|---|\n")
	for _, v := range command.Verbs() {
		row := func(name, usage, doc, example, role string, api func(command.API) bool) {
			var ops []string
			for _, a := range v.API {
				if api(a) {
					ops = append(ops, fmt.Sprintf("`%s %s`", a.Method, a.Path))
				}
			}
			if example != "" {
				example = "`" + example + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", strings.ReplaceAll(strings.TrimSpace(name+" "+usage), "|", `\|`), doc, example, cmp.Or(role, "–"), strings.Join(ops, "<br>"))
		}
		if v.Words == nil {
			row(v.Name, v.Usage, v.Doc, v.Example, v.Role, func(command.API) bool { return true })
			continue
		}
		row(v.Name, "…", v.Doc, v.Example, v.Role, func(command.API) bool { return false })
		for _, w := range v.Words {
			row(v.Name+" "+w.Name, w.Usage, w.Doc, "", w.Role, func(a command.API) bool { return len(a.Prefix) > 0 && a.Prefix[0] == w.Name })
		}
	}
	b.WriteString("\n## Words of other tools\n\nOf a verb that only reads these words are the verb. Of one that changes something they do nothing, and the answer is the line to say: \"`stop` is `cancel` here;\nnothing was done; say `cancel loki`\". `deploy`, `redeploy` and `destroy` with `--dry-run` are `plan`; `retry HOST --from STAGE` is `retry HOST from STAGE`;\n`logs -f HOST` follows on the command line, and nowhere else.\n\n| here | elsewhere | then |\n|---|---|---|\n")
	acts := map[string]bool{}
	for _, v := range command.Verbs() {
		acts[v.Name] = v.Acts
	}
	for _, s := range command.Synonyms() {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", s.Verb, strings.Join(s.Words, "` `"), map[bool]string{true: "says what to say", false: "does it"}[acts[s.Verb]])
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
	set, err := all.Build(all.Nobody(dir).Passing(), dir)
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
	b.WriteString("# Steps\n\n<!-- made by go generate from the step tables; edit the workers -->\n\nA key with `?` is read when it is there. *Resume* says what happens to a step that was under way when Jarvis died: *again* repeats\nit, *probe* looks for what the earlier try made and adopts it, *ask* waits for a person. `dnswizard:` stands for `dns:`,\n`ldapworker:` for `ldap:`, `sp:` for the clipboard's provider. Programs of your own are steps too: [external.md](../howto/external.md).\n`task:` steps belong to [reviewed tasks](../howto/tasks.md) and refuse to work in any other run. *Drift*: the step can tell whether what\nit left is still so ([drift.md](../howto/drift.md)).\n\n| step | what it does | needs | gives | time | resume | undo | drift |\n|---|---|---|---|---|---|---|---|\n")
	for _, s := range set.Registry.Steps() {
		undo, drift := "", ""
		if s.Undo != nil {
			undo = "yes"
		}
		if s.Drift != nil {
			drift = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", s.Name, s.Doc, strings.Join(s.Needs, ", "), strings.Join(s.Gives, ", "), command.Short(s.Timeout), s.Resume, undo, drift)
	}
	b.WriteString("\n## Built-in pipelines\n\nA step of a worker that is not configured is left out. `boot: network` in the clipboard takes the lists of `esx-network`.\n\n")
	lists := all.Pipelines(set.Registry)
	for _, verb := range slices.Sorted(maps.Keys(lists)) {
		for _, p := range slices.Sorted(maps.Keys(lists[verb])) {
			fmt.Fprintf(&b, "- `%s` on `%s`: %s\n", verb, p, strings.Join(lists[verb][p], " → "))
		}
	}
	return b.String(), providersDoc(set), nil
}

// providersDoc is the matrix of what each provider offers.
func providersDoc(set *all.Set) string {
	r := set.Registry
	tasks := map[string]map[string]pipeline.Step{}
	for _, s := range r.Steps() {
		module, task, _ := strings.Cut(s.Name, ":")
		if slices.Contains(all.Providers(), module) {
			if tasks[task] == nil {
				tasks[task] = map[string]pipeline.Step{}
			}
			tasks[task][module] = s
		}
	}
	var b strings.Builder
	b.WriteString("# Providers\n\n<!-- made by go generate from the step tables; edit the workers -->\n\nWhat each offers. *undo*: the step can be taken back; *plan*: it says before what it would do; *drift*:\nit tells later whether what it left is still so. How machines come and go, on all of\nthem: [ownership.md](../design/ownership.md).\n\n| step |")
	for _, p := range all.Providers() {
		b.WriteString(" `" + p + "` |")
	}
	b.WriteString(" what it does |\n|---|" + strings.Repeat("---|", len(all.Providers())) + "---|\n")
	for _, task := range slices.Sorted(maps.Keys(tasks)) {
		b.WriteString("| `" + task + "` |")
		doc := ""
		for _, p := range all.Providers() {
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
				if s.Drift != nil {
					cell += ", drift"
				}
				cell += " |"
			}
			b.WriteString(cell)
		}
		b.WriteString(" " + doc + " |\n")
	}
	b.WriteString("\n## What a clipboard can say of a machine\n\n`●`: it is done as asked. `–`: a clipboard that asks for it is refused by `plan` and `deploy`. Each `●` has a test\n(`TestWhatAClipboardCanSay` in `workers/all`). What the words mean: [clipboard.md](clipboard.md).\n\n| key |")
	for _, p := range set.Providers {
		b.WriteString(" `" + p.Module + "` |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(set.Providers)) + "\n")
	row := func(key string, can func(provider.Calls) bool) {
		b.WriteString("| `" + key + "` |")
		for _, p := range set.Providers {
			b.WriteString(map[bool]string{true: " ● |", false: " – |"}[can(p)])
		}
		b.WriteString("\n")
	}
	for _, k := range provider.Paths {
		row(k, func(p provider.Calls) bool { return slices.Contains(p.Honours, k) })
	}
	row("boot", func(p provider.Calls) bool { return slices.Contains(p.Needs, "boot?") })
	b.WriteString("\n## options\n\n| provider | option | values | what it does |\n|---|---|---|---|\n")
	for _, p := range set.Providers {
		for _, o := range p.Options {
			values := strings.Join(o.Values, ", ")
			if values == "" {
				values = "text"
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", p.Module, o.Name, values, o.Doc)
		}
	}
	return b.String()
}
