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
var machines = []struct {
	module, title string // of its steps; as people write it
	build         func(Config) ([]provider.Worker, error)
	nobody        func(*Config) // configures one that speaks to nobody, for the docs
}{
	{"linode", "Linode", func(c Config) ([]provider.Worker, error) { return entries("linode", c.Linode, linode.New) },
		func(c *Config) { c.Linode = provider.Entries[linode.Config]{{Token: "nobody's"}} }},
	{"ec2", "EC2", func(c Config) ([]provider.Worker, error) { return entries("ec2", c.EC2, ec2.New) },
		func(c *Config) { c.EC2 = provider.Entries[ec2.Config]{{Region: "us-east-1"}} }},
	{"esx", "ESX", func(c Config) ([]provider.Worker, error) { return entries("esx", c.ESX, esx.New) },
		func(c *Config) { c.ESX = provider.Entries[esx.Config]{{URL: "https://user:password@vcenter/sdk"}} }},
	{"libvirt", "libvirt", func(c Config) ([]provider.Worker, error) { return entries("libvirt", c.Libvirt, libvirt.New) },
		func(c *Config) { c.Libvirt = provider.Entries[libvirt.Config]{{}} }},
}

// Nobody configures every provider with servers that nobody asks, so that what they offer can be listed.
func Nobody(c *Config) {
	for _, m := range machines {
		m.nobody(c)
	}
}

// Providers lists the modules that make machines.
func Providers() []string {
	var out []string
	for _, m := range machines {
		out = append(out, m.module)
	}
	return out
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
