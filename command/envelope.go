package command

import "errors"

// Envelope is every answer as JSON: of the HTTP API, and each line that the command line prints with --json. Where the
// API refuses, its application/problem+json has the members of Fault.
type Envelope struct {
	Type string `json:"type" enum:"answer,event,run,waits,end,left" doc:"answer: what a verb said; with --json, of a run that is followed: event, run (of a cluster: how a host stands), waits (it needs a person, or a time), and the last line: end, or left when it is no longer followed and goes on, because somebody interrupted that (exit 130) or the link to the server is lost (error of the kind lost)"`
	OK   bool   `json:"ok" doc:"it went as asked; the same as exit 0"`
	Exit int    `json:"exit" doc:"the exit code of the command line: that of its last line"`
	Answer
	Error *Fault `json:"error,omitempty" doc:"why not; nothing else is in lines then"`
}

// Types of envelopes.
const (
	TypeAnswer = "answer"
	TypeEvent  = "event"
	TypeRun    = "run"
	TypeWaits  = "waits"
	TypeEnd    = "end"
	TypeLeft   = "left"
)

// Fault is a refusal or failure, for programs.
type Fault struct {
	Kind   string `json:"kind" enum:"usage,denied,notfound,toofast,lost,failed" doc:"what it is, in one word"`
	Detail string `json:"detail" doc:"what is wrong"`
	Hint   string `json:"hint,omitempty" doc:"what to do"`
}

// Exit codes of the command line.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitDenied      = 3
	ExitNotFound    = 4
	ExitWaits       = 5
	ExitInterrupted = 130
)

// ErrorKind is one kind of UserError, as programs are told it.
type ErrorKind struct {
	Err  error // nil: of whatever is none of the others
	Name string
	Exit int
}

// ErrorKinds are all of them; the last is for the rest.
func ErrorKinds() []ErrorKind {
	return []ErrorKind{
		{ErrUsage, "usage", ExitUsage},
		{ErrDenied, "denied", ExitDenied},
		{ErrNotFound, "notfound", ExitNotFound},
		{ErrLimited, "toofast", ExitDenied},
		{ErrLost, "lost", ExitFailed},
		{nil, "failed", ExitFailed},
	}
}

// KindOf gives the kind of an error.
func KindOf(err error) ErrorKind {
	all := ErrorKinds()
	for _, k := range all {
		if k.Err != nil && errors.Is(err, k.Err) {
			return k
		}
	}
	return all[len(all)-1]
}

// Said puts an answer into its envelope.
func Said(a Answer) Envelope {
	e := Envelope{Type: TypeAnswer, OK: !a.Bad, Answer: a}
	if a.Bad {
		e.Exit = ExitFailed
	}
	return e
}

// Refused puts an error into one.
func Refused(err error) Envelope {
	k := KindOf(err)
	e := Envelope{Type: TypeAnswer, Exit: k.Exit, Error: &Fault{Kind: k.Name, Detail: err.Error()}}
	var u *UserError
	if errors.As(err, &u) {
		e.Error.Detail, e.Error.Hint = u.Msg, u.Hint
	}
	return e
}
