package command

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/inventory"
	"github.com/jarvisops/jarvis/pipeline"
)

// ImportReport is what an import did, or would do.
type ImportReport struct {
	Format string              `json:"format"`
	DryRun bool                `json:"dry_run"`
	Hosts  []pipeline.Imported `json:"hosts"`
	Notes  []inventory.Note    `json:"notes"` // what of the file was left out, and why
}

func importVerb() Verb {
	return Verb{
		Name: "import", Usage: "FILE [as FORMAT] [dry-run]", Role: access.Admin, Min: 1, Max: 4, Acts: true,
		Doc:     "puts hosts that are there already on record, from a list, known_hosts or an Ansible inventory; contacts none",
		Example: "import hosts.ini as ini dry-run",
		API: []API{{Method: "POST", Path: "/v1/import", Gives: ImportReport{}, Params: []Param{
			{Name: "inventory", In: InBody, Doc: "the file itself, as text", Required: true, Kind: Document},
			{Name: "format", In: InBody, Doc: strings.Join(inventory.Formats, ", ") + "; without it, it is guessed", Word: "as"},
			{Name: "mode", In: InBody, Doc: "dry-run: say what would be done, and do none of it"},
		}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			format, dry, err := importWords(c.Args[1:])
			if err != nil {
				return Answer{}, err
			}
			src, err := importFile(e, c)
			if err != nil {
				return Answer{}, err
			}
			list, err := inventory.Read(format, src)
			if err != nil {
				return Answer{}, &UserError{Msg: fmt.Sprintf("this is no %s: %v", formatWord(list.Format), err), Hint: "nothing was imported; `as FORMAT` says another format", Kind: ErrUsage}
			}
			return e.importList(ctx, c, list, dry)
		},
	}
}

func formatWord(format string) string {
	switch format {
	case inventory.INI, inventory.YAML:
		return "inventory of Ansible's (" + format + ")"
	case inventory.Plain:
		return "list of hosts"
	}
	return clip(format, 40)
}

// importWords reads what follows the file.
func importWords(words []string) (format string, dry bool, err error) {
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == "dry-run":
			dry = true
		case words[i] == "as" && i+1 < len(words) && slices.Contains(inventory.Formats, words[i+1]):
			i++
			format = words[i]
		default:
			return "", false, &UserError{Msg: "`import` is used as: import FILE [as FORMAT] [dry-run]", Hint: "the formats are " + strings.Join(inventory.Formats, ", "), Kind: ErrUsage}
		}
	}
	return format, dry, nil
}

// importFile takes the file that came along; where the person types at the server itself, the word may name one there.
func importFile(e *Env, c *Call) ([]byte, error) {
	switch {
	case c.File != nil:
		return c.File, nil
	case c.Local && e.ReadFile != nil:
		b, err := e.ReadFile(c.Args[0])
		if err != nil {
			return nil, &UserError{Msg: fmt.Sprintf("cannot read %s", clip(c.Args[0], 80)), Kind: ErrNotFound}
		}
		return b, nil
	}
	return nil, &UserError{Msg: "a list of hosts is a file, and none came along", Hint: "on the command line: `jarvis import FILE`", Kind: ErrUsage}
}

// importList puts the hosts of a list on record, and says what became of each.
func (e *Env) importList(ctx context.Context, c *Call, list inventory.List, dry bool) (Answer, error) {
	wanted, groups := importsOf(list)
	if err := e.withoutClusters(ctx, &list, &wanted); err != nil {
		return Answer{}, err
	}
	done, err := e.Engine.Import(ctx, wanted, who(c), dry)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Lines: importLines(done, dry), Data: ImportReport{list.Format, dry, done, append([]inventory.Note{}, list.Notes...)}}
	more, err := e.groupLines(ctx, groups)
	if err != nil {
		return Answer{}, err
	}
	a.Lines = append(a.Lines, more...)
	if e.PublicKeyAt != "" && slices.ContainsFunc(done, func(d pipeline.Imported) bool { return d.What == pipeline.ImportNew }) {
		a.Lines = append(a.Lines, "Jarvis logs in with "+e.PublicKeyAt+": put it into authorized_keys on each of these hosts that does not have it yet.")
	}
	for _, n := range list.Notes {
		a.Lines = append(a.Lines, n.String())
	}
	if dry {
		a.Lines = append(a.Lines, "this was a dry run: nothing was imported.")
	}
	return a, nil
}

// importsOf makes what the engine takes of what the file says, and the hosts of each group.
func importsOf(list inventory.List) ([]pipeline.Import, map[string][]string) {
	out, groups := make([]pipeline.Import, 0, len(list.Hosts)), map[string][]string{}
	for _, h := range list.Hosts {
		short := h.Name
		if _, err := netip.ParseAddr(h.Name); err != nil {
			short, _, _ = strings.Cut(h.Name, ".")
		}
		out = append(out, pipeline.Import{Host: short, FQDN: h.Name, Also: h.Also, Groups: h.Groups,
			Reach: pipeline.Reach{Addr: h.Addr, Login: clipboard.Login{User: h.User, Port: h.Port}, Keys: h.Keys}})
		for _, g := range h.Groups {
			groups[g] = append(groups[g], h.Name)
		}
	}
	return out, groups
}

// withoutClusters leaves out hosts that have the name of a cluster: nobody could say which of the two is meant.
func (e *Env) withoutClusters(ctx context.Context, list *inventory.List, wanted *[]pipeline.Import) error {
	names := make([]string, len(*wanted))
	for i, in := range *wanted {
		names[i] = in.Host
	}
	taken, err := e.Engine.ClustersAmong(ctx, names)
	if err != nil {
		return err
	}
	*wanted = slices.DeleteFunc(*wanted, func(in pipeline.Import) bool {
		if !slices.Contains(taken, in.Host) {
			return false
		}
		i := slices.IndexFunc(list.Hosts, func(h inventory.Host) bool { return h.Name == in.FQDN })
		list.Notes = append(list.Notes, inventory.Note{Line: list.Hosts[i].Line, Text: fmt.Sprintf("ignored: a cluster on record is named %s, so nobody could say which of the two is meant", in.Host)})
		return true
	})
	return nil
}

// importLines says what became of the hosts: together where nothing more is to be said of each.
func importLines(done []pipeline.Imported, dry bool) []string {
	var fresh, same, unknown []string
	var each []string
	for _, d := range done {
		switch d.What {
		case pipeline.ImportNew:
			fresh = append(fresh, d.FQDN)
		case pipeline.ImportSame:
			if same = append(same, d.FQDN); d.Why != "" {
				each = append(each, fmt.Sprintf("%s: %s.", d.FQDN, d.Why))
			}
		case pipeline.ImportChanged:
			each = append(each, fmt.Sprintf("%s is imported again: %s.", d.FQDN, d.Why))
		case pipeline.ImportKept:
			each = append(each, fmt.Sprintf("%s stays as it is: %s.", d.FQDN, d.Why))
		}
		if d.What != pipeline.ImportKept && d.Keys == 0 {
			unknown = append(unknown, d.FQDN)
		}
	}
	is := "imported"
	if dry {
		is = "would be imported"
	}
	var out []string
	if len(fresh) > 0 || len(done) == 0 {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%d %s %s: %s", len(fresh), plural(len(fresh), "host"), is, foldLine(fresh)), ": "))
	}
	if len(same) > 0 {
		out = append(out, fmt.Sprintf("%d %s on record already: %s", len(same), plural(len(same), "host"), foldLine(same)))
	}
	out = append(out, each...)
	if len(unknown) > 0 {
		out = append(out, fmt.Sprintf("no host key is known of %s: nobody could tell whether it is that machine which answers, so Jarvis does not log in there until one is known; `jarvis import ~/.ssh/known_hosts` brings those that you know.", foldLine(unknown)))
	}
	return out
}

// foldLine keeps a line of thousands of hosts short enough for chat.
func foldLine(names []string) string { return clip(fleet.Fold(names), 2000) }

// groupLines says what @NAME stands for, and what is in a group by an earlier file.
func (e *Env) groupLines(ctx context.Context, groups map[string][]string) ([]string, error) {
	have, err := e.Engine.Groups(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for g := range groups {
		names = append(names, g)
	}
	slices.Sort(names)
	clusters, err := e.Engine.ClustersAmong(ctx, names)
	if err != nil {
		return nil, err
	}
	var out, said []string
	for _, g := range names {
		if slices.Contains(clusters, g) {
			out = append(out, fmt.Sprintf("a cluster is named %s: @%s means the cluster, and not the group.", g, g))
			continue
		}
		said = append(said, fmt.Sprintf("@%s (%d)", g, len(groups[g])))
		if before := slices.DeleteFunc(slices.Clone(have[g]), func(h string) bool { return slices.Contains(groups[g], h) }); len(before) > 0 {
			out = append(out, fmt.Sprintf("@%s has from earlier imports, too: %s; `forget HOST` takes one out.", g, foldLine(before)))
		}
	}
	if len(said) > 0 {
		out = append([]string{"groups: " + clip(strings.Join(said, ", "), 2000)}, out...)
	}
	return out, nil
}
