// Package all is the one list of workers, in plain code: to add a worker, add its folder and its lines here.
// cmd/jarvis calls Build; nothing else knows which workers exist.
package all

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	lib "github.com/jarvisops/jarvis/converge"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
	"github.com/jarvisops/jarvis/workers/converge"
	"github.com/jarvisops/jarvis/workers/dns"
	"github.com/jarvisops/jarvis/workers/ec2"
	"github.com/jarvisops/jarvis/workers/esx"
	"github.com/jarvisops/jarvis/workers/external"
	"github.com/jarvisops/jarvis/workers/keys"
	"github.com/jarvisops/jarvis/workers/ldap"
	"github.com/jarvisops/jarvis/workers/libvirt"
	"github.com/jarvisops/jarvis/workers/linode"
	"github.com/jarvisops/jarvis/workers/monitor"
	"github.com/jarvisops/jarvis/workers/ssh"
)

// Config of all workers. A worker that is not named is not offered, but for keys and ssh, which need nothing.
type Config struct {
	Linode   provider.Entries[linode.Config]  `yaml:"linode" doc:"Linode (Akamai); a list for several accounts"`
	EC2      provider.Entries[ec2.Config]     `yaml:"ec2" doc:"Amazon EC2; a list for several accounts or regions"`
	ESX      provider.Entries[esx.Config]     `yaml:"esx" doc:"VMware vSphere; a list for several vCenters"`
	Libvirt  provider.Entries[libvirt.Config] `yaml:"libvirt" doc:"qemu by libvirt; a list for several hypervisors"`
	DNS      *dns.Config                      `yaml:"dns" doc:"names, by RFC 2136 updates"`
	LDAP     *ldap.Config                     `yaml:"ldap" doc:"the directory"`
	SSH      *ssh.Config                      `yaml:"ssh" doc:"how to reach new hosts; always on"`
	Monitor  *monitor.Config                  `yaml:"monitor" doc:"Icinga 2 and Alertmanager"`
	Keys     *keys.Config                     `yaml:"keys" doc:"where hosts' deploy keys go; the rest of the worker is always on"`
	Converge *converge.Config                 `yaml:"converge" doc:"programs of your own that say what hosts shall be like"`
	External *external.Config                 `yaml:"external" doc:"steps that are programs of your own"`
}

// Nobody configures every worker with servers that nobody asks, so that what they offer can be listed. dir is an empty
// folder.
func Nobody(dir string) Config {
	c := Config{
		DNS:      &dns.Config{},
		LDAP:     &ldap.Config{URL: "ldap://localhost", Base: "ou=Hosts,dc=example,dc=org"},
		Monitor:  &monitor.Config{Alertmanager: monitor.Alertmanager{URL: "https://alerts.example.org"}},
		Keys:     &keys.Config{Gitolite: keys.Gitolite{Admin: "ssh://git@git.example.org/gitolite-admin"}},
		Converge: &converge.Config{Dir: dir},
	}
	for _, m := range machines {
		m.nobody(&c)
	}
	return c
}

// Grace is how long a step that runs a program may take to end once it is told to.
func (c Config) Grace() time.Duration { return max(c.External.GraceTime(), c.Converge.GraceTime()) }

// Passing gives the configuration for workers that are to be looked at: they write no key where none is yet.
func (c Config) Passing() Config {
	var of ssh.Config
	if c.SSH != nil {
		of = *c.SSH
	}
	of.Passing = true
	c.SSH = &of
	return c
}

// Set is what Build made.
type Set struct {
	Registry *pipeline.Registry
	SSH      *ssh.Worker
	LDAP     *ldap.Worker // nil when not configured
	// Providers are those of machines that are configured.
	Providers []provider.Calls
	// Machines are the same, one for each account.
	Machines []provider.Calls

	probes []Probe
	close  []func()
}

// Close ends what the workers hold open.
func (s *Set) Close() {
	for _, f := range s.close {
		f()
	}
}

// Build makes the workers that the configuration names. data is the folder for keys and known_hosts. With an error,
// which says all that is wrong, it gives the set of those that are right, to be closed.
func Build(cfg Config, data string) (*Set, error) {
	s := &Set{Registry: pipeline.NewRegistry()}
	r := s.Registry
	if cfg.SSH == nil {
		cfg.SSH = &ssh.Config{}
	}
	var wrong mistake.List
	var err error
	if s.SSH, err = ssh.New(*cfg.SSH, data); err != nil {
		// All others need it; what is wrong with them is said beside it, by one that nobody uses.
		wrong.Add(err)
		var terr error
		if s.SSH, terr = ssh.New(ssh.Config{Passing: true}, "/nonexistent"); terr != nil {
			return nil, err
		}
	}
	r.Add(s.SSH.Steps()...)
	k := keys.Config{}
	if cfg.Keys != nil {
		k = *cfg.Keys
	}
	k.PublicKey, k.Signer, k.Data, k.User = s.SSH.PublicKey(), s.SSH.Signer(), data, s.SSH.User()
	k.Known, k.KnownFile = s.SSH.KnownHosts, ssh.KnownFile(*cfg.SSH, data)
	kw, err := keys.New(k)
	if wrong.Add(err); err == nil {
		r.Add(kw.Steps()...)
		if cfg.Keys != nil {
			s.asks("workers.keys", kw.Probe)
		}
	}
	for _, p := range machines {
		r.Name(p.module, p.title)
		workers, err := p.build(cfg)
		for _, w := range workers {
			s.close = append(s.close, w.Close)
		}
		if wrong.Add(err); err == nil && len(workers) > 0 {
			r.Add(provider.Accounts(s.SSH, workers)...)
			s.Providers = append(s.Providers, workers[0].Calls())
			for _, w := range workers {
				s.Machines = append(s.Machines, w.Calls())
			}
		}
	}
	var names *dns.Worker
	if cfg.DNS != nil {
		c := *cfg.DNS
		c.OnStandby = s.SSH.OnStandby
		if names, err = dns.New(c); err == nil {
			r.Add(names.Steps()...)
			for _, z := range append([]string{""}, names.Zones()...) {
				s.asks(dnsKey(z), func(ctx context.Context) (string, error) { return names.Probe(ctx, z) })
			}
		}
		wrong.Add(err)
	}
	r.Alias("dnswizard", "dns")
	if cfg.LDAP != nil {
		c := *cfg.LDAP
		c.Secrets = s.SSH
		if names != nil {
			c.Pointers = names.Pointers
		}
		if s.LDAP, err = ldap.New(c); err == nil {
			r.Add(s.LDAP.Steps()...)
			s.asks("workers.ldap", s.LDAP.Probe)
		}
		wrong.Add(err)
	}
	if cfg.Monitor != nil {
		w, err := monitor.New(*cfg.Monitor)
		if wrong.Add(err); err == nil {
			s.asks("workers.monitor", w.Probe)
			r.Add(w.Steps()...)
		}
	}
	r.Alias("ldapworker", "ldap")
	if cfg.Converge != nil {
		c := *cfg.Converge
		c.Shell = func(ctx context.Context, cb *clipboard.Clipboard) (lib.Host, func(), error) {
			return s.SSH.Shell(ctx, cb)
		}
		w, err := converge.New(c)
		if wrong.Add(err); err == nil {
			r.Add(w.Steps()...)
		}
	}
	if cfg.External != nil && cfg.External.Dir != "" {
		c := *cfg.External
		c.Data = data
		w, err := external.New(c)
		if wrong.Add(err); err == nil {
			r.Resolve(w.Find)
			r.Offer(w.List)
		}
	}
	return s, wrong.Err()
}

// The pieces of the built-in pipelines, in the order of their stages: redeploy is away, makeOne and equip, deploy is
// without away, destroy is takeDown. sp: stands for the provider.
var (
	away    = []string{"ldap:check_production", "dns:move_services", "monitor:suppress", "sp:shutdown", "sp:destroy"}
	makeOne = []string{"keys:create", "sp:deploy", "sp:get_pub_ip"}
	// What boots from the network is made first, then told to DHCP, installed, and told to boot from its disk.
	makeFromNetwork = []string{"keys:create", "sp:deploy", "sp:get_macaddrs", "ldap:dhcp_install", "sp:startup", "sp:wait_for_reboot", "ldap:dhcp_local", "sp:startup", "sp:get_pub_ip"}
	equip           = []string{"ssh:wait", "dns:update_host", "ssh:mount_filesystems", "ssh:upgrade_kernel", "sp:set_kernel", "ssh:make_root_keypair",
		"ldap:update_host_ou", "keys:update_deploy_key", "ssh:install_config_management", "ssh:run_config_management", "monitor:resume"}
	takeDown = []string{"ldap:check_owner", "dns:check_unused", "monitor:suppress", "sp:shutdown", "sp:destroy", "dns:remove_host",
		"ldap:remove_host_ou", "keys:remove_deploy_key", "ssh:forget_host", "monitor:resume"}
)

// Pipelines gives the built-in lists, by verb and provider, with the steps that exist here. What a configuration names
// itself takes their place. A silo that has not described its steps yet counts as having those that its modules always
// have, so that none is left out in silence.
func Pipelines(r *pipeline.Registry) map[string]map[string][]string {
	out := map[string]map[string][]string{"deploy": {}, "redeploy": {}, "destroy": {}}
	for _, provider := range Providers() {
		if !r.Has(provider+":deploy", "") {
			continue
		}
		here := func(lists ...[]string) []string {
			var steps []string
			for _, name := range slices.Concat(lists...) {
				s, err := r.Lookup(name, provider)
				fixed := !strings.HasPrefix(name, "sp:") && r.SiloOf(name) != ""
				if err == nil && (fixed || r.Has(name, provider)) {
					steps = append(steps, s.Name)
				}
			}
			return steps
		}
		out["deploy"][provider] = here(makeOne, equip)
		out["redeploy"][provider] = here(away, makeOne, equip)
		out["destroy"][provider] = here(takeDown)
		if r.Has(provider+":get_macaddrs", "") {
			out["deploy"][provider+"-network"] = here(makeFromNetwork, equip)
			out["redeploy"][provider+"-network"] = here(away, makeFromNetwork, equip)
		}
	}
	return out
}
