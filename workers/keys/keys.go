// Package keys is the worker that makes what a new machine is born with: the host key for the first contact and
// root's password. It calls nobody: everything is made here and travels in the clipboard, secrets sealed.
package keys

import (
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of the worker.
type Config struct {
	// PublicKey is Jarvis's own public key, as a line of authorized_keys. It is wired from the ssh worker's key.
	PublicKey string `yaml:"-"`
}

// Worker offers the steps.
type Worker struct{ cfg Config }

// New makes the worker.
func New(cfg Config) *Worker { return &Worker{cfg} }

// Steps lists what the worker offers.
func (w *Worker) Steps() []pipeline.Step { return []pipeline.Step{w.create()} }
