package command

import (
	"fmt"
	"slices"
	"strings"
)

// Synonym is a verb with the words that other tools have for it.
type Synonym struct {
	Verb  string
	Words []string
}

// Synonyms is the one table of the words that people bring from elsewhere. Where the verb only reads, they mean it.
// Where it changes something they do nothing, and the answer is the line to say: `stop` and `rm` mean other things
// elsewhere, and what somebody else meant is never guessed.
func Synonyms() []Synonym {
	return []Synonym{
		{"status", []string{"ps", "jobs", "queue"}},
		{"hosts", []string{"ls", "list", "inventory"}},
		{"log", []string{"logs", "tail", "journal"}},
		{"show", []string{"info", "describe", "inspect", "cat"}},
		{"plan", []string{"dry-run", "preview", "simulate"}},
		{"whoami", []string{"id"}},
		{"help", []string{"?", "commands", "man"}},
		{"deploy", []string{"create", "provision", "launch", "install", "start"}},
		{"redeploy", []string{"rebuild", "recreate", "reinstall", "reprovision"}},
		{"destroy", []string{"delete", "del", "remove", "rm", "terminate"}},
		{"cancel", []string{"stop", "abort", "kill"}},
		{"undo", []string{"rollback", "revert"}},
		{"retry", []string{"resume", "continue", "rerun"}},
		{"skip", []string{"ignore"}},
		{"hold", []string{"lock", "pause", "protect"}},
		{"release", []string{"unlock", "unhold", "unprotect"}},
		{"approve", []string{"accept", "confirm", "allow"}},
		{"deny", []string{"reject", "refuse", "decline"}},
		{"run", []string{"exec", "ssh", "shell"}},
	}
}

// synonym gives the verb that a word of elsewhere stands for.
func (t *Table) synonym(word string) (Verb, bool) {
	for _, s := range Synonyms() {
		if slices.Contains(s.Words, word) {
			i := slices.IndexFunc(t.verbs, func(v Verb) bool { return v.Name == s.Verb })
			return t.verbs[i], true
		}
	}
	return Verb{}, false
}

// ownWord refuses a word of elsewhere for what changes something, and gives the line to say.
func ownWord(word string, v Verb, rest []string) error {
	line := clip(JoinWords(append([]string{v.Name}, rest...)), 200)
	return &UserError{Msg: fmt.Sprintf("`%s` is `%s` here", word, v.Name), Hint: fmt.Sprintf("nothing was done; say `%s`", line), Kind: ErrUsage}
}

// dryRun is a flag of other tools for `plan`.
const dryRun = "--dry-run"

// Rephrase gives what a verb with flags of other tools is in our words: `deploy --dry-run X` is `plan deploy X`, `retry
// X --from STEP` is `retry X from STEP`. What follows the hosts of `run`, or a reason, is never looked at.
func Rephrase(v Verb, args []string) (Verb, []string, error) {
	switch {
	case v.Max < 0 || len(args) == 0:
	case v.Acts && slices.Contains(args, dryRun):
		if !slices.Contains([]string{"deploy", "redeploy", "destroy"}, v.Name) {
			return v, nil, &UserError{Msg: fmt.Sprintf("`%s` has no dry run, and nothing was done", v.Name), Hint: "`plan` says what deploy, redeploy or destroy would do", Kind: ErrUsage}
		}
		rest := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == dryRun })
		return plan(), append([]string{v.Name}, rest...), nil
	case v.Name == "retry":
		var out []string
		for _, a := range args {
			if step, ok := strings.CutPrefix(a, "--from="); ok {
				out = append(out, "from", step)
			} else if a == "--from" {
				out = append(out, "from")
			} else {
				out = append(out, a)
			}
		}
		return v, out, nil
	case v.Name == "log" && (slices.Contains(args, "-f") || slices.Contains(args, "--follow")):
		rest := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-f" || a == "--follow" })
		line := clip(JoinWords(append([]string{"log"}, rest...)), 200)
		return v, nil, &UserError{Msg: "I do not follow a log here; whoever asked for a run is told how it ends", Hint: fmt.Sprintf("`%s` shows what there is, `jarvis %s -f` on the command line follows it", line, line), Kind: ErrUsage}
	}
	return v, args, nil
}
