package monitor

import (
	"time"

	"github.com/jarvisops/jarvis/pipeline"
)

// resume also ends what earlier runs of this host left suppressed.
func (w *Worker) resume() pipeline.Step {
	return pipeline.Step{
		Name:    "monitor:resume",
		Doc:     "lets monitoring speak about the host again",
		Needs:   []string{"hostname", "fqdn?"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do:      w.all(resumeOne),
		Drift:   w.driftResume,
	}
}
