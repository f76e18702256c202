package config

import (
	"strings"

	"github.com/jarvisops/jarvis/internal/mistake"
)

// NodeConfig says which node this server is.
type NodeConfig struct {
	Name string `yaml:"name" doc:"what this server is called in jarvis nodes; one word" default:"this machine's host name"`
	Silo string `yaml:"silo" doc:"the part of the network in which this server stands, of those in silos: it does what belongs there, and nothing else; empty: it does all that is in no silo"`
}

// Check says what is wrong with it.
func (c NodeConfig) Check() error {
	var wrong mistake.List
	for _, k := range []struct{ key, v string }{{"node.name", c.Name}, {"node.silo", c.Silo}} {
		if strings.ContainsAny(k.v, " \t\n'\"@,:") {
			wrong.At(k.key, "is %q; it must be one word without quotes, @, commas and colons", k.v)
		}
	}
	return wrong.Err()
}
