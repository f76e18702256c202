package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"

	gossh "golang.org/x/crypto/ssh"
)

// Short writes a duration as people read it: 850ms, 12s, 1m12s, 2h05m, 3d4h.
func Short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// sentence ends a text with a full stop, unless it has an end already: a step's reason may be a question.
func sentence(text string) string {
	text = strings.TrimRight(text, " ")
	if text == "" || strings.ContainsRune(".?!…", []rune(text)[len([]rune(text))-1]) {
		return text
	}
	return text + "."
}

// listed gives the provider's name of a list of steps, esx-network, as people write it.
func listed(r *pipeline.Registry, p string) string {
	if short, _, _ := strings.Cut(p, "-"); r.Title(short) != "" {
		p = short
	}
	return pretty(r, p)
}

// pretty gives a provider's own way to write its name. One that is not built in is given as it is.
func pretty(r *pipeline.Registry, provider string) string {
	if t := r.Title(provider); t != "" {
		return t
	}
	return provider
}

// on gives " on Linode", or "" for a host whose clipboard names no provider.
func on(e *pipeline.Engine, r pipeline.Run) string {
	if p := e.Value(r, "provider"); p != "" {
		return " on " + pretty(e.Registry(), p)
	}
	return ""
}

// StatusLine says in one line where a run stands. line is the last progress of a step under way; usual the usual
// time of the stage, 0 when unknown.
func StatusLine(r pipeline.Run, line string, usual time.Duration, now time.Time) string {
	var b strings.Builder
	took := Short(now.Sub(r.StageAt))
	if usual > 0 {
		took += " (usually " + Short(usual) + ")"
	}
	fmt.Fprintf(&b, "%s: ", r.Host)
	switch r.State {
	case pipeline.Proposed:
		fmt.Fprintf(&b, "waits for a second person: `approve %d` starts it, `deny %d` does not", r.ID, r.ID)
		if !r.At.IsZero() {
			b.WriteString("; approved, it " + waitsToBegin(r))
		}
	case pipeline.Planned:
		b.WriteString(waitsToBegin(r))
	case pipeline.Running:
		fmt.Fprintf(&b, "%s, %s", r.Where(), took)
		if line != "" {
			b.WriteString(" — " + line)
		}
	case pipeline.Waiting:
		fmt.Fprintf(&b, "%s, %s — %s", r.Where(), took, r.Why)
	case pipeline.Failed:
		if r.Ending == pipeline.EndUndonePart {
			fmt.Fprintf(&b, "is not wholly undone: %s; `undo %s` tries again, `cancel %s` leaves what stays", strings.TrimSuffix(r.Error, "."), r.Host, r.Host)
			break
		}
		fmt.Fprintf(&b, "failed at %s: %s", r.Where(), r.Error)
	case pipeline.Asking:
		fmt.Fprintf(&b, "waits for you at %s: %s `retry %s` runs it again, `skip %s` goes on", r.Where(), sentence(r.Error), r.Host, r.Host)
	case pipeline.Undoing:
		fmt.Fprintf(&b, "is being undone")
		if line != "" {
			b.WriteString(" — " + line)
		} else if r.Why != "" {
			b.WriteString(" — " + r.Why)
		}
	case pipeline.Ready:
		if r.IsImport() {
			b.WriteString("imported, never deployed here")
			break
		}
		fmt.Fprintf(&b, "is %s, for %s, took %s", over(r), Short(now.Sub(r.Ended)), Short(r.Took(now)))
	case pipeline.Cancelled:
		if r.Ending == pipeline.EndLapsed {
			b.WriteString("never began: ")
		}
		b.WriteString(r.Error)
		if r.HasBegun() {
			where := sentence(b.String()) + " It stood at " + r.Where()
			b.Reset()
			b.WriteString(where)
		}
	case pipeline.Undone:
		fmt.Fprintf(&b, "undone: %s", r.Error)
	}
	return fmt.Sprintf("%s Run %d, by %s, %s ago.", sentence(b.String()), r.ID, r.By, Short(now.Sub(r.Started)))
}

// Notice says in one line what an event means to the person who asked; "" for events that are no notice. The words
// "failed at stage N/M STEP" and "is ready" are contract.
func Notice(ctx context.Context, e *pipeline.Engine, r pipeline.Run, ev pipeline.Event) string {
	if line, is := plannedNotice(ctx, e, r, ev); is {
		return line
	}
	if tasklog.IsTask(r) {
		if line := taskNotice(ctx, e, r, ev); line != "" {
			return line
		}
	}
	if r.Cluster != 0 {
		if line, folded := ofCluster(ctx, e, r, ev); folded {
			return line
		}
	}
	at := fmt.Sprintf("stage %d/%d %s", min(ev.Stage+1, len(r.Steps)), len(r.Steps), ev.Step)
	switch ev.Kind {
	case pipeline.EvFailed:
		end := fmt.Sprintf("`retry %s` goes on from there; `undo %s` removes what it made.", r.Host, r.Host)
		if !e.Undoable(r) {
			end = fmt.Sprintf("`retry %s` goes on from there; there is nothing that `undo` could remove.", r.Host)
		}
		if r.Cluster != 0 {
			if cl, err := e.ClusterOf(ctx, r); err == nil && cl.OnFailure == clipboard.UndoAll {
				end = fmt.Sprintf("So %s takes back all its hosts.", cl.Name)
				var held *pipeline.HeldError
				if err := e.NoneHeld(ctx, cl.ID); errors.As(err, &held) {
					end = fmt.Sprintf("So %s takes back all its hosts, but for those that are held, as %s is by %s.", cl.Name, held.Host, held.By)
				}
			}
			end += soFar(ctx, e, r)
		}
		return fmt.Sprintf("%s failed at %s after %s: %s %s", r.Host, at, Short(ev.Took), sentence(ev.Text), end)
	case pipeline.EvProposed:
		if r.Origin != "" && r.Origin != pipeline.Everybody && (r.State == pipeline.Proposed || strings.HasPrefix(ev.Text, "undo by "+r.By+":") || (ev.Diff == pipeline.ToRepeat || ev.Diff == pipeline.ToGiveUp) && strings.Contains(ev.Text, " by "+r.By+": ")) {
			return "" // the answer said it, where they asked
		}
		if r.State == pipeline.Proposed {
			return fmt.Sprintf("%s: run %d, %s, waits for a second person: `approve %d`.", r.Host, r.ID, ev.Text, r.ID)
		}
		return fmt.Sprintf("%s: %s; it waits for a second person: `approve %d`.", r.Host, ev.Text, r.ID)
	case pipeline.EvApproved:
		if r.Ending == pipeline.EndGivenUp {
			return fmt.Sprintf("%s: to give up run %d is approved %s.", r.Host, r.ID, ev.Text)
		}
		if ev.Diff == pipeline.ToStart && !r.At.IsZero() {
			return fmt.Sprintf("%s: run %d is approved %s; it is to begin on %s.", r.Host, r.ID, ev.Text, beginsOn(r))
		}
		return fmt.Sprintf("%s: run %d is approved %s, and goes on.", r.Host, r.ID, ev.Text)
	case pipeline.EvDenied:
		if r.Ending == pipeline.EndWithdrawn && ev.Diff == pipeline.ToStart && r.Origin != "" {
			return "" // whoever asked took it back, and was answered there
		}
		if ev.Diff == pipeline.ToUndo {
			return fmt.Sprintf("%s: the undo of run %d will not happen: %s; the host stays as it is.", r.Host, r.ID, ev.Text)
		}
		if ev.Diff == pipeline.ToRepeat {
			return fmt.Sprintf("%s: run %d is not done again: %s; the host stays as it is.", r.Host, r.ID, ev.Text)
		}
		if ev.Diff == pipeline.ToGiveUp {
			return fmt.Sprintf("%s: run %d is not given up: %s.", r.Host, r.ID, ev.Text)
		}
		return fmt.Sprintf("%s: run %d does not start: %s; nothing was done.", r.Host, r.ID, ev.Text)
	case pipeline.EvAsking:
		return fmt.Sprintf("%s waits for you at %s: %s `retry %s` runs it again, `skip %s` goes on.", r.Host, at, sentence(ev.Text), r.Host, r.Host)
	case pipeline.EvReady:
		s := r.Host + " is " + over(r)
		if over(r) == "destroyed" {
			return fmt.Sprintf("%s, %d %s in %s", s, len(r.Steps), plural(len(r.Steps), "stage"), Short(ev.Took))
		}
		if ip := e.Value(r, "ipaddress"); ip != "" {
			s += ": " + ip
		}
		s += fmt.Sprintf(", %d %s in %s", len(r.Steps), plural(len(r.Steps), "stage"), Short(ev.Took))
		if keys := e.Values(r, "hostkeys"); len(keys) > 0 {
			if k, _, _, _, err := gossh.ParseAuthorizedKey([]byte(keys[0])); err == nil {
				s += ", " + gossh.FingerprintSHA256(k)
			}
		}
		return s
	case pipeline.EvAllReady:
		return fmt.Sprintf("%s, in %s.", ev.Text, Short(ev.Took))
	case pipeline.EvCancelled:
		return fmt.Sprintf("%s: run %d was %s", r.Host, r.ID, sentence(ev.Text))
	case pipeline.EvUndone:
		return fmt.Sprintf("%s is undone: %s", r.Host, sentence(ev.Text))
	case pipeline.EvDrift:
		return fmt.Sprintf("%s has drifted: %s `drift %s` looks again.", r.Host, sentence(ev.Text), r.FQDN)
	case pipeline.EvDriftOver:
		return fmt.Sprintf("%s is %s", r.Host, sentence(ev.Text))
	case pipeline.EvSiloAway, pipeline.EvSiloBack:
		return sentence(ev.Text)
	case pipeline.EvUndoFailed:
		return fmt.Sprintf("%s could not be undone wholly: %s `undo %s` tries again, `cancel %s` leaves what stays.", r.Host, sentence(ev.Text), r.Host, r.Host)
	}
	return ""
}

// taskNotice says what became of a reviewed task, "" where the notice of any other run will do.
func taskNotice(ctx context.Context, e *pipeline.Engine, r pipeline.Run, ev pipeline.Event) string {
	what, goesOn, marks := "its repository", false, ev.Step == "task:done"
	if t, err := tasklog.Of(ctx, e, r); err == nil && t.ID != "" {
		what, goesOn = fmt.Sprintf("“%s” by %s (%s)", clip(t.Name, 100), t.Author, t.Short()), t.GoesOn
	}
	ends := fmt.Sprintf("`task retry %s` runs it again, `task done %s` goes on without.", r.Host, r.Host)
	switch ev.Kind {
	case pipeline.EvFailed:
		if tasklog.IsCheck(r) {
			return fmt.Sprintf("%s: no task runs: %s", r.Host, sentence(ev.Text))
		}
		if marks {
			return fmt.Sprintf("%s: the task %s has ended, and cannot be marked as done: %s The next one waits; it is tried again at each look, and by `task retry %s`.", r.Host, what, sentence(ev.Text), r.Host)
		}
		if goesOn && ev.Step == "task:run" {
			ends = "It is passed over, as `after_failure` says."
		}
		return fmt.Sprintf("%s: the task failed after %s: %s %s", r.Host, Short(ev.Took), sentence(ev.Text), ends)
	case pipeline.EvAsking:
		return fmt.Sprintf("%s: nobody knows what became of the task %s: %s %s", r.Host, what, sentence(ev.Text), ends)
	case pipeline.EvCancelled:
		if tasklog.IsCheck(r) {
			return ""
		}
		return fmt.Sprintf("%s: the task %s was %s %s", r.Host, what, sentence(cancelledTask(ctx, e, r, ev.Text)), ends)
	case pipeline.EvReady:
		if tasklog.IsCheck(r) {
			return r.Host + ": the repository of tasks is in order again."
		}
		if text, well, err := tasklog.Outcome(ctx, e, r.ID); err == nil && !well {
			return fmt.Sprintf("%s: the task %s counts as done: %s.", r.Host, what, text)
		}
		return fmt.Sprintf("%s: the task %s is done, in %s.", r.Host, what, Short(ev.Took))
	}
	return ""
}

// endings are the words for how runs end, where their state does not say it.
var endings = map[pipeline.Ending]string{
	pipeline.EndDestroyed: "destroyed", pipeline.EndUndonePart: "undone in part", pipeline.EndDenied: "never began, it was denied",
	pipeline.EndGivenUp:   "given up, undone in part",
	pipeline.EndWithdrawn: "never began, it was withdrawn", pipeline.EndExpired: "never began, nobody approved it in time",
	pipeline.EndLapsed: "never began, something spoke against it when its time came",
}

// stateWord says in a word or two where a run stands.
func stateWord(r pipeline.Run) string {
	if r.IsImport() {
		return "imported"
	}
	if w, ok := endings[r.Ending]; ok {
		return w
	}
	return string(r.State)
}

// ReadyLine says that a run came to the end of its pipeline, in the words that are contract.
func ReadyLine(r pipeline.Run) string {
	return fmt.Sprintf("%s is %s, %d %s in %s", r.Host, over(r), len(r.Steps), plural(len(r.Steps), "stage"), Short(r.Took(r.Ended)))
}

// proposalRemark says what waits for an approval, or for its time, about a host.
func proposalRemark(p pipeline.Run) string {
	if p.State == pipeline.Planned {
		return fmt.Sprintf("run %d, %s by %s, %s", p.ID, p.Pipeline, p.By, waitsToBegin(p))
	}
	return fmt.Sprintf("run %d, %s by %s, waits for a second person: `approve %d`", p.ID, p.Pipeline, p.By, p.ID)
}

// standsRemark says that a host is in production though its last run did not come to its end: it failed before it took
// anything down. "" when that is not so.
func (e *Env) standsRemark(ctx context.Context, r pipeline.Run) string {
	if r.State != pipeline.Failed && r.State != pipeline.Asking && r.State != pipeline.Cancelled || tasklog.IsTask(r) {
		return ""
	}
	h, err := e.Engine.FindHost(ctx, r.FQDN)
	if err != nil || h.ID != r.ID || !h.Reach.OK() {
		return ""
	}
	before, err := e.Engine.StoodBefore(ctx, r)
	if err != nil || !before {
		return ""
	}
	return "The host itself is still in production, at " + h.Reach.Addr + "."
}

// undoRemark says that an undo of a run, or a part of it once more, waits for an approval; "" when none does.
func undoRemark(undos []pipeline.Approval, r pipeline.Run) string {
	for _, a := range undos {
		if a.Of(r) && a.What == pipeline.ToRepeat {
			return fmt.Sprintf("a retry from %s, asked for by %s, waits for a second person: `approve %d`", a.Step, a.By, a.Run)
		}
		if a.Of(r) && a.What == pipeline.ToGiveUp {
			return fmt.Sprintf("to give it up, asked for by %s, waits for a second person: `approve %d`", a.By, a.Run)
		}
		if a.Of(r) {
			return fmt.Sprintf("its undo, asked for by %s, waits for a second person: `approve %d`", a.By, a.Run)
		}
	}
	return ""
}

// over is what a host is when its run has come to the end of its pipeline.
func over(r pipeline.Run) string {
	if r.Ending == pipeline.EndDestroyed {
		return "destroyed"
	}
	return "ready"
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
