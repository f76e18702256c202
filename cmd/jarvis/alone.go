package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// versions puts the version of this program before that of the server.
func versions(a command.Answer) command.Answer {
	for i, l := range a.Lines {
		a.Lines[i] = "the server is " + l
	}
	a.Lines = append([]string{"jarvis " + version}, a.Lines...)
	return a
}

// alone answers what can be known without a server; for all else it gives back that there is none.
func (c *verbCmd) alone(ctx context.Context, t *term, q web.CommandRequest, none error) (command.Envelope, error) {
	var a command.Answer
	var err error
	switch {
	case t.server != "" || !errors.Is(none, web.ErrNoServer) && c.verb.Name != "version":
		return command.Envelope{}, none
	case c.verb.Name == "version":
		return command.Said(command.Answer{Data: map[string]string{"version": version}}), nil
	case c.verb.Name == "whoami":
		a, err = t.whoByFile()
	case c.verb.Name == "steps", c.verb.Name == "plan" && q.File != nil:
		a, err = t.byFile(ctx, q)
	default:
		return command.Envelope{}, none
	}
	if err == nil {
		_, _ = fmt.Fprintf(t.err, "jarvis: %v; this is by %s alone, and nothing on record was looked at\n", none, t.fileWord())
	}
	return command.Said(a), err
}

// fileWord names what the answers come from.
func (t *term) fileWord() string {
	if f := t.file(); f != "" {
		return f
	}
	return "the defaults"
}

// whoByFile says who the caller would be to a server of this configuration.
func (t *term) whoByFile() (command.Answer, error) {
	conf := config.Default()
	if f := t.file(); f != "" {
		c, err := config.LoadPeople(f)
		if err != nil {
			return command.Answer{}, err
		}
		conf = c
	}
	u, err := user.Current()
	if err != nil {
		return command.Answer{}, fmt.Errorf("ask who you are: %w", err)
	}
	var people access.Access
	if err := people.SetPeople(conf.Persons()); err != nil {
		return command.Answer{}, conf.Wrong(err)
	}
	p := people.Who(access.Identity{Network: "local", Account: u.Username})
	a := command.Answer{Data: p}
	switch {
	case p.Name == "" && os.Getuid() == 0:
		a.Lines = []string{"you are root on this machine, who may do everything"}
	case p.Name == "":
		a.Lines = []string{fmt.Sprintf("no `local: %s` is among the people; you may ask for help, and do everything when the server is yours", u.Username)}
	default:
		a.Lines = []string{command.WhoLine(p)}
	}
	return a, nil
}

// byFile runs a verb that reads over an empty record, in a folder of its own: what a server of this configuration would
// say before its first run. The server's folder is not touched; its user may be another.
func (t *term) byFile(ctx context.Context, q web.CommandRequest) (command.Answer, error) {
	conf, err := t.load(config.Load)
	if err != nil {
		return command.Answer{}, err
	}
	dir, err := os.MkdirTemp("", "jarvis-alone-")
	if err != nil {
		return command.Answer{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	alone := *conf
	alone.Data, alone.Database, alone.Socket = dir, "", web.Socket{}
	alone.Tasks, alone.Checks, alone.Drift = nil, model.Config{}, pipeline.DriftConfig{}
	a, err := newApp(ctx, &alone, slog.New(slog.DiscardHandler))
	if err != nil {
		return command.Answer{}, err
	}
	defer a.close()
	return a.table.Do(ctx, command.Call{Words: q.Words, File: q.File, Person: access.Person{Name: "you", Roles: []string{access.Admin}}, Asker: "you", Via: "alone", Free: true})
}
