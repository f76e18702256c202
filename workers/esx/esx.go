// Package esx is the worker for VMware vSphere: it clones a template, gives it its cloud-init data, and finds,
// stops and deletes what it made.
//
//	esx:deploy   clone as TOKEN ► reconfigure (name, note, user-data) ► power on
//	             with `boot: network` a bare machine, powered off: esx:get_macaddrs ► ldap:dhcp_install ► esx:startup ►
//	             esx:wait_for_reboot ► ldap:dhcp_local
//	the other steps are those that every provider has (package provider)
//
// A machine is born under the run's token as its name, which no other machine can have; the same call that gives it
// its real name also writes token and owner into its settings, with the id of the machine they are for, and into its
// notes. So at every instant a machine of ours can be recognised, a repeat adopts it, and a clone of it is not ours.
// One session is shared and opened again when vCenter dropped it.
package esx

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/cafile"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// Config of the worker.
type Config struct {
	Account    string            `yaml:"account" doc:"name by which a clipboard's account chooses this entry, when there are several"`
	URL        clipboard.Secret  `yaml:"url" doc:"https://user:password@vcenter/sdk"`
	CA         string            `yaml:"ca" path:"relative" check:"file" doc:"file of the CA that signed vCenter's certificate; empty: the system's"`
	Insecure   bool              `yaml:"insecure" doc:"do not verify vCenter's certificate; for a lab only"`
	Datacenter string            `yaml:"datacenter" doc:"inventory name; empty: the only one there is"`
	Template   string            `yaml:"template" doc:"template that is cloned when the clipboard names no guestid, or when templates is empty"`
	Templates  map[string]string `yaml:"templates" doc:"template for each guestid, as in {Debian 12: debian12-cloud}, or {Debian 12: library:golden/debian12} for a VM template in a content library"`
	Folder     string            `yaml:"folder" doc:"folder for new machines, with its path, as in web/stage; empty: the datacenter's VM folder"`
	Pool       string            `yaml:"pool" doc:"resource pool, or a cluster; empty: the only one there is"`
	Datastore  string            `yaml:"datastore" doc:"datastore, or a datastore cluster; empty: the only one there is"`
	Network    string            `yaml:"network" doc:"network of machines that boot from it (boot: network), when the clipboard names no portgroup; empty: the only one there is"`
	LUN        string            `yaml:"lun" doc:"canonical name of the LUN that the datastore must be on, as in naa.6000…; empty: not checked"`
	Defaults   provider.Wish     `yaml:"defaults" doc:"what machines are like when the clipboard does not say it, in its words"`
}

// Worker offers the steps.
type Worker struct {
	cfg Config
	url *url.URL

	mu     sync.Mutex
	client *govmomi.Client
	used   time.Time
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	var wrong mistake.List
	u, err := soap.ParseURL(string(cfg.URL))
	if err != nil || u == nil || u.Host == "" {
		wrong.At("workers.esx.url", "must be https://user:password@vcenter/sdk")
	} else if u.User == nil || u.User.Username() == "" { // ParseURL makes an empty one
		wrong.At("workers.esx.url", "names no user: https://user:password@vcenter/sdk")
	}
	if a, b := provider.Twice(cfg.Templates); a != "" {
		wrong.At("workers.esx.templates", "has %q and %q, which are the same to whoever says them", a, b)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, url: u}
	return w, w.Calls().CheckDefaults()
}

// defaults are the wishes of the configuration.
func (w *Worker) defaults() provider.Wish { return w.cfg.Defaults }

// Steps lists what the worker offers. host reaches the machines over SSH.
func (w *Worker) Steps(host provider.Host) []pipeline.Step {
	return append(provider.Steps(w.Calls(), host), w.getMACAddrs(), w.waitForReboot())
}

// Close ends the session.
func (w *Worker) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = w.client.Logout(ctx)
		w.client.CloseIdleConnections()
		w.client = nil
	}
}

// connect gives the shared session, checked when it was idle for a while.
func (w *Worker) connect(ctx context.Context) (*vim25.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil && time.Since(w.used) > time.Minute {
		if ok, err := w.client.SessionManager.SessionIsActive(ctx); err != nil || !ok {
			w.client = nil
		}
	}
	if w.client == nil {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		sc := soap.NewClient(w.url, w.cfg.Insecure)
		if w.cfg.CA != "" {
			pool, err := cafile.Pool("workers.esx.ca", w.cfg.CA)
			if err != nil {
				return nil, pipeline.Permanent(err)
			}
			sc.DefaultTransport().TLSClientConfig.RootCAs = pool
		}
		vc, err := vim25.NewClient(ctx, sc)
		if err != nil {
			return nil, w.say("connect to "+w.url.Host, err)
		}
		c := &govmomi.Client{Client: vc, SessionManager: session.NewManager(vc)}
		if err := c.Login(ctx, w.url.User); err != nil {
			return nil, w.say("log in to "+w.url.Host, err)
		}
		w.client = c
	}
	w.used = time.Now()
	return w.client.Client, nil
}

// say puts a vSphere error into words, and marks what no retry can cure. A session that vCenter dropped is opened
// again by the next try.
func (w *Worker) say(what string, err error) error {
	if err == nil {
		return nil
	}
	var notFound *find.NotFoundError
	var many *find.MultipleFoundError
	var dmany *find.DefaultMultipleFoundError
	switch {
	case fault.Is(err, &types.InvalidLogin{}):
		return pipeline.Permanentf("%s: wrong user or password", what)
	case fault.Is(err, &types.NotAuthenticated{}):
		w.mu.Lock()
		w.client = nil
		w.mu.Unlock()
		return fmt.Errorf("%s: the session had ended", what)
	case fault.Is(err, &types.NoPermission{}):
		return pipeline.Permanentf("%s: the user has no permission for it", what)
	case fault.Is(err, &types.NoDiskSpace{}), fault.Is(err, &types.InsufficientStorageSpace{}):
		return pipeline.Permanentf("%s: the datastore is full", what)
	case errors.As(err, &dmany):
		return pipeline.Permanentf("%s: there are several; name one under workers.esx", what)
	case errors.As(err, &notFound), errors.As(err, &many):
		return pipeline.Permanentf("%s: %v", what, err)
	}
	var certErr x509.UnknownAuthorityError
	if errors.As(err, &certErr) {
		return pipeline.Permanentf("%s: its certificate is not signed by a CA we know; set workers.esx.ca", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}
