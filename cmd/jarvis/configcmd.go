package main

import (
	"fmt"
	"net"

	"github.com/jarvisops/jarvis/config"
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
	if _, err := config.Load(file); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out, file+" is right")
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
