// Package examples holds the files of this folder that programs show: the demo's clipboard.
package examples

import _ "embed" // for go:embed

// Loki is loki.yaml, the clipboard of the README and the demo.
//
//go:embed loki.yaml
var Loki string
