package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
)

func check() Verb {
	task := Param{Name: "task", In: InPath, Doc: "name of a task; host: whether the host answers at all", Required: true}
	onHost := Param{Name: "host", In: InPath, Doc: "name of a host", Required: true, Word: "on"}
	one := []Param{task, onHost}
	oneWith := func(more ...Param) []Param { return append(append([]Param(nil), one...), more...) }
	kind := Param{Name: "kind", In: InPath, Doc: "host, task, schedule, period, host_task, downtime, action, contact or node", Required: true}
	name := Param{Name: "name", In: InPath, Doc: "its name", Required: true}
	forTime := Param{Name: "for", In: InBody, Doc: "how long, as in 2h or 3d", Word: "for"}
	because := Param{Name: "because", In: InBody, Doc: "why", Word: "because"}
	was := Param{Name: "was", In: InBody, Doc: "how bad it was when you saw it, as in warning: what is worse by now is not acknowledged", Word: "was"}
	anyTask := Param{Name: "task", In: InQuery, Doc: "name of a task, * and ? allowed"}
	anyHost := Param{Name: "host", In: InQuery, Doc: "name of a host, * and ? allowed; @group or @cluster", Word: "on"}
	const path = "/v1/checks/{host}/{task}"
	return worded(Verb{
		Name: "check", Role: access.View, Min: 1, Acts: true,
		CLI:     map[string]string{"import": "jarvis check import nagios /etc/nagios4"},
		Doc:     "shows, runs, acknowledges, silences and defines the scheduled checks of hosts",
		Example: "check show disk on loki",
		API: []API{
			{Method: "GET", Path: "/v1/checks", Prefix: []string{"list"}, Gives: checks.Listing{}, Params: []Param{anyTask, anyHost, {Name: "status", In: InQuery, Doc: "problem, ok, warning, critical or unknown", Word: "is"},
				{Name: "limit", In: InQuery, Doc: "at most so many, the worst first; 1000 without it, 10000 at most", Word: "first", Kind: Number}, {Name: "after", In: InQuery, Doc: "next of the page before", Word: "after"}}},
			{Method: "GET", Path: path, Prefix: []string{"show"}, Gives: checks.View{}, Params: one},
			{Method: "GET", Path: path + "/metrics", Prefix: []string{"metrics"}, Gives: []checks.Series{}, Params: oneWith(
				Param{Name: "for", In: InQuery, Doc: "how far back, as in 24h or 30d; 24h without it", Word: "for"}, Param{Name: "by", In: InQuery, Doc: "5m, 1h or 24h; without it what fits", Word: "by"})},
			{Method: "GET", Path: "/v1/checks-results", Prefix: []string{"history"}, Gives: []checks.Result{}, Params: []Param{anyTask, anyHost,
				{Name: "status", In: InQuery, Doc: "problem: only what was not OK", Word: "is"},
				{Name: "since", In: InQuery, Doc: "only runs that began since: a time ago, as in 24h or 3d, or a time as in RFC 3339", Word: "since"}, {Name: "until", In: InQuery, Doc: "and before: as since", Word: "until"}, {Name: "limit", In: InQuery, Doc: "at most so many, newest first; 20 without it, 10000 at most", Word: "last", Kind: Number},
				{Name: "before", In: InQuery, Doc: "only results with a lower id: the next page", Word: "before", Kind: Number}}},
			{Method: "GET", Path: "/v1/checks-report", Prefix: []string{"report"}, Gives: checks.Report{}, Params: []Param{anyTask, anyHost,
				{Name: "group", In: InQuery, Doc: "a group of hosts, or a cluster; the same as host=@GROUP", Word: "group"},
				{Name: "for", In: InQuery, Doc: "how far back, as in 30d; 30d without it and since", Word: "for"},
				{Name: "since", In: InQuery, Doc: "from when on: a time ago, as in 24h or 3d, or a time as in RFC 3339", Word: "since"},
				{Name: "until", In: InQuery, Doc: "and to when: as since; now without it", Word: "until"},
				{Name: "within", In: InQuery, Doc: "one of checks.periods: only that time counts", Word: "within"},
				{Name: "with", In: InQuery, Doc: "downtimes: those that people planned count like any other time; they are left out without it", Word: "with"},
				{Name: "limit", In: InQuery, Doc: "at most so many checks, the worst first; 1000 without it, 10000 at most", Word: "first", Kind: Number}}},
			{Method: "POST", Path: path + "/run", Prefix: []string{"run"}, Gives: []checks.View{}, Params: one},
			{Method: "POST", Path: path + "/result", Prefix: []string{"result"}, Once: true, Gives: checks.View{}, Params: oneWith(
				Param{Name: "at", In: InBody, Doc: "when it was so, as in RFC 3339, or how long ago, as in 5m; an hour at most, and not before the last result; without it now", Word: "at"},
				Param{Name: "perfdata", In: InBody, Doc: "performance data, as plugins write it; it may stand in output too, after a |", Word: "perf"},
				Param{Name: "status", In: InBody, Doc: "ok, warning, critical or unknown; or the exit code of what was run, as in 2, a number or text", Required: true, Kind: Code},
				Param{Name: "output", In: InBody, Doc: "what it says, as plugins print it"})},
			{Method: "POST", Path: path + "/ack", Prefix: []string{"ack"}, Gives: []model.Key{}, Params: oneWith(was, forTime, because)},
			{Method: "DELETE", Path: path + "/ack", Prefix: []string{"unack"}, Gives: []model.Key{}, Params: one},
			{Method: "GET", Path: "/v1/checks-stats", Prefix: []string{"stats"}, Gives: checks.Stats{}},
			{Method: "GET", Path: "/v1/checks-downtimes", Prefix: []string{"downtimes"}, Gives: []checks.Downtime{}},
			{Method: "POST", Path: "/v1/checks-downtimes", Prefix: []string{"silence"}, Gives: checks.Downtime{}, Params: []Param{
				{Name: "task", In: InBody, Doc: "name of a task, * and ? allowed; without it all"}, {Name: "host", In: InBody, Doc: "name of a host, * and ? allowed", Word: "on", Required: true},
				{Name: "from", In: InBody, Doc: "when it begins: a time of day, as in 22:00, a day with one, as in 2026-12-01 22:00, or as in RFC 3339; without it now", Word: "from"},
				{Name: "for", In: InBody, Doc: "how long, as in 2h or 3d; this or until", Word: "for"}, {Name: "until", In: InBody, Doc: "when it ends, as from", Word: "until"}, because}},
			{Method: "DELETE", Path: "/v1/checks-downtimes/{downtime}", Prefix: []string{"unsilence"}, Gives: checks.Downtime{}, Params: []Param{{Name: "downtime", In: InPath, Doc: "its number", Required: true, Kind: Number}}},
			{Method: "GET", Path: "/v1/checks-actions", Prefix: []string{"actions"}, Gives: []checks.Done{}, Params: []Param{{Name: "limit", In: InQuery, Doc: "at most so many, newest first; 20 without it", Kind: Number}}},
			{Method: "GET", Path: "/v1/checks-definitions", Prefix: []string{"defined"}, Gives: []model.Definition{}, Params: []Param{{Name: "kind", In: InQuery, Doc: kind.Doc}}},
			{Method: "PUT", Path: "/v1/checks-definitions/{kind}/{name}", Prefix: []string{"define"}, Params: []Param{kind, name, {Name: "definition", In: InBody, Doc: "what it is: an object with the keys of jarvis.yaml, or the same as text (YAML)", Kind: Object, Required: true}}},
			{Method: "DELETE", Path: "/v1/checks-definitions/{kind}/{name}", Prefix: []string{"undefine"}, Params: []Param{kind, name}},
		},
	},
		Word{Name: "list", Usage: "[TASK] [on HOST] [is problem|ok|warning|critical|unknown] [first NUMBER] [after PLACE]", Role: access.View, Max: -1, Run: ofChecks(listChecks),
			Doc: "lists the checks that are meant, and how they stand; without a name what is wrong, and how many are OK"},
		Word{Name: "show", Usage: "TASK on HOST", Role: access.View, Min: 1, Max: -1, Run: ofChecks(showCheck),
			Doc: "tells all of one check: how it stands, its values, its last results"},
		Word{Name: "history", Usage: "[TASK] [on HOST] [is problem] [since 24h] [until 1h] [last NUMBER] [before ID]", Role: access.View, Max: -1, Run: ofChecks(checkHistory),
			Doc: "lists results, the newest first"},
		Word{Name: "metrics", Usage: "TASK on HOST [for 24h] [by 5m|1h|24h]", Role: access.View, Min: 1, Max: -1, Run: ofChecks(checkMetrics),
			Doc: "gives the values of a check over a time"},
		Word{Name: "report", Usage: "[TASK] [on HOST] [for 30d | since 30d until 1d] [within PERIOD] [with downtimes] [first NUMBER]", Role: access.View, Max: -1, Run: ofChecks(reportChecks),
			Doc: "tells which part of a time checks were OK, and their outages, the worst first; planned downtimes are left out unless you say with downtimes"},
		Word{Name: "stats", Usage: "", Role: access.View, Max: -1, Run: ofChecks(checkStats),
			Doc: "tells how many checks run, how late they are, and what the trouble is"},
		Word{Name: "run", Usage: "TASK on HOST[,HOST]", Role: access.Deploy, Min: 1, Max: -1, Run: ofChecks(runChecks),
			Doc: "runs checks now, beside their schedule, and waits up to a minute for their results"},
		Word{Name: "result", Usage: "TASK on HOST [at TIME] [perf DATA] STATUS [TEXT]", Role: access.Deploy, Min: 4, Max: -1, Run: ofChecks(giveResult),
			Doc: "delivers the result of a passive check: ok, warning, critical, unknown or an exit code, and what it says"},
		Word{Name: "ack", Usage: "TASK on HOST[,HOST] [was warning] [for 2h] [because …]", Role: access.Deploy, Min: 1, Max: -1, Run: ofChecks(ackChecks),
			Doc: "says that you know of a problem: nothing more is said of it until it ends, or the time is over; with was, only while it is no worse than that"},
		Word{Name: "unack", Usage: "TASK on HOST[,HOST]", Role: access.Deploy, Min: 1, Max: -1, Run: ofChecks(unackChecks),
			Doc: "takes an acknowledgement back; what is still wrong is said again"},
		Word{Name: "silence", Usage: "[TASK on] HOST[,HOST] [from TIME] for 2h|until TIME [because …]", Role: access.Deploy, Min: 1, Max: -1, Run: ofChecks(silenceChecks),
			Doc: "begins a downtime, now or at a time: the checks run, and nothing is said of them until it ends"},
		Word{Name: "unsilence", Usage: "NUMBER", Role: access.Deploy, Min: 1, Max: -1, Run: ofChecks(unsilenceChecks),
			Doc: "ends a downtime now, or cancels one that is to come; what is wrong then is said"},
		Word{Name: "downtimes", Usage: "", Role: access.View, Max: -1, Run: ofChecks(listDowntimes),
			Doc: "lists the downtimes that are, or are to come"},
		Word{Name: "actions", Usage: "[NUMBER]", Role: access.View, Max: -1, Run: ofChecks(listActions),
			Doc: "lists what was done on results, and what failed"},
		Word{Name: "defined", Usage: "[KIND]", Role: access.View, Max: -1, Run: ofChecks(listDefinitions),
			Doc: "lists what was declared by the API or by define"},
		Word{Name: "define", Usage: "KIND NAME FILE", Role: access.Run, Min: 1, Max: -1, Run: ofChecks(define),
			Doc: "declares a host, task, schedule, period, host_task, downtime, action, contact or node, or changes it"},
		Word{Name: "undefine", Usage: "KIND NAME", Role: access.Run, Min: 1, Max: -1, Run: ofChecks(undefine),
			Doc: "takes away what was declared by the API or by define"},
	)
}

// ofChecks does what a word of `check` says, where there are checks.
func ofChecks(run func(context.Context, *Env, *Call, []string) (Answer, error)) func(context.Context, *Env, *Call, []string) (Answer, error) {
	return func(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
		if e.Checks == nil {
			return Answer{}, &UserError{Msg: "no checks run here", Kind: ErrNotFound}
		}
		a, err := run(ctx, e, c, args)
		return a, e.explainCheck(ctx, err)
	}
}

// checkUse says how a word of `check` is used.
func checkUse(word string) error { return check().use(word) }

func checksVerb() Verb {
	return Verb{
		Name: "checks", Usage: "[TASK | HOST] [on HOST] [is STATUS] [first NUMBER] [after PLACE]", Role: access.View, Max: 9, Short: "check list",
		Doc:     "lists what is wrong with the hosts now; with a name, how that check or host stands",
		Example: "checks disk",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			return check().do(ctx, e, c, "list", c.Args)
		},
	}
}

func ack() Verb {
	return Verb{
		Name: "ack", Usage: "TASK on HOST[,HOST] [was warning] [for 2h] [because …]", Role: access.Deploy, Min: 3, Max: -1, Acts: true, Short: "check ack",
		Doc:     "says that you know of a problem: nothing more is said of it until it ends, or the time is over; with was, only while it is no worse than that",
		Example: "ack disk on loki for 2h",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			return check().do(ctx, e, c, "ack", c.Args)
		},
	}
}

// explainCheck turns what the monitor refuses into a UserError with what to type. Any other error stays as it is.
func (e *Env) explainCheck(ctx context.Context, err error) error {
	var none *checks.NoCheckError
	var nobody *checks.NobodyError
	var passive *checks.PassiveError
	var active *checks.NotPassiveError
	switch {
	case errors.As(err, &passive):
		return &UserError{Msg: passive.Error(), Hint: fmt.Sprintf("as in `check result %s ok all is well`", passive.Key), Kind: ErrUsage}
	case errors.As(err, &active):
		return &UserError{Msg: active.Error(), Hint: "`passive: true` in its task, instead of command or plugin, makes it one whose results are delivered", Kind: ErrUsage}
	case errors.As(err, &none) && none.Elsewhere:
		return &UserError{Msg: none.Error(), Hint: fmt.Sprintf("name %s in the hosts of a host_tasks entry with %s, in jarvis.yaml or as in `check define host_task NAME {tasks: [%s], hosts: [%s]}`", none.Key.Host, none.Key.Task, none.Key.Task, none.Key.Host), Kind: ErrNotFound}
	case errors.As(err, &nobody):
		return &UserError{Msg: nobody.Error(), Hint: "`nodes` lists the servers"}
	case errors.As(err, &none):
		return &UserError{Msg: none.Error(), Hint: e.meantCheck(ctx, none.Key) + "`checks` lists what there is", Kind: ErrNotFound}
	case errors.Is(err, model.ErrInvalid), errors.Is(err, checks.ErrInFile):
		return &UserError{Msg: strings.TrimPrefix(strings.TrimPrefix(err.Error(), model.ErrInvalid.Error()+": "), checks.ErrInFile.Error()+": "), Kind: ErrUsage}
	case errors.Is(err, checks.ErrNotFound):
		return &UserError{Msg: "there is no " + strings.TrimPrefix(err.Error(), checks.ErrNotFound.Error()+": "), Kind: ErrNotFound}
	}
	return err
}

// clauses takes apart: [TASK] [on HOST] and word-value pairs; "because" takes the rest of the line.
func clauses(args []string, words ...string) (task string, with map[string]string, ok bool) {
	with = map[string]string{}
	for i := 0; i < len(args); i++ {
		word := args[i]
		known := false
		for _, w := range words {
			known = known || w == word
		}
		switch {
		case known && i+1 < len(args) && with[word] == "":
			i++
			with[word] = args[i]
			if word == "because" {
				with[word] = why(args[i:])
				return task, with, true
			}
		case i == 0 && !known:
			task = word
		default:
			return "", nil, false
		}
	}
	return task, with, true
}

// why gives the words after because as a reason that stands by itself: "because of the new switch" stays whole.
func why(words []string) string {
	text := strings.Join(words, " ")
	if strings.HasPrefix(text, "of ") {
		text = "because " + text
	}
	return text
}

// period reads a time as people write it: 2h, 90m, 3d.
func period(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	unit := time.Duration(1)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, err = time.ParseDuration(days + "h")
		unit = 24
	}
	if err != nil || d <= 0 || d > 10*365*24*time.Hour/unit { // before it is multiplied: many days are more than a Duration holds
		return 0, &UserError{Msg: fmt.Sprintf("%q is no time", clip(s, 40)), Hint: "write 30m, 2h or 3d", Kind: ErrUsage}
	}
	return d * unit, nil
}

// chosen gives the checks that TASK on HOST stands for, patterns allowed.
func chosen(ctx context.Context, e *Env, task, host string) (all []checks.View, err error) {
	hosts, err := hostsOf(host)
	if err != nil {
		return nil, err
	}
	seen := map[model.Key]bool{} // a pattern and a name may mean the same
	for _, one := range hosts {
		list, err := e.Checks.List(ctx, checks.Filter{Task: task, Host: one})
		if err == nil && len(list) == 0 {
			err = &checks.NoCheckError{Key: model.Key{Task: task, Host: one}}
		}
		if err != nil {
			return nil, err
		}
		for _, v := range list {
			if !seen[v.Key] {
				seen[v.Key] = true
				all = append(all, v)
			}
		}
	}
	return all, nil
}

// hostsOf gives the hosts of HOST,HOST, each once. Nothing between two commas would mean every host to who reads a
// filter, and to nobody who wrote it.
func hostsOf(words string) ([]string, error) {
	list := strings.Split(words, ",")
	if len(list) > 1 && slices.Contains(list, "") { // no word at all is another thing: some verbs take that for all
		return nil, &UserError{Msg: fmt.Sprintf("%q has a comma with no host beside it", clip(words, 80)), Hint: "write hosts as loki,thor; * means all", Kind: ErrUsage}
	}
	if len(list) > maxChosen {
		return nil, &UserError{Msg: fmt.Sprintf("that is %d hosts", len(list)), Hint: "a pattern as web* means many", Kind: ErrUsage}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func keysOf(list []checks.View) []model.Key {
	var out []model.Key
	for _, v := range list {
		out = append(out, v.Key)
	}
	return out
}
