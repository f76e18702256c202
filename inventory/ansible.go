package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Rules are those of Ansible's documentation, "How to build your inventory": `all` holds every group, a group's
// variables are weaker than those of its children, among groups of one depth the later name wins, and a host's own win.

// tree is an inventory as it is read, in either syntax.
type tree struct {
	list   *List
	groups map[string]*group
	hosts  map[string]*entry
	order  []string // of hosts, as they are first named
	named  int      // hosts, with those that are named again
	spent  int      // pairs of mappings that were read, with those that are merged in

	ignored map[string]int // variables that say nothing of how a host is reached: where first
	vaults  map[int]bool   // lines with a vaulted value
}

type group struct {
	name     string
	vars     map[string]string
	hosts    []string
	has      map[string]bool // those of hosts
	children []string
	line     int
	declared bool // it has a section, or hosts
}

type entry struct {
	line int
	vars map[string]string
}

func newTree(l *List) *tree {
	return &tree{list: l, groups: map[string]*group{}, hosts: map[string]*entry{}, ignored: map[string]int{}, vaults: map[int]bool{}}
}

// group gives the group of a name, and makes it where it is first named, at that line.
func (t *tree) group(name string, line int) *group {
	g := t.groups[name]
	if g == nil {
		g = &group{name: name, vars: map[string]string{}, has: map[string]bool{}, line: line}
		t.groups[name] = g
	}
	return g
}

// connection are the variables that say how a host is reached.
var connection = []string{"ansible_host", "ansible_ssh_host", "ansible_port", "ansible_ssh_port", "ansible_user", "ansible_ssh_user", "ansible_connection"}

// groupName is what a word after @ can be, in chat and in checks.
var groupName = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// set keeps a variable that says how a host is reached, and notes every other.
func (t *tree) set(vars map[string]string, name, value string, line int) {
	if strings.HasPrefix(strings.TrimSpace(value), "$ANSIBLE_VAULT") {
		t.vault(line)
		return
	}
	if slices.Contains(connection, name) {
		vars[name] = value
	} else if t.ignored[name] == 0 {
		t.ignored[name] = line
	}
}

func (t *tree) vault(line int) { t.vaults[line] = true }

// host puts hosts into a group. The word may be several, and carry a port.
func (t *tree) host(in *group, word string, line int, vars map[string]string) error {
	word, port := ansiblePort(word)
	names, err := expandAnsible(word, MaxHosts)
	if errors.Is(err, errMany) {
		err = fmt.Errorf("%q %w", plain.Clip(word, 100), errMany)
	}
	if err != nil {
		return &SyntaxError{line, err.Error()}
	}
	if t.named += len(names); t.named > maxNamed {
		return namedTooMany(line)
	}
	for _, name := range names {
		h := t.hosts[name]
		if h == nil {
			if len(t.order) == MaxHosts {
				return &SyntaxError{line, fmt.Sprintf("there are more than %d hosts in the file; split it", MaxHosts)}
			}
			h = &entry{line: line, vars: map[string]string{}}
			t.hosts[name] = h
			t.order = append(t.order, name)
		}
		if port != "" {
			h.vars["ansible_port"] = port
		}
		maps.Copy(h.vars, vars)
		if !in.has[name] {
			in.has[name] = true
			in.hosts = append(in.hosts, name)
		}
	}
	return nil
}

// ansiblePort takes a port off a pattern: web[01:20]:2222, [2001:db8::1]:22.
func ansiblePort(word string) (string, string) {
	i := strings.LastIndexByte(word, ':')
	if i < 0 || strings.Count(word, "[") != strings.Count(word[:i], "]") || strings.Contains(strings.NewReplacer("[", "", "]", "").Replace(word[:i]), "::") && !strings.HasSuffix(word[:i], "]") {
		return word, ""
	}
	if _, err := strconv.Atoi(word[i+1:]); err != nil || !strings.Contains(word, "[") && strings.Count(word, ":") > 1 {
		return word, ""
	}
	return word[:i], word[i+1:]
}

var errMany = fmt.Errorf("stands for more than %d hosts", MaxHosts)

// expandAnsible gives the hosts of web[01:20], db[a:f], web[1:9:2], and combinations. Both ends belong to it. As
// fleet.Expand, it makes nothing of which more than most would come, not even in part.
func expandAnsible(word string, most int) ([]string, error) {
	open := strings.IndexByte(word, '[')
	if open < 0 {
		return []string{word}, nil
	}
	end := strings.IndexByte(word[open:], ']')
	if end < 0 {
		return nil, fmt.Errorf("%q: a bracket is not closed", plain.Clip(word, 100))
	}
	inner := word[open+1 : open+end]
	if strings.Count(inner, ":") > 2 || strings.Contains(inner, "::") { // an IPv6 address
		return []string{word[:open] + inner + word[open+end+1:]}, nil
	}
	options, err := ansibleSpan(inner, most)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", plain.Clip(word, 100), err)
	}
	tails, err := expandAnsible(word[open+end+1:], most/len(options))
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(options)*len(tails))
	for _, o := range options {
		for _, tail := range tails {
			if open+len(o)+len(tail) > maxName {
				return nil, fmt.Errorf("%q stands for a host of more than %d bytes", plain.Clip(word, 100), maxName)
			}
			out = append(out, word[:open]+o+tail)
		}
	}
	return out, nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// ansibleSpan reads one FROM:TO or FROM:TO:STEP between brackets. Both ends count; a FROM with leading zeros sets the
// width.
func ansibleSpan(s string, most int) ([]string, error) {
	parts := strings.Split(s, ":")
	step, err := 1, error(nil)
	if len(parts) == 3 {
		step, err = strconv.Atoi(parts[2])
	}
	if len(parts) < 2 || len(parts) > 3 || err != nil || step < 1 || parts[1] == "" {
		return nil, fmt.Errorf("%q is no range as 01:20 or a:f or 1:9:2", plain.Clip(s, 40))
	}
	from, to := parts[0], parts[1]
	if from == "" {
		from = "0"
	}
	var out []string
	if len(from) == 1 && len(to) == 1 && strings.Contains(letters, from) && strings.Contains(letters, to) {
		a, b := strings.Index(letters, from), strings.Index(letters, to)
		if a > b {
			return nil, fmt.Errorf("the range %q runs backwards", s)
		}
		if (b-a)/step >= most {
			return nil, errMany
		}
		for n := range (b-a)/step + 1 { // not up to b: a step may be as long as a number can be
			i := a + n*step
			out = append(out, letters[i:i+1])
		}
		return out, nil
	}
	a, err1 := strconv.Atoi(from)
	b, err2 := strconv.Atoi(to)
	width := 0
	if len(from) > 1 && from[0] == '0' {
		width = len(from)
	}
	switch {
	case err1 != nil || err2 != nil || a < 0:
		return nil, fmt.Errorf("%q is no range as 01:20 or a:f or 1:9:2", plain.Clip(s, 40))
	case a > b:
		return nil, fmt.Errorf("the range %q runs backwards", plain.Clip(s, 40))
	case width > 0 && width != len(to):
		return nil, fmt.Errorf("the ends of the range %q have to be of one length", plain.Clip(s, 40))
	case width > maxName:
		return nil, fmt.Errorf("%q stands for a host of more than %d bytes", plain.Clip(s, 40), maxName)
	case (b-a)/step >= most:
		return nil, errMany
	}
	for n := range (b-a)/step + 1 {
		out = append(out, fmt.Sprintf("%0*d", width, a+n*step))
	}
	return out, nil
}

// done makes the list of the tree.
func (t *tree) done() error {
	parents, err := t.parents()
	if err != nil {
		return err
	}
	depth, err := t.depths(parents)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.groups)) {
		if !groupName.MatchString(name) {
			t.list.note(t.groups[name].line, "the group %q is not taken: @NAME has letters, digits, - _ and . only; its hosts are", name)
		}
	}
	direct := map[string][]string{}
	for name, g := range t.groups {
		for _, h := range g.hosts {
			direct[h] = append(direct[h], name)
		}
	}
	in := 0
	for _, name := range t.order {
		h := t.hosts[name]
		groups := above(direct[name], parents)
		if in += len(groups); in > maxIn {
			return &SyntaxError{h.line, fmt.Sprintf("the hosts are in more than %d groups, counted for each host; split the file", maxIn)}
		}
		slices.SortFunc(groups, func(a, b string) int {
			if depth[a] != depth[b] {
				return depth[a] - depth[b]
			}
			return strings.Compare(a, b)
		})
		vars := map[string]string{}
		for _, g := range groups {
			maps.Copy(vars, t.groups[g].vars)
		}
		maps.Copy(vars, h.vars)
		groups = slices.DeleteFunc(groups, func(g string) bool { return g == "all" || g == "ungrouped" || !groupName.MatchString(g) })
		slices.Sort(groups)
		if err := t.make(name, h.line, vars, groups); err != nil {
			return err
		}
	}
	t.said()
	return nil
}

// reached gives a variable by its newer name, or by its older, which wins in Ansible where both are there.
func reached(vars map[string]string, what string) string {
	return cmp.Or(vars["ansible_ssh_"+what], vars["ansible_"+what])
}

// make checks how a host is reached, and puts it on the list.
func (t *tree) make(name string, line int, vars map[string]string, groups []string) error {
	for _, as := range slices.Sorted(maps.Keys(vars)) {
		if strings.Contains(vars[as], "{{") {
			t.list.note(line, "ignored: %s: its %s is a template, which only Ansible can fill in", name, as)
			return nil
		}
	}
	if c := vars["ansible_connection"]; c != "" && c != "ssh" && c != "smart" && c != "paramiko" && c != "paramiko_ssh" {
		t.list.note(line, "ignored: %s is reached by %q, and Jarvis knows SSH only", name, c)
		return nil
	}
	h := Host{Name: name, Addr: reached(vars, "host"), User: reached(vars, "user"), Groups: groups, Line: line}
	if p := reached(vars, "port"); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 {
			t.list.note(line, "ignored: %s: %q is no port", name, p)
			return nil
		}
		h.Port = n
	}
	return t.list.add(h)
}

// said notes what of the file means nothing here, each once.
func (t *tree) said() {
	names := slices.SortedFunc(maps.Keys(t.ignored), func(a, b string) int {
		return cmp.Or(t.ignored[a]-t.ignored[b], strings.Compare(a, b)) // two of one line, in the same order each time
	})
	if n := len(names); n > 0 {
		more := ""
		if n > 10 {
			more = fmt.Sprintf(" and %d more", n-10)
		}
		t.list.note(t.ignored[names[0]], "variables are not taken, but for how a host is reached: %s%s", strings.Join(names[:min(n, 10)], ", "), more)
	}
	for _, line := range slices.Sorted(maps.Keys(t.vaults)) {
		t.list.note(line, "a vaulted value is not taken: it stays a secret of Ansible's, and is kept nowhere")
	}
}

// parents gives who holds each group. A group without a parent is held by all.
func (t *tree) parents() (map[string][]string, error) {
	t.group("all", 0)
	out := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(t.groups)) {
		for _, c := range t.groups[name].children {
			if t.groups[c] == nil {
				return nil, &SyntaxError{t.groups[name].line, fmt.Sprintf("the group %s has a child %s, which is nowhere defined", name, c)}
			}
			out[c] = append(out[c], name)
		}
	}
	for name := range t.groups {
		if name != "all" && len(out[name]) == 0 {
			out[name] = []string{"all"}
		}
	}
	return out, nil
}

// above gives groups with all that hold them, each once.
func above(groups []string, parents map[string][]string) []string {
	var out []string
	seen := map[string]bool{}
	for todo := slices.Clone(groups); len(todo) > 0; {
		g := todo[0]
		todo = todo[1:]
		if !seen[g] {
			seen[g] = true
			out = append(out, g)
			todo = append(todo, parents[g]...)
		}
	}
	return out
}

// depths gives how many groups are above each, by the longest way.
func (t *tree) depths(parents map[string][]string) (map[string]int, error) {
	out := map[string]int{}
	const under = -1 // it is on the way that is being followed
	var of func(name string) error
	of = func(name string) error {
		switch n, known := out[name]; {
		case known && n == under:
			return &SyntaxError{t.groups[name].line, fmt.Sprintf("the group %s holds itself, over its children", name)}
		case known:
			return nil
		}
		out[name] = under
		n := 0
		for _, p := range parents[name] {
			if err := of(p); err != nil {
				return err
			}
			n = max(n, out[p]+1)
		}
		out[name] = n
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(t.groups)) {
		if err := of(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}
