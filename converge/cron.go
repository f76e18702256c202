package converge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Cron is an entry of a user's crontab.
type Cron struct {
	Name    string // written above the entry, and how it is found again
	User    string // "root" if empty
	When    string // "*/5 * * * *", "@daily"
	Command string
	Absent  bool
}

func (c Cron) user() string {
	if c.User == "" {
		return "root"
	}
	return c.User
}

// ID implements Resource.
func (c Cron) ID() string { return "cron entry " + c.Name + " of " + c.user() }

// Plan implements Resource.
func (c Cron) Plan(n *Node) ([]Action, error) {
	if err := checkName("user", c.user()); err != nil {
		return nil, err
	}
	if c.Name == "" || strings.Contains(c.Name+c.When+c.Command, "\n") || !c.Absent && (len(strings.Fields(c.When)) != 5 && !strings.HasPrefix(c.When, "@") || c.Command == "") {
		return nil, fmt.Errorf("it must have a name, five fields or @daily as when, and a command, each on one line")
	}
	was, err := n.text("cron", c.user())
	if err != nil {
		return nil, err
	}
	text := c.edit(was)
	if text == was {
		return nil, nil
	}
	n.will("cron", c.user(), text)
	return []Action{{Desc: "edit the crontab of " + c.user(), Diff: Diff(was, text), Script: "printf %s " + quote(text) + " | crontab -u " + quote(c.user()) + " -"}}, nil
}

// edit gives a crontab with the entry, or without it. The mark above it has a sum of its command: a line that somebody
// else wrote below our mark is not ours. A mark of an older Jarvis has none; there the line below is ours.
func (c Cron) edit(was string) string {
	mark := "# converge: " + c.Name
	entry := []string{mark + " [" + cronSum(c.Command) + "]", c.When + " " + c.Command}
	old := strings.Split(strings.TrimSuffix(was, "\n"), "\n")
	if was == "" {
		old = nil
	}
	at, gone := -1, map[int]bool{} // where the first mark is; lines that are ours
	for i, l := range old {
		sum, ok := strings.CutPrefix(l, mark+" [")
		ok = ok && len(sum) == 13 && sum[12] == ']'
		if !ok && l != mark {
			continue
		}
		gone[i] = true
		if at < 0 {
			at = i
		}
		ours := func(l string) bool { return cronSum(cronCommand(l)) == sum[:12] }
		switch below := i + 1; {
		case below < len(old) && (!ok || ours(old[below])):
			gone[below] = true
		case ok: // somebody wrote between the two
			if k := slices.IndexFunc(old, ours); k >= 0 {
				gone[k] = true
			}
		}
	}
	var lines []string
	for i, l := range old {
		if i == at && !c.Absent {
			lines = append(lines, entry...)
		}
		if !gone[i] {
			lines = append(lines, l)
		}
	}
	if at < 0 && !c.Absent {
		lines = append(lines, entry...)
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// cronSum stands in the mark above an entry, by which edit knows its own line.
func cronSum(command string) string {
	sum := sha256.Sum256([]byte(command))
	return hex.EncodeToString(sum[:6])
}

// cronCommand gives the command of a line of a crontab: what follows the five fields, or @daily.
func cronCommand(line string) string {
	fields := 5
	if strings.HasPrefix(strings.TrimLeft(line, " \t"), "@") {
		fields = 1
	}
	for range fields {
		line = strings.TrimLeft(line, " \t")
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			return ""
		}
		line = line[i:]
	}
	return strings.TrimLeft(line, " \t")
}
