package ssh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// seen is what one look at a host tells: its steps share one connection.
type seen struct{ fstab, mounts, swaps []string }

// seenScript prints what seen holds, in three parts.
const seenScript = `cat /etc/fstab 2>/dev/null; echo; echo ==; cat /proc/self/mounts 2>/dev/null; echo ==; cat /proc/swaps 2>/dev/null; true`

// see connects with the keys on record and reads.
func (w *Worker) see(ctx context.Context, c *clipboard.Clipboard) (seen, error) {
	return pipeline.ReadOnce(ctx, "ssh", func() (seen, error) {
		out, err := w.output(ctx, c, "look at the host", seenScript)
		if err != nil {
			return seen{}, err
		}
		var h seen
		parts := []*[]string{&h.fstab, &h.mounts, &h.swaps}
		for l := range strings.Lines(out) {
			if l = strings.TrimRight(l, "\n"); l == "==" && len(parts) > 1 {
				parts = parts[1:]
				continue
			}
			*parts[0] = append(*parts[0], l)
		}
		if len(parts) != 1 {
			return seen{}, fmt.Errorf("look at the host: it printed %q", last(out, "nothing"))
		}
		return h, nil
	})
}

// driftWait says when the host answers with another key than the one on record.
func (w *Worker) driftWait(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	if !c.Has("hostkeys") {
		return nil, nil
	}
	_, err := w.see(ctx, c)
	var wrong *remote.HostKeyError
	if !errors.As(err, &wrong) {
		return nil, err
	}
	have := wrong.Got
	if have == "" {
		have = "of other kinds only"
	}
	return []pipeline.Difference{{What: "the host key at " + wrong.Addr, Want: strings.Join(wrong.Want, " or "), Have: have,
		First: "find out who changed it, for somebody may be in between", Fix: pipeline.FixRedeploy}}, nil
}

// driftMounts compares fstab and what is mounted with the clipboard's filesystems, and what is mounted with its disks.
func (w *Worker) driftMounts(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	list, lines, err := filesystems(c)
	if err != nil {
		return nil, err
	}
	disks, err := ofFirstBoot(c)
	if err != nil || len(list)+len(disks) == 0 {
		return nil, err
	}
	h, err := w.see(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []pipeline.Difference
	for i, f := range list {
		name, there := f.Mount, slices.ContainsFunc(h.mounts, second(f.Mount))
		if f.Type == "swap" {
			// By UUID or label nobody can tell here which device it is.
			name, there = f.Device, !strings.HasPrefix(f.Device, "/") || slices.ContainsFunc(h.swaps, func(l string) bool { return strings.HasPrefix(l, f.Device+" ") || strings.HasPrefix(l, f.Device+"\t") })
		}
		if !slices.Contains(h.fstab, lines[i]) {
			have := "no such line"
			if n := slices.IndexFunc(h.fstab, second(f.Mount)); n >= 0 && f.Type != "swap" {
				have = strings.ReplaceAll(h.fstab[n], "\t", " ")
			}
			out = append(out, pipeline.Difference{What: "the line of fstab for " + name, Want: strings.ReplaceAll(lines[i], "\t", " "), Have: have})
		}
		if !there {
			out = append(out, pipeline.Difference{What: name, Want: "in use", Have: "not mounted"})
		}
	}
	for _, at := range disks {
		if !slices.ContainsFunc(h.mounts, second(at)) {
			out = append(out, pipeline.Difference{What: at, Want: "in use", Have: "not mounted"})
		}
	}
	return out, nil
}

// second finds a line by its second word: the mount point, in fstab(5) and in /proc/mounts.
func second(word string) func(line string) bool {
	return func(line string) bool {
		f := strings.Fields(line)
		return len(f) > 1 && f[1] == word && !strings.HasPrefix(f[0], "#")
	}
}
