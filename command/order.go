package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// ordered is what a person asks for: one request, or those of a cluster's members.
type ordered struct {
	cluster  *clipboard.Cluster // nil: one host
	requests []pipeline.Request
	at       string // when it is to begin, in the asker's words; "": at once
}

// order reads the clipboard that a call names and checks what a person may bring along.
func order(ctx context.Context, e *Env, c *Call, verb string) (ordered, error) {
	src, err := source(ctx, e, c)
	if err != nil {
		return ordered{}, err
	}
	cb, err := clipboard.Parse(src)
	if err != nil {
		return ordered{}, err
	}
	if cb.HasSealed() {
		// What is sealed opens with our key: taken from outside, it would show somebody's secret to whoever pasted it.
		return ordered{}, &UserError{Msg: "this clipboard holds a `!sealed` value, which only the record may", Hint: "write `!secret value`", Kind: ErrDenied}
	}
	if !cb.IsCluster() {
		q, err := request(e, c, verb, cb)
		if err == nil {
			err = e.nameOfHost(ctx, cb.Get("hostname"))
		}
		return ordered{requests: []pipeline.Request{q}}, err
	}
	cl, err := cb.Cluster()
	if err != nil {
		return ordered{}, err
	}
	if err := e.nameOfCluster(ctx, cl); err != nil {
		return ordered{}, err
	}
	o := ordered{cluster: &cl}
	for i, m := range cl.Members {
		q, err := request(e, c, verb, m)
		var key *clipboard.KeyError
		if errors.As(err, &key) { // the line is that of a document of its own, which nobody wrote
			return o, &clipboard.SyntaxError{Msg: fmt.Sprintf("host %d (%s): %q %v", i+1, m.Get("hostname"), key.Key, key.Err)}
		}
		if err != nil {
			return o, err
		}
		o.requests = append(o.requests, q)
	}
	return o, nil
}

// In chat a word means a host, a cluster or the number of a run, so no name may mean two of them: `undo 1` of a host
// "1" took back run 1.

// numeric reports whether chat would take a name for the number of a run. "" is one, too.
func numeric(name string) bool { return strings.Trim(name, "0123456789") == "" }

// nameOfHost refuses a name that is a number, or that a cluster under way has.
func (e *Env) nameOfHost(ctx context.Context, name string) error {
	if numeric(name) {
		return &UserError{Msg: fmt.Sprintf("the host name %q would be taken for the number of a run", clip(name, 40)), Hint: "put a letter into it", Kind: ErrUsage}
	}
	cl, err := e.Engine.FindCluster(ctx, name)
	if errors.Is(err, pipeline.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if slices.ContainsFunc(cl.Runs, func(r pipeline.Run) bool { return r.State.Live() }) {
		return &UserError{Msg: fmt.Sprintf("a cluster that is under way is named %s, so nobody could say which of the two is meant", name), Hint: "wait for it, or take another name", Kind: ErrUsage}
	}
	return nil
}

// nameOfCluster refuses a name that is a number, or that a host on record has. It checks the names of the members, too.
func (e *Env) nameOfCluster(ctx context.Context, cl clipboard.Cluster) error {
	if numeric(cl.Name) {
		return &UserError{Msg: fmt.Sprintf("the cluster's name %q would be taken for the number of a run", clip(cl.Name, 40)), Hint: "put a letter into it", Kind: ErrUsage}
	}
	for _, m := range cl.Members {
		if err := e.nameOfHost(ctx, m.Get("hostname")); err != nil {
			return err
		}
	}
	_, err := e.Engine.FindHost(ctx, cl.Name)
	var several *pipeline.AmbiguousError
	switch {
	case errors.Is(err, pipeline.ErrNotFound):
		return nil
	case err == nil, errors.As(err, &several):
		return &UserError{Msg: fmt.Sprintf("a host on record is named %s, so nobody could say which of the two is meant", cl.Name), Hint: "give the cluster another name", Kind: ErrUsage}
	}
	return err
}

// commandKeys hold what runs on hosts: who brings them needs the role for it.
var commandKeys = []string{"commands", "standby_commands", "user_data"}

// request makes the request for one host.
func request(e *Env, c *Call, verb string, cb *clipboard.Clipboard) (pipeline.Request, error) {
	in, err := cb.Instance()
	if err != nil {
		return pipeline.Request{}, err
	}
	q := pipeline.Request{Clipboard: cb, Kind: pipeline.Kind{Verb: verb, Provider: in.Provider}, By: c.Person.Name, Behind: c.Person.Behind, Origin: c.Origin}
	if err := e.onlyRunners(in, cb); err != nil {
		if !c.Person.Has(access.Run) {
			return q, err
		}
		q.Needs = access.Run
	}
	if q.Steps = in.Steps; q.Steps != nil && verb != "adopt" {
		q.Kind.Verb = pipeline.VerbOwn
		return q, nil
	}
	if err := e.choose(&q, verb, in.Provider, cb); err != nil {
		return q, err
	}
	if err := e.mayRun(verb, q); err != nil {
		if !c.Person.Has(access.Run) {
			return q, err
		}
		q.Needs = access.Run
	}
	return q, nil
}

// onlyRunners refuses what only somebody with the role `run` may bring along.
func (e *Env) onlyRunners(in clipboard.Instance, cb *clipboard.Clipboard) error {
	if in.Steps != nil {
		return &UserError{Msg: "this clipboard brings its own steps, which needs the role \"run\"", Hint: "leave out `steps` to take the pipeline of the provider", Kind: ErrDenied}
	}
	for _, key := range cb.Keys() {
		if slices.Contains(e.Engine.Registry().Given(), key) {
			return &UserError{Msg: fmt.Sprintf("the key %q is for steps to give; to bring it along needs the role \"run\"", key), Hint: "leave it out", Kind: ErrDenied}
		}
	}
	if repo := e.foreignRepo(cb); repo != "" {
		return &UserError{Msg: fmt.Sprintf("this clipboard lets its host read the repository %q, which needs the role \"run\"", clip(repo, 80)), Hint: "leave it out of `repos`, or have it listed under workers.keys.github.repos in jarvis.yaml", Kind: ErrDenied}
	}
	return nil
}

// mayRun refuses what would run on hosts in the name of somebody who may not. A host whose user_data somebody else
// brought can be destroyed all the same: no step of that reads it.
func (e *Env) mayRun(verb string, q pipeline.Request) error {
	read := e.Engine.Registry().Reads(q.Clipboard, q.Steps)
	for _, key := range commandKeys {
		if q.Clipboard.Has(key) && (verb != "destroy" || slices.Contains(read, key)) {
			return &UserError{Msg: fmt.Sprintf("this clipboard brings its own commands (%s), which needs the role \"run\"", key), Hint: "leave out `" + key + "`", Kind: ErrDenied}
		}
	}
	return nil
}

// foreignRepo gives a repository in `repos` that the configuration does not let everybody name: a host that is given
// its deploy key reads it, and so does whoever has that host.
func (e *Env) foreignRepo(cb *clipboard.Clipboard) string {
	if !cb.Has("repos") {
		return ""
	}
	repos, err := cb.Strings("repos")
	if errors.Is(err, clipboard.ErrMissing) {
		return ""
	} else if err != nil {
		return "that is no list"
	}
	for _, repo := range repos {
		owner, _, ok := strings.Cut(repo, "/")
		if !slices.ContainsFunc(e.Repos, func(may string) bool { return strings.EqualFold(may, repo) || ok && strings.EqualFold(may, owner+"/*") }) {
			return repo
		}
	}
	return ""
}

// choose takes the pipeline that the configuration names for the verb and the provider.
func (e *Env) choose(q *pipeline.Request, verb, name string, cb *clipboard.Clipboard) error {
	list := e.Pipelines[verb]
	if name == "" {
		return clipboard.NoProvider()
	}
	if verb == "adopt" {
		return e.adopting(q, name)
	}
	q.Kind = pipeline.Kind{Verb: verb, Provider: name}
	q.Steps = list[name]
	if boot := cb.Get("boot"); boot != "" && list[name+"-"+boot] != nil {
		q.Kind.Variant, q.Steps = boot, list[name+"-"+boot]
	}
	if q.Steps != nil {
		return nil
	}
	var have []string
	for p := range list {
		if p := listed(e.Engine.Registry(), p); !slices.Contains(have, p) {
			have = append(have, p)
		}
	}
	slices.Sort(have)
	switch {
	case len(have) == 0:
		return &UserError{Msg: fmt.Sprintf("no provider is configured, so nothing can %s", verb), Hint: "name one under workers in jarvis.yaml", Kind: ErrUsage}
	case e.Engine.Registry().Title(name) != "":
		return &UserError{Msg: fmt.Sprintf("the provider %s is not configured here; there is %s", pretty(e.Engine.Registry(), name), strings.Join(have, ", ")), Kind: ErrUsage}
	}
	return &UserError{Msg: fmt.Sprintf("I know no provider %q; there is %s", clip(cb.Get("provider"), 40), strings.Join(have, ", ")), Kind: ErrUsage}
}

// source gets the bytes: from the command line, a URL, the directory, or a file of this machine on the console.
func source(ctx context.Context, e *Env, c *Call) ([]byte, error) {
	if c.File != nil {
		return c.File, nil
	}
	from := c.Args[0]
	switch {
	case strings.HasPrefix(from, "http://"), strings.HasPrefix(from, "https://"):
		if e.Fetch == nil {
			return nil, &UserError{Msg: "I may not fetch anything", Hint: "name URL prefixes under sources.urls in jarvis.yaml", Kind: ErrDenied}
		}
		return e.Fetch(ctx, from)
	case strings.HasPrefix(from, "cn="):
		if e.LDAP == nil {
			return nil, &UserError{Msg: "no directory is configured", Hint: "name one under workers.ldap in jarvis.yaml", Kind: ErrUsage}
		}
		b, err := e.LDAP(ctx, strings.TrimPrefix(from, "cn="))
		if err != nil {
			return nil, &UserError{Msg: clip(strings.TrimSpace(err.Error()), 400)}
		}
		return b, nil
	case c.Local && e.ReadFile != nil:
		b, err := e.ReadFile(from)
		var perr interface{ Unwrap() error }
		if err != nil {
			if errors.As(err, &perr) {
				err = perr.Unwrap()
			}
			return nil, &UserError{Msg: fmt.Sprintf("cannot read %s: %v", from, err), Hint: onRecord(ctx, e, from), Kind: ErrNotFound}
		}
		return b, nil
	}
	hint := cmp.Or(onRecord(ctx, e, from), "files are taken on the command line: `jarvis deploy FILE`")
	return nil, &UserError{Msg: fmt.Sprintf("%q is neither a URL nor cn=NAME", clip(from, 80)), Hint: hint, Kind: ErrUsage}
}

// onRecord says what to do with the name of a host that Jarvis deployed; "" when it is none.
func onRecord(ctx context.Context, e *Env, name string) string {
	if _, err := e.Engine.FindHost(ctx, name); err != nil {
		return ""
	}
	return fmt.Sprintf("`redeploy %s` deletes the machine on record and deploys it again", clip(name, 80))
}
