package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
)

// runWait is how long `check run` waits for results.
const runWait = time.Minute

// runChecks waits for the results, runWait or the client's patience at most. What still runs then goes on.
func runChecks(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	task, with, ok := clauses(args, "on")
	if !ok || task == "" || with["on"] == "" {
		return Answer{}, checkUse("run")
	}
	list, err := chosen(ctx, e, task, with["on"])
	if err != nil {
		return Answer{}, err
	}
	if len(list) > 1 { // a pattern means those that can be run
		list = slices.DeleteFunc(list, func(v checks.View) bool { return v.Passive })
	}
	if len(list) == 0 {
		return Answer{}, &UserError{Msg: "all of these are passive: their results are delivered", Hint: "`help check result` says how", Kind: ErrUsage}
	}
	keys := keysOf(list)
	if len(keys) > maxChosen {
		return Answer{}, &UserError{Msg: fmt.Sprintf("that is %d checks", len(list)), Hint: "name fewer", Kind: ErrUsage}
	}
	var waits []<-chan struct{}
	for _, k := range keys {
		done, err := e.Checks.RunNow(ctx, k)
		if err != nil {
			return Answer{}, err
		}
		waits = append(waits, done)
	}
	ctx, cancel := context.WithTimeout(ctx, min(runWait, cmp.Or(c.Patience, runWait)))
	defer cancel()
	a := Answer{}
	var views []checks.View
	for i, k := range keys {
		over := true
		select {
		case <-waits[i]:
		case <-ctx.Done():
			over = false
		}
		v, err := e.Checks.Show(context.WithoutCancel(ctx), k)
		if err != nil {
			return Answer{}, err
		}
		views = append(views, v)
		if over {
			a.Lines = append(a.Lines, e.checkLine(v))
		} else {
			a.Lines = append(a.Lines, fmt.Sprintf("%s still runs; `check show %s` tells what comes of it", k, k))
		}
	}
	a.Data = views
	return a, nil
}

// ackChecks leaves alone what is OK, what another person has acknowledged, and, with `was`, what is worse by now than
// the person saw it.
func ackChecks(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	task, with, ok := clauses(args, "on", "was", "for", "because")
	if !ok || task == "" || with["on"] == "" {
		return Answer{}, checkUse("ack")
	}
	list, err := chosen(ctx, e, task, with["on"])
	if err != nil {
		return Answer{}, err
	}
	ack := checks.Ack{By: c.Person.Name, Why: c.secrets.Mask(with["because"])}
	until := "until it is OK"
	if with["for"] != "" {
		d, err := period(with["for"])
		if err != nil {
			return Answer{}, err
		}
		ack.Until = e.Now().Add(d)
		until = "until " + plain.Time(ack.Until) + " or until it is OK"
	}
	var worse []string
	if with["was"] != "" {
		was, err := model.ParseStatus(with["was"])
		if err != nil {
			return Answer{}, &UserError{Msg: err.Error(), Kind: ErrUsage}
		}
		list, worse = e.asSeen(list, was)
		if len(list) == 0 && len(worse) > 0 {
			return Answer{}, notAcknowledged(worse)
		}
	}
	keys, err := e.Checks.Acknowledge(ctx, keysOf(list), ack)
	if err != nil {
		return Answer{}, err
	}
	// Those of others stay as they are: whoever acknowledges may not have seen that somebody was quicker.
	if list, err = chosen(ctx, e, task, with["on"]); err != nil {
		return Answer{}, err
	}
	var taken []string
	over := 0
	for _, v := range list {
		if v.Status == model.OK {
			over++
		}
		if v.Ack != nil && v.Ack.By != ack.By && len(taken) < 10 {
			taken = append(taken, fmt.Sprintf("%s is acknowledged by %s%s; `check unack %s` ends that.", v.Key, v.Ack.By, untilWhen(*v.Ack), v.Key))
		}
	}
	switch {
	case len(keys) > 0:
	case len(worse) > 0:
		return Answer{}, notAcknowledged(worse)
	case len(taken) > 0:
		return Answer{}, &UserError{Msg: strings.TrimSuffix(taken[0], ".")}
	case over < len(list):
		return Answer{}, &UserError{Msg: fmt.Sprintf("%s on %s: there is nothing left to acknowledge", task, with["on"])}
	case len(list) == 1 && list[0].Word == "PENDING":
		return Answer{}, &UserError{Msg: fmt.Sprintf("%s on %s has no result yet; there is nothing to acknowledge", task, with["on"])}
	default:
		return Answer{}, &UserError{Msg: fmt.Sprintf("%s on %s is OK; there is nothing to acknowledge", task, with["on"])}
	}
	a := say("I say no more of %s %s.", keyNames(keys), until)
	a.Lines = append(append(a.Lines, worse[:min(len(worse), 10)]...), taken...)
	if with["was"] != "" && over > 0 && !isPattern(task) && !isPattern(with["on"]) { // of a pattern nobody knows which of them were seen as problems
		a.Lines = append(a.Lines, fmt.Sprintf("%d of these %s OK by now.", over, isAre(over)))
	}
	a.Bad = len(worse) > 0
	a.Data = keys
	return a, nil
}

// asSeen gives those that are no worse than they were seen, and what to say of the others. One that is worse and
// acknowledged is left as it is, and of it there is nothing to say.
func (e *Env) asSeen(list []checks.View, was model.Status) (left []checks.View, worse []string) {
	for _, v := range list {
		switch {
		case !v.Status.Worse(was):
			left = append(left, v)
		case v.Ack == nil || !v.Ack.Until.IsZero() && !e.Now().Before(v.Ack.Until):
			worse = append(worse, fmt.Sprintf("%s is %s by now, and is not acknowledged", v.Key, v.Status))
		}
	}
	return left, worse
}

// notAcknowledged is the answer where nothing but what is worse by now was left.
func notAcknowledged(worse []string) error {
	return &UserError{Msg: strings.Join(worse[:min(len(worse), 10)], "; ")}
}

// isPattern reports whether a word may mean many.
func isPattern(word string) bool { return strings.ContainsAny(word, "*?[@") }

// untilWhen says how long an acknowledgement holds.
func untilWhen(a checks.Ack) string {
	out := ""
	if !a.Until.IsZero() {
		out = " until " + plain.Time(a.Until)
	}
	if a.Why != "" {
		out += " (" + a.Why + ")"
	}
	return out
}

func keyNames(keys []model.Key) string {
	if len(keys) <= 3 {
		var names []string
		for _, k := range keys {
			names = append(names, k.String())
		}
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%d checks", len(keys))
}

// unackChecks ends the acknowledgement of anybody.
func unackChecks(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	task, with, ok := clauses(args, "on")
	if !ok || task == "" || with["on"] == "" {
		return Answer{}, checkUse("unack")
	}
	list, err := chosen(ctx, e, task, with["on"])
	if err != nil {
		return Answer{}, err
	}
	keys, err := e.Checks.Unacknowledge(ctx, keysOf(list))
	if err != nil {
		return Answer{}, err
	}
	if len(keys) == 0 {
		return Answer{}, &UserError{Msg: "nothing of that is acknowledged"}
	}
	a := say("what is still wrong with %s is said again.", keyNames(keys))
	a.Data = keys
	return a, nil
}

// define puts a definition on record: from the file that came along, or, in chat, from the rest of the line.
func define(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	if len(args) < 3 || c.File != nil && len(args) != 3 {
		return Answer{}, checkUse("define")
	}
	text := string(c.File)
	if c.File == nil {
		text = strings.Join(args[2:], " ") // in chat: {command: check_disk -w 10%}
		if !strings.HasPrefix(text, "{") {
			return Answer{}, &UserError{Msg: "in chat a definition is one line", Hint: "as in `check define task disk {command: check_disk -w 10%}`", Kind: ErrUsage}
		}
	}
	if saysNothing([]byte(text)) {
		return Answer{}, &UserError{Msg: fmt.Sprintf("the definition of the %s %s is empty", clip(args[0], 40), clip(args[1], 80)), Hint: "it has the keys of jarvis.yaml, as in {command: check_disk -w 10%}; `check undefine` takes one away", Kind: ErrUsage}
	}
	if err := e.Checks.Define(ctx, model.Definition{Kind: args[0], Name: args[1], YAML: text, By: c.Person.Name}); err != nil {
		return Answer{}, err
	}
	s := e.Checks.Stats(ctx)
	return say("%s %s counts now: %s on %s.", args[0], args[1], checksWord(s.Checks), hostsWord(s.Hosts)), nil
}

func undefine(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	if len(args) != 2 {
		return Answer{}, checkUse("undefine")
	}
	if err := e.Checks.Remove(ctx, args[0], args[1]); err != nil {
		return Answer{}, err
	}
	s := e.Checks.Stats(ctx)
	return say("%s %s is gone: %s on %s.", args[0], args[1], checksWord(s.Checks), hostsWord(s.Hosts)), nil
}
