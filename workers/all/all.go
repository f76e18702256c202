// Package all is the one list of workers, in plain code: to add a worker, add its folder and its lines here.
// cmd/jarvis calls Build; nothing else knows which workers exist.
package all

import (
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/dns"
	"github.com/jarvisops/jarvis/workers/ec2"
	"github.com/jarvisops/jarvis/workers/esx"
	"github.com/jarvisops/jarvis/workers/external"
	"github.com/jarvisops/jarvis/workers/keys"
	"github.com/jarvisops/jarvis/workers/ldap"
	"github.com/jarvisops/jarvis/workers/linode"
	"github.com/jarvisops/jarvis/workers/ssh"
)

// Config of all workers. A worker that is not named is not offered, but for keys and ssh, which need nothing.
type Config struct {
	Linode   *linode.Config   `yaml:"linode" doc:"Linode (Akamai)"`
	EC2      *ec2.Config      `yaml:"ec2" doc:"Amazon EC2"`
	ESX      *esx.Config      `yaml:"esx" doc:"VMware vSphere"`
	DNS      *dns.Config      `yaml:"dns" doc:"names, by RFC 2136 updates"`
	LDAP     *ldap.Config     `yaml:"ldap" doc:"the directory"`
	SSH      *ssh.Config      `yaml:"ssh" doc:"how to reach new hosts; always on"`
	External *external.Config `yaml:"external" doc:"steps that are programs of your own"`
}

// Set is what Build made.
type Set struct {
	Registry *pipeline.Registry
	SSH      *ssh.Worker
	LDAP     *ldap.Worker // nil when not configured
	close    []func()
}

// Close ends what the workers hold open.
func (s *Set) Close() {
	for _, f := range s.close {
		f()
	}
}

// Build makes the workers that the configuration names. data is the folder for keys and known_hosts.
func Build(cfg Config, data string) (*Set, error) {
	s := &Set{Registry: pipeline.NewRegistry()}
	r := s.Registry
	if cfg.SSH == nil {
		cfg.SSH = &ssh.Config{}
	}
	var err error
	if s.SSH, err = ssh.New(*cfg.SSH, data); err != nil {
		return nil, err
	}
	r.Add(s.SSH.Steps()...)
	r.Add(keys.New(keys.Config{PublicKey: s.SSH.PublicKey()}).Steps()...)
	if cfg.Linode != nil {
		w, err := linode.New(*cfg.Linode)
		if err != nil {
			return nil, err
		}
		r.Add(w.Steps(s.SSH)...)
	}
	if cfg.EC2 != nil {
		w, err := ec2.New(*cfg.EC2)
		if err != nil {
			return nil, err
		}
		r.Add(w.Steps(s.SSH)...)
	}
	if cfg.ESX != nil {
		w, err := esx.New(*cfg.ESX)
		if err != nil {
			return nil, err
		}
		s.close = append(s.close, w.Close)
		r.Add(w.Steps(s.SSH)...)
	}
	if cfg.DNS != nil {
		w, err := dns.New(*cfg.DNS)
		if err != nil {
			return nil, err
		}
		r.Add(w.Steps()...)
	}
	r.Alias("dnswizard", "dns")
	if cfg.LDAP != nil {
		if s.LDAP, err = ldap.New(*cfg.LDAP); err != nil {
			return nil, err
		}
		r.Add(s.LDAP.Steps()...)
	}
	r.Alias("ldapworker", "ldap")
	if cfg.External != nil && cfg.External.Dir != "" {
		w, err := external.New(*cfg.External)
		if err != nil {
			return nil, err
		}
		r.Resolve(w.Find)
	}
	return s, nil
}

// Providers are the modules that make machines.
var Providers = []string{"linode", "ec2", "esx"}

// Pipelines gives the lists of DESIGN section 7, by verb and provider, with the steps that exist here. What a
// configuration names itself takes their place.
func Pipelines(r *pipeline.Registry) map[string]map[string][]string {
	deploy := func(provider string) []string {
		return []string{"keys:create", provider + ":deploy", provider + ":get_pub_ip", "ssh:wait", "dns:update_host",
			"ldap:update_host_ou", "ssh:install_config_management", "ssh:run_config_management"}
	}
	out := map[string]map[string][]string{"deploy": {}}
	for _, provider := range Providers {
		if _, err := r.Lookup(provider+":deploy", ""); err != nil {
			continue
		}
		var steps []string
		for _, name := range deploy(provider) {
			if _, err := r.Lookup(name, provider); err == nil {
				steps = append(steps, name)
			}
		}
		out["deploy"][provider] = steps
	}
	return out
}
