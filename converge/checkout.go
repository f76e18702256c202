package converge

import (
	"fmt"
	"strings"
)

// Checkout is a working copy of a git repository, with its submodules. What somebody edited in its files is put back;
// other files stay. Where nothing is, or an empty folder, it is made.
type Checkout struct {
	Path   string
	Repo   string
	Commit string // full hash, that is checked out
	Owner  string // who owns it and runs git, by name or number; "": root
}

// ID implements Resource.
func (c Checkout) ID() string { return "checkout " + c.Path }

// Plan implements Resource.
func (c Checkout) Plan(n *Node) ([]Action, error) {
	if err := checkPath(c.Path); err != nil {
		return nil, err
	}
	if len(c.Commit) != 40 && len(c.Commit) != 64 || strings.Trim(c.Commit, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("the commit %q is no full hash; a branch would be another tomorrow", c.Commit)
	}
	if c.Repo == "" || strings.HasPrefix(c.Repo, "-") || strings.ContainsAny(c.Repo, " \n") {
		return nil, fmt.Errorf("%q is no repository", c.Repo)
	}
	s, err := n.stat(c.Path)
	r, gerr := n.fact("git", c.Path)
	if err := first(err, gerr); err != nil {
		return nil, err
	}
	is, edits, _ := strings.Cut(r.text, "\n")
	edits = strings.Trim(edits, "\n")
	if is == c.Commit+" "+c.Repo && edits == "" {
		return nil, nil
	}
	if s != nil && is == "" {
		return nil, fmt.Errorf("%s is there, and is no checkout", c.Path)
	}
	as, script := "", makeDir(c.Path)
	if c.Owner != "" {
		if err := checkName("user", c.Owner); err != nil {
			return nil, err
		}
		as = "as " + quote(c.Owner) + " "
		script = become + script + "u=$(id -un -- " + quote(c.Owner) + "); chown \"$u:\" . || exit\n"
	}
	git := as + "git "
	script += git + "init -q || exit\n" + git + "config remote.origin.url " + quote(c.Repo) + " && " + git + "config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*' || exit\n" +
		"{ " + git + "cat-file -e " + c.Commit + "^{commit} 2> /dev/null || " + git + "fetch -q --tags origin; } && " + git + "checkout -q --force --detach " + c.Commit + " || exit\n" +
		"[ ! -f .gitmodules ] || { " + git + "submodule -q sync --recursive && " + git + "submodule -q update --init --recursive --force; }"
	was, _, _ := strings.Cut(strings.TrimPrefix(is, "empty"), " ")
	a := Action{Desc: fmt.Sprintf("check out %.12s of %s at %s", c.Commit, c.Repo, c.Path), Diff: Diff(was, c.Commit), Script: script}
	a.Have, a.Want = fmt.Sprintf("%.12s", was), fmt.Sprintf("%.12s", c.Commit)
	switch {
	case strings.HasPrefix(is, c.Commit) && edits == "":
		a.Have, a.Want = strings.TrimPrefix(is, c.Commit+" "), c.Repo
	case strings.HasPrefix(is, c.Commit):
		a.Have = "edited"
	}
	if edits != "" {
		a.Diff += "(put back what was edited)\n-" + strings.ReplaceAll(edits, "\n", "\n-") + "\n"
	}
	return []Action{a}, nil
}
