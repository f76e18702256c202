package pipeline

import "errors"

// A silo is a part of the network that only some servers, or an agent that dials out of it, can reach. Each has a queue of its
// own; a run is in the queue of the silo of its next step (docs/design/nodes.md).

// Serve has this node take runs that need a silo, with steps that are done elsewhere: by an agent. Each step's functions do
// their work over there, and its description is what the agent offers. stop takes no more runs of the silo and returns when
// none is in hand.
func (e *Engine) Serve(silo string, steps []Step) (stop func(), err error) {
	return nil, errNoSilos
}

var errNoSilos = errors.New("silos are to come")
