package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/web"
	"github.com/jarvisops/jarvis/workers/all"
)

type configCmd struct {
	Check configCheck `cmd:"" help:"Say what is wrong in the configuration: file, line, key, what is allowed."`
	Show  configShow  `cmd:"" help:"Print the configuration in force, secrets masked."`
}

type configCheck struct{}

// Run is called by kong.
func (configCheck) Run(t *term) error {
	file := t.conf
	if file == "" {
		file = config.Find()
	}
	if file == "" {
		_, _ = fmt.Fprintln(t.out, "there is no jarvis.yaml here or in /etc/jarvis; the defaults are in force")
		return nil
	}
	conf, err := config.Load(file)
	if err != nil {
		return err
	}
	if err := checkParts(conf); err != nil {
		return &config.Error{File: file, Msg: err.Error()}
	}
	for _, l := range conf.Unreachable() {
		_, _ = fmt.Fprintln(t.out, "people: "+l)
	}
	_, _ = fmt.Fprintln(t.out, file+" is right")
	return nil
}

// checkParts makes everything that can be made without a connection, and looks up the steps of the pipelines.
func checkParts(conf *config.Config) error {
	dir, err := os.MkdirTemp("", "jarvis-check-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	set, err := all.Build(conf.Workers, dir)
	if err != nil {
		return err
	}
	defer set.Close()
	if _, err := command.NewFetch(conf.Sources.URLs); err != nil {
		return err
	}
	if _, err := tasklog.New(conf.Tasks, dir); err != nil {
		return err
	}
	if err := conf.Checks.Check(); err != nil {
		return fmt.Errorf("checks: %w", err)
	}
	for _, ch := range conf.Chat {
		if _, err := frontend(conf, ch, nil); err != nil {
			return err
		}
	}
	if _, err := web.New(web.Config{Listen: conf.Listen, HTTP: conf.HTTP}); err != nil {
		return err
	}
	for verb, byProvider := range conf.Pipelines {
		if !slices.Contains([]string{"deploy", "redeploy", "destroy"}, verb) {
			return fmt.Errorf("pipelines.%s: no verb takes a pipeline of that name; there are deploy, redeploy and destroy", verb)
		}
		for provider, steps := range byProvider {
			for _, name := range steps {
				if _, err := set.Registry.Lookup(name, strings.ToLower(provider)); err != nil {
					return fmt.Errorf("pipelines.%s.%s: %w", verb, provider, err)
				}
			}
		}
	}
	return nil
}

type configShow struct{}

// Run is called by kong.
func (configShow) Run(t *term) error {
	c, err := t.load()
	if err != nil {
		return err
	}
	s, err := c.Masked()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(t.out, s)
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
