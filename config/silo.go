package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// Silos are the modules whose steps run only in a part of the network, by the name of that part.
type Silos map[string][]string

var (
	siloName   = pattern.New(`^[a-z0-9]+([_-][a-z0-9]+)*$`) // it is part of the name of a queue
	moduleName = pattern.New(`^[a-z][a-z0-9]*$`)
)

const maxSiloName = 50

// older names of modules, which stand in clipboards and mean the same.
var olderModules = map[string]string{"dnswizard": "dns", "ldapworker": "ldap"}

// Modules gives the silo of each module.
func (s Silos) Modules() map[string]string {
	out := map[string]string{}
	for silo, modules := range s {
		for _, m := range modules {
			out[m] = silo
		}
	}
	return out
}

// Check says what is wrong with them.
func (s Silos) Check() error {
	var wrong mistake.List
	at := map[string]string{}
	for _, silo := range slices.Sorted(maps.Keys(s)) {
		key := "silos." + silo
		if !siloName.MatchString(silo) || len(silo) > maxSiloName {
			wrong.At(key, ": a silo's name is one word of small letters, digits, - and _, of at most %d letters", maxSiloName)
		}
		if len(s[silo]) == 0 {
			wrong.At(key, ": it has no modules, so nothing would ever run there; name some, as in [esx, ldap]")
		}
		for _, m := range s[silo] {
			switch first, twice := at[m]; {
			case !moduleName.MatchString(m):
				wrong.At(key, ": %q is no module: that is the word before the colon of a step's name, as dns in dns:update_host", m)
			case olderModules[m] != "":
				wrong.At(key, ": %s is the older name of %s; write %s", m, olderModules[m], olderModules[m])
			case twice && first == silo:
				wrong.At(key, ": it names %s twice", m)
			case twice:
				wrong.At(key, ": %s is in the silo %s already; a module's steps run in one place", m, first)
			}
			at[m] = silo
		}
	}
	return wrong.Err()
}

// siloOfNode says what is wrong with where this server stands.
func (c *Config) siloOfNode() error {
	var wrong mistake.List
	silo := c.Node.Silo
	if silo == "" {
		return nil
	}
	if _, ok := c.Silos[silo]; !ok {
		have := "silos names none"
		if names := slices.Sorted(maps.Keys(c.Silos)); len(names) > 0 {
			have = "silos names " + strings.Join(names, ", ")
		}
		wrong.At("node.silo", "is %q, and %s; say there which modules run in it", silo, have)
	}
	if c.Database == "" {
		wrong.At("node.silo", "is %q, but without a PostgreSQL database this is the only server: it would do what belongs to the silo, and nobody the rest", silo)
	}
	return wrong.Err()
}
