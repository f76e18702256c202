// Package examples holds the files of this folder that programs show: the demo's clipboard.
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
