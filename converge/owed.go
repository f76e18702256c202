package converge

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// What an action has run after it is owed from the moment the action begins until it has run: a mark on the host says
// so, for when another action fails in between, or we die. The marks are files that only whoever runs the scripts can
// write.

// owedDir sets $owed.
const owedDir = `owed=/var/lib/converge/owed; [ "$(id -u)" = 0 ] || owed=${HOME:-/nonexistent}/.local/state/converge/owed
`

// owedMark names the mark of a script: however often one is owed, it has one mark.
func owedMark(script string) string {
	sum := sha256.Sum256([]byte(script))
	return hex.EncodeToString(sum[:12])
}

// owe gives the script of an action that marks first what is to run after it.
func (a Action) owe() string {
	if a.After == "" {
		return a.Script
	}
	return fmt.Sprintf("( %sumask 077; mkdir -p -- \"$owed\" && printf '%%s' %s > \"$owed/.%[3]s.$$\" && mv -f -- \"$owed/.%[3]s.$$\" \"$owed/%[3]s\" ) || exit\n%[4]s",
		owedDir, quote(base64.StdEncoding.EncodeToString([]byte(a.After))), owedMark(a.After), a.Script)
}

// pay gives a script that runs what is owed, and takes the mark away when it went well. No || after the parentheses: in
// them `set -e` would be without effect.
func pay(script string) string {
	return "(\n" + script + "\n)\ne=$?; [ \"$e\" = 0 ] || exit \"$e\"\n" + owedDir + "rm -f -- \"$owed/" + owedMark(script) + "\""
}

// owed gives the scripts that an earlier run left owed.
func (n *Node) owed() ([]string, error) {
	r, err := n.fact("owed", "marks")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, text := range strings.Fields(r.text) {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("a mark of what is owed says %q", clip(text))
		}
		out = append(out, string(b))
	}
	return out, nil
}

// owedID stands for what is owed where the ids of resources do.
const owedID = "what an earlier run left to do"

// wantOwed adds what is owed to what is to be done.
func (n *Node) wantOwed() error {
	list, err := n.owed()
	for _, s := range list {
		n.steps = append(n.steps, step{owedID, Action{Desc: n.mask("run " + s + ", which an earlier run did not come to"), Resource: owedID, Have: "not run", Want: "run", After: s}})
	}
	return first(err)
}

// changes reports whether an action of this run owes a script.
func (n *Node) changes(after string) bool {
	return slices.ContainsFunc(n.steps, func(s step) bool { return s.action.works() && s.action.After == after })
}
