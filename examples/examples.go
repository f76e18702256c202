// Package examples holds the files of this folder that programs show: the demo's clipboard, the package's
// configuration.
package examples

import _ "embed" // for go:embed

// Loki is loki.yaml, the clipboard of the README and the demo.
//
//go:embed loki.yaml
var Loki string

// LDAPSchema is ldap/jarvis.schema, the attributes of a host's entry.
//
//go:embed ldap/jarvis.schema
var LDAPSchema string

// Package is package.yaml, the configuration that the packages bring: it serves, and has nothing to work on.
//
//go:embed package.yaml
var Package string
