package converge

import (
	"context"
	"fmt"
	"strings"
)

// Difference is one way in which a host is not as it shall be. Nothing in it shows a secret.
type Difference struct {
	Resource string `json:"resource"`       // as its ID: "file /etc/motd"; of a Line only how it begins, up to a blank or =, and not what it says
	What     string `json:"what"`           // what a run would do about it: "write /etc/motd"
	Before   string `json:"before"`         // as it is, in a few words: "missing", "mode: 0644", "inactive". Never a file's content
	After    string `json:"after"`          // as it shall be
	Diff     string `json:"diff,omitempty"` // both in full, as diff -u has them, where there is more to tell; of a file, its content
}

// HostDrift is how a host differs from what it shall be.
type HostDrift struct {
	Host    string       `json:"host"`
	Differs []Difference `json:"differs"`           // in the order in which a run would act; none: it is as it shall be
	Unknown string       `json:"unknown,omitempty"` // why it is not known: the host is down, a read failed, a wish is wrong
}

// Drift says how hosts differ from what configure wants, and changes nothing: it is Run with Check, and what it finds
// Run would put right. What could not be looked at is Unknown of its host, and is neither a difference nor none.
func Drift(ctx context.Context, targets []Target, configure Configurator, o Options) ([]HostDrift, error) {
	o.Check, o.Confirm = true, nil
	report, err := Run(ctx, targets, configure, o)
	if err != nil {
		return nil, err
	}
	out := make([]HostDrift, len(report.Hosts))
	for i, h := range report.Hosts {
		out[i] = h.Drift()
	}
	return out, nil
}

// Drift gives what a report of a run with Check, or of Look, says is missing. What the program that reported was built
// with may be older than Action.Have and Action.Want: then they come from what it says.
func (h HostReport) Drift() HostDrift {
	d := HostDrift{Host: h.Host, Differs: []Difference{}, Unknown: h.Error}
	for _, a := range h.Missing {
		if a.Resource == "" {
			a.Resource = a.Desc
		}
		a.sum()
		d.Differs = append(d.Differs, Difference{Resource: a.Resource, What: a.Desc, Before: a.Have, After: a.Want, Diff: a.Diff})
	}
	return d
}

// What is there, and what is not, in words of Have and Want.
const (
	isThere   = "there"
	isMissing = "missing"
	isGone    = "gone"
)

// sum gives an action its Have and Want where the resource said none: what its diff says, of a content only how much.
func (a *Action) sum() {
	if a.Have != "" || a.Want != "" {
		a.Have, a.Want = wordsOf(a.Have, isMissing), wordsOf(a.Want, isGone)
		return
	}
	var goes, comes []string
	for line := range strings.Lines(a.Diff) {
		switch line = strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(line, "-"):
			goes = append(goes, line[1:])
		case strings.HasPrefix(line, "+"):
			comes = append(comes, line[1:])
		}
	}
	switch {
	case len(goes)+len(comes) == 0 && a.Diff == "":
		a.Have, a.Want = "missing", "done"
	case len(goes)+len(comes) == 0: // a remark, as of a file that is too large to be shown
		a.Have, a.Want = "another content", "the one that is wanted"
	case strings.HasPrefix(a.Diff, "@@ "):
		a.Have, a.Want = fmt.Sprintf("another content (-%d +%d lines)", len(goes), len(comes)), "the one that is wanted"
	default:
		a.Have, a.Want = wordsOf(strings.Join(goes, ", "), isMissing), wordsOf(strings.Join(comes, ", "), isGone)
	}
}

// wordsOf clips s for people; empty stands for nothing.
func wordsOf(s, empty string) string {
	if s = strings.TrimSpace(s); s != "" {
		return clip(s)
	}
	return empty
}
