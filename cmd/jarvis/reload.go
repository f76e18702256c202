package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/web"
)

// reloader reads the configuration of a running server again. A file with a mistake changes nothing.
//
//	SIGHUP, `jarvis reload` ──► Verify: all mistakes ──► what can change now, all of it ──► what needs a restart is named
type reloader struct {
	a    *app
	j    *journal
	file string // "": there is none, and the defaults are in force
	m    *manager

	mu    sync.Mutex
	empty bool           // the file that is in force says nothing
	inUse *config.Config // what is in force: the file's as of the start, with what was reloaded since
}

// now are the keys that a running server takes over. Certificates are read again when their files change, without being
// asked.
var now = []string{"people", "limit", "approvals", "freeze", "zone", "pipelines", "checks", "keep", "log", "http", "notices", "mail"}

// only says which part of a key it is, where not all of it can change.
var only = map[string]string{"log": "log.level", "http": "http.oidc"}

// reload takes over what changed, and says what did and what needs a restart. The error says all that is wrong.
func (r *reloader) reload(ctx context.Context) (web.Reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m.reloading()
	defer r.m.say("READY=1")
	out, err := r.take(ctx)
	if err != nil {
		r.j.mistakes("the configuration is not taken over; what was in force stays", err)
		r.m.say("STATUS=ready; the configuration on disk has mistakes")
		return out, err
	}
	r.m.say("STATUS=ready")
	r.j.Info("the configuration was read again", "changed", strings.Join(out.Changed, ", "), "needs_restart", strings.Join(out.Restart, ", "))
	return out, nil
}

// take is reload without what is told of it. mu is held.
func (r *reloader) take(ctx context.Context) (web.Reloaded, error) {
	var out web.Reloaded
	if r.file == "" {
		return out, &command.UserError{Msg: "this server was started without a configuration file, and has nothing to read again", Hint: "restart it"}
	}
	conf, err := config.Verify(r.file)
	if err != nil {
		return out, err
	}
	if conf.Empty() && !r.empty {
		return out, config.Errors{{File: r.file, Msg: "is empty: what was in force stays; if everything is to be by default, write {}"}}
	}
	a := r.a
	// What may refuse something that the file does not show comes first: nothing is in force before all agree. Routes
	// look at the rooms where this bot is, and checks at what is on record.
	if err := a.keeper.bot.CheckRoutes(conf.Notices, conf.Mail); err != nil {
		return out, conf.Wrong(err)
	}
	if err := access.Check(conf.Persons()); err != nil {
		return out, conf.Wrong(err)
	}
	if err := a.checks.Reload(ctx, conf.Checks); err != nil {
		return out, conf.Wrong(mistake.Move(err, "checks", "checks"))
	}
	if err := a.access.SetPeople(conf.Persons()); err != nil {
		return out, conf.Wrong(err)
	}
	if err := a.keeper.bot.SetRoutes(conf.Notices, conf.Mail); err != nil {
		return out, conf.Wrong(err)
	}
	a.checks.SetMail(conf.Mail)
	a.access.SetOIDC(conf.HTTP.OIDC)
	a.limiter.Set(conf.Limit)
	a.table.Change(func(e *command.Env) {
		a.lists = conf.Pipelines
		e.Approvals, e.Freeze, e.Zone, e.Pipelines = conf.Approvals, conf.Freeze, conf.Zone, pipelines(a.lists, a.workers.Registry)
	})
	conf.Zone.Apply()
	a.keeper.set(conf.Keep)
	r.j.follow(conf)
	old, fresh := reflect.ValueOf(r.inUse).Elem(), reflect.ValueOf(conf).Elem()
	merged := *r.inUse
	for i := range old.NumField() {
		f := old.Type().Field(i)
		if !f.IsExported() || reflect.DeepEqual(old.Field(i).Interface(), fresh.Field(i).Interface()) {
			continue
		}
		key := f.Tag.Get("yaml")
		if !slices.Contains(now, key) {
			out.Restart = append(out.Restart, key)
			continue
		}
		if part := only[key]; part != "" {
			key = part
		}
		if key != "log.level" && key != "http.oidc" || key == "log.level" && r.inUse.Log.Level != conf.Log.Level || key == "http.oidc" && !reflect.DeepEqual(r.inUse.HTTP.OIDC, conf.HTTP.OIDC) {
			out.Changed = append(out.Changed, key)
		}
		reflect.ValueOf(&merged).Elem().Field(i).Set(fresh.Field(i))
	}
	if r.inUse.Log.Format != conf.Log.Format {
		out.Restart = append(out.Restart, "log.format")
		merged.Log.Format = r.inUse.Log.Format
	}
	was, is := r.inUse.HTTP, conf.HTTP
	if was.OIDC, is.OIDC = nil, nil; !reflect.DeepEqual(was, is) {
		out.Restart = append(out.Restart, "http")
		was.OIDC = conf.HTTP.OIDC
		merged.HTTP = was
	}
	r.inUse, r.empty = &merged, conf.Empty()
	return out, nil
}

// run reads the configuration again whenever a signal asks for it.
func (r *reloader) run(ctx context.Context, asked <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-asked:
			_, _ = r.reload(ctx) // it is in the log
		}
	}
}

type reloadCmd struct{}

// Help is shown under --help.
func (reloadCmd) Help() string {
	return "Taken over while the server runs: " + strings.NewReplacer("log", only["log"], "http", only["http"]).Replace(strings.Join(now, ", ")) + ", and certificates. What else has changed is named, and needs a restart.\n\nExit codes: 0 taken over, 1 no server, 2 mistakes in the configuration, of which nothing was taken over, 3 not allowed."
}

// Run is called by kong.
func (reloadCmd) Run(ctx context.Context, t *term) error {
	cl, err := t.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	r, err := cl.Reload(ctx)
	if err != nil {
		return err
	}
	said := "nothing has changed"
	switch {
	case len(r.Changed) > 0:
		said = "taken over: " + strings.Join(r.Changed, ", ")
	case len(r.Restart) > 0:
		said = "nothing was taken over"
	}
	_, _ = fmt.Fprintln(t.out, said)
	if len(r.Restart) > 0 {
		_, _ = fmt.Fprintln(t.out, "needs a restart: "+strings.Join(r.Restart, ", "))
	}
	return nil
}
