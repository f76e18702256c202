package ssh

import (
	"time"

	"github.com/jarvisops/jarvis/pipeline"
)

// forgetHost is for hosts that are destroyed: the next machine of that name or address has other keys.
func (w *Worker) forgetHost() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:forget_host",
		Doc:     "takes the host's keys out of known_hosts",
		Needs:   []string{"hostname", "fqdn?", "ipaddress?", "hostkeys?"},
		Timeout: time.Minute,
		Resume:  pipeline.Again,
		Do:      w.forget,
	}
}
