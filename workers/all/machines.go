package all

import (
	"fmt"

	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/provider"
	"github.com/jarvisops/jarvis/workers/ec2"
	"github.com/jarvisops/jarvis/workers/esx"
	"github.com/jarvisops/jarvis/workers/libvirt"
	"github.com/jarvisops/jarvis/workers/linode"
)

// machines is the list of providers of machines: to add one, add its line here and its field in Config.
var machines = []machine{
	of("linode", "Linode", func(c *Config) *provider.Entries[linode.Config] { return &c.Linode }, linode.New, linode.Config{Token: "nobody's"}),
	of("ec2", "EC2", func(c *Config) *provider.Entries[ec2.Config] { return &c.EC2 }, ec2.New, ec2.Config{Region: "us-east-1"}),
	of("esx", "ESX", func(c *Config) *provider.Entries[esx.Config] { return &c.ESX }, esx.New, esx.Config{URL: "https://user:password@vcenter/sdk"}),
	of("libvirt", "libvirt", func(c *Config) *provider.Entries[libvirt.Config] { return &c.Libvirt }, libvirt.New, libvirt.Config{}),
}

// machine is one provider in the list.
type machine struct {
	module, title string // of its steps; as people write it
	build         func(Config) ([]provider.Worker, error)
	nobody        func(*Config)
	first         func() provider.First
}

// of puts a provider into the list: field gives its entries, and nobody is one that speaks to nobody, for the docs.
func of[C provider.Settings, W provider.Worker](module, title string, field func(*Config) *provider.Entries[C], make func(C) (W, error), nobody C) machine {
	return machine{module, title,
		func(c Config) ([]provider.Worker, error) { return entries(module, *field(&c), make) },
		func(c *Config) { *field(c) = provider.Entries[C]{nobody} },
		nobody.First}
}

// Providers lists the modules that make machines.
func Providers() []string {
	var out []string
	for _, m := range machines {
		out = append(out, m.module)
	}
	return out
}

// First gives what `jarvis init` asks about a provider; ok is false when there is no such provider.
func First(module string) (f provider.First, ok bool) {
	for _, m := range machines {
		if m.module == module {
			return m.first(), true
		}
	}
	return provider.First{}, false
}

// entries makes the workers of a provider, one for each entry of the configuration.
func entries[C any, W provider.Worker](module string, list provider.Entries[C], make func(C) (W, error)) ([]provider.Worker, error) {
	var out []provider.Worker
	var names []string
	var wrong mistake.List
	for i, cfg := range list {
		w, err := make(cfg)
		if err != nil {
			wrong.Add(mistake.Move(err, "workers."+module, fmt.Sprintf("workers.%s[%d]", module, i)))
			continue
		}
		out = append(out, w)
		names = append(names, w.Calls().Account)
	}
	if len(wrong) == 0 {
		wrong.Add(provider.CheckAccounts(module, names))
	}
	return out, wrong.Err()
}
