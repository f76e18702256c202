package command

import (
	"context"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
)

// giveResult takes a result of a passive check: TASK on HOST [at TIME] [perf DATA] STATUS [TEXT].
func giveResult(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	g, err := e.givenBy(args)
	if err != nil {
		return Answer{}, err
	}
	g.Output, g.Perf = c.secrets.Mask(g.Output), c.secrets.Mask(g.Perf)
	if c.Key != "" {
		g.ID, g.Hash = keyOf(c), fingerprint(c)
	}
	v, again, err := e.Checks.Give(ctx, g)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Data: v, Lines: []string{e.checkLine(v)}}
	if again {
		a.Lines = append(a.Lines, "this result was taken before, and counts once")
	}
	return a, nil
}

// givenBy reads the words of a result. What comes after the status is its text, whatever it says.
func (e *Env) givenBy(args []string) (g checks.Given, err error) {
	if len(args) == 0 {
		return g, checkUse("result")
	}
	g.Task, args = args[0], args[1:]
	for len(args) > 1 && (args[0] == "on" || args[0] == "at" || args[0] == "perf") {
		switch value := args[1]; args[0] {
		case "on":
			g.Host = value
		case "perf":
			g.Perf = value
		default:
			if g.At, err = e.ago(value); err != nil {
				return g, err
			}
		}
		args = args[2:]
	}
	if len(args) == 0 || g.Host == "" {
		return g, checkUse("result")
	}
	g.Output = strings.Join(args[1:], " ")
	if g.Exit, err = strconv.Atoi(args[0]); err == nil && g.Exit >= 0 && g.Exit <= 255 {
		return g, nil
	}
	status, err := model.ParseStatus(args[0])
	if err != nil {
		return g, &UserError{Msg: err.Error(), Hint: "or write the exit code of what was run, as in `check result backup on loki 0 saved`", Kind: ErrUsage}
	}
	g.Status = &status
	return g, nil
}
