package main

import (
	"fmt"
	"os"
	"time"

	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/web"
)

// locate says where the server is, before a command runs: by --server; by the configuration that --config or
// JARVIS_CONFIG names; by JARVIS_SERVER; by the configuration that is found; by the socket of this machine's service.
// What cannot be found is told by whoever needs it.
func (t *term) locate() {
	if t.server != "" {
		return
	}
	if env := os.Getenv("JARVIS_SERVER"); env != "" && t.conf == "" {
		t.server = env
		return
	}
	t.place, t.lost = config.FindPlace(t.conf)
	t.server = t.place.Server
}

// client gives one of the server that the command line names, or of the one on this machine.
func (t *term) client() (*web.Client, error) {
	if t.server != "" {
		cl, err := web.NewRemoteClient(t.server, os.Getenv("JARVIS_TOKEN"))
		if err == nil {
			cl.Waits = t.held
		}
		return cl, err
	}
	if t.lost != nil {
		return nil, t.lost
	}
	cl := web.NewClient(t.place.Socket)
	cl.Waits = t.held
	return cl, nil
}

// held says that the server asks to come again later.
func (t *term) held(wait time.Duration) {
	_, _ = fmt.Fprintf(t.err, "jarvis: the server is busy with others or with you; asking again in %s\n", wait.Round(time.Second))
}

// serverHere reports whether a server on this machine may be asked.
func (t *term) serverHere() (bool, error) {
	if t.lost != nil {
		return false, t.lost
	}
	return listens(t.place.Socket), nil
}
