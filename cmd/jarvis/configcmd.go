package main

import (
	"context"
	"fmt"
	"net"

	"github.com/jarvisops/jarvis/config"
)

type configCmd struct {
	Check configCheck `cmd:"" help:"Say all that is wrong in the configuration: file, line, key, what is allowed."`
	Show  configShow  `cmd:"" help:"Print the configuration in force, secrets masked."`
}

type configCheck struct {
	Online bool `help:"Also try what it names: logins, zones, channels, keys, repositories. Nothing is changed."`
}

// Run is called by kong.
func (c configCheck) Run(ctx context.Context, t *term) error {
	file := t.file()
	if file == "" {
		_, _ = fmt.Fprintln(t.out, "there is no jarvis.yaml here or in /etc/jarvis; the defaults are in force")
		return nil
	}
	conf, err := config.Verify(file)
	if err != nil {
		return err
	}
	if open := conf.Exposed(); len(open) > 0 {
		return open
	}
	for _, l := range conf.Unreachable() {
		_, _ = fmt.Fprintln(t.out, "people: "+l)
	}
	for _, l := range conf.Doubts() {
		_, _ = fmt.Fprintln(t.out, "warning: "+l)
	}
	if conf.Empty() {
		_, _ = fmt.Fprintln(t.out, file+" is empty: everything is by default, and nobody may do anything")
	} else {
		_, _ = fmt.Fprintln(t.out, file+" is right")
	}
	if c.Online {
		return online(ctx, t, conf)
	}
	return nil
}

type configShow struct{}

// Run is called by kong.
func (configShow) Run(t *term) error {
	c, err := t.load(config.Load)
	if err != nil {
		return err
	}
	s, err := c.Show()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(t.out, s)
	return err
}

// freePort gives a port that nobody listens on now; somebody may by the time that it is used.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
