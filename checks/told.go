package checks

import (
	"strconv"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/contract"
)

// told is what is told of a row, as it stands on record in a letter. The same id may come again.
type told struct {
	ID     int64  `json:"id"`
	Action string `json:"action"`
	Word   string `json:"word"` // the status as a word
	Event
}

// spelled is the same for programs: what a webhook, a contact's program, and a task that an action runs, are told.
type spelled struct {
	told
	Perf     []model.PerfValue `json:"perf"` // Perfdata, value by value
	Perfdata string            `json:"perfdata"`
}

func (t told) spelled() spelled { return spelled{t, model.Values(t.Perf), t.Perf} }

func (r *outboxRow) asTold() told {
	return told{ID: r.id, Action: r.action, Word: r.Status.String(), Event: r.Event}
}

func (r *outboxRow) told() ([]byte, error) { return contract.Marshal(r.asTold().spelled()) }

// environment tells a task of an action what it is about. The words are of a host: a shell must quote them.
func (r *outboxRow) environment() map[string]string {
	return map[string]string{"JARVIS_ACTION": r.action, "JARVIS_EVENT": r.On, "JARVIS_EVENT_HOST": r.Host, "JARVIS_EVENT_TASK": r.Task, "JARVIS_EVENT_STATUS": r.Status.String(),
		"JARVIS_EVENT_OUTPUT": r.Line, "JARVIS_EVENT_PERFDATA": r.Perf, "JARVIS_EVENT_ATTEMPT": strconv.Itoa(r.Attempt), "JARVIS_EVENT_COUNT": strconv.Itoa(r.Count)}
}
