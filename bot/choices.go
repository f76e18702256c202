package bot

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

// What waits for a second person is asked with the words that decide it, where a network can show them as buttons. They
// are said like any others: who presses is judged by the verb. However it is decided, the buttons are taken away
// (buttons.go).

// choicesOf gives the words that decide what waits for an approval of a run; none when nothing waits. When the database
// does not tell, there are no buttons, and the words are in the line.
func (b *Bot) choicesOf(ctx context.Context, f Frontend, run int64) Choices {
	if run == 0 {
		return Choices{}
	}
	list, err := b.Engine.Approvals(ctx)
	if err != nil {
		b.Log.Warn("see what waits for an approval; there are no buttons", "run", run, "err", err)
	}
	i := slices.IndexFunc(list, func(a pipeline.Approval) bool { return a.Run == run })
	if i < 0 {
		return Choices{}
	}
	n := strconv.FormatInt(run, 10)
	return Choices{[]Choice{{"Approve", "approve " + n}, {"Deny", "deny " + n}}, b.shown(f, list[i].ID)}
}

// choicesUnder gives those of a notice: the one that asks for the approval has them.
func (b *Bot) choicesUnder(ctx context.Context, f Frontend, x notice) Choices {
	if x.source != "" || x.event <= 0 { // 0 and less: of an older server beside this one, where the sign said so
		return Choices{}
	}
	evs, err := b.Engine.Events(ctx, pipeline.EventFilter{After: x.event - 1, Kinds: []pipeline.EventKind{pipeline.EvProposed}, Limit: 1})
	if err != nil || len(evs) == 0 || evs[0].ID != x.event {
		return Choices{}
	}
	return b.choicesOf(ctx, f, x.run)
}

// sayChoices is say, with buttons when the answer asks for an approval.
func (b *Bot) sayChoices(ctx context.Context, f Frontend, m Message, lines []string, a command.Answer) {
	c, ok := f.(Chooser)
	if !ok {
		b.say(f, m, lines)
		return
	}
	var choices Choices
	switch {
	case a.Approval != nil:
		choices = b.choicesOf(ctx, f, a.Approval.Run)
	case a.Run != nil && a.Run.State == pipeline.Proposed:
		choices = b.choicesOf(ctx, f, a.Run.ID)
	}
	if choices.List == nil {
		b.say(f, m, lines)
	} else {
		c.SayChoices(m.Place, b.prefixed(f, m, lines), choices)
	}
	if m.Choice.At == "" {
		return
	}
	if run, err := strconv.ParseInt(m.Text[strings.LastIndexByte(m.Text, ' ')+1:], 10, 64); err == nil {
		b.pressed(ctx, f, m.Choice, run)
	}
}
