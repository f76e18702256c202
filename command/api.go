package command

import "fmt"

// API is one operation of the HTTP API: how the words of a verb come out of a request. Package web makes the
// operations and their OpenAPI description of these, so a verb needs nothing there.
type API struct {
	Method, Path string   // "POST /v1/runs/{run}/retry"
	Prefix       []string // words before the parameters: "new"
	Params       []Param  // in the order of the words
	Gives        any      // a value of the type that Answer.Data has; nil: none
	Once         bool     // takes an Idempotency-Key
	Accepted     bool     // answers 202: what was asked for goes on after the answer
}

// Param is one parameter.
type Param struct {
	Name     string
	In       string // InPath, InQuery or InBody
	Doc      string
	Word     string // the word before the value: "from"
	Required bool
	Kind     Kind
}

// Where a parameter stands.
const (
	InPath  = "path"
	InQuery = "query"
	InBody  = "body"
)

// Kind of a parameter's value.
type Kind int

const (
	Text     Kind = iota // one word
	Number               // one word, a whole number
	List                 // several words; with Word, the word stands before each
	Joined               // one word, a list joined by commas
	Document             // the clipboard as YAML: Call.File, not a word
	Object               // the same as a JSON object; its text is taken as well
	Code                 // one word; a number is taken as well
)

// runParam is the {run} of a path.
func runParam(doc string) Param {
	return Param{Name: "run", In: InPath, Doc: doc, Required: true}
}

const (
	byAnyName  = "number of a run, or name of a host (its newest run) or of a cluster"
	byHostName = "number of a run, or name of a host: its newest run"
)

// sourceAPI is the operation of a verb that takes a clipboard.
func sourceAPI(verb string, hosts bool, more ...Param) API {
	doc := "URL of a clipboard, or cn=NAME from the directory"
	if hosts {
		doc += ", or a host on record"
	}
	return API{Method: "POST", Path: "/v1/" + verb, Once: true, Accepted: true, Params: append([]Param{
		{Name: "source", In: InBody, Doc: doc + "; without it, clipboard"},
		{Name: "clipboard", In: InBody, Doc: "the clipboard itself, as YAML", Kind: Document},
	}, more...)}
}

// atParam is the time at which something is to begin.
func atParam() Param {
	return Param{Name: "at", In: InBody, Word: "at", Doc: "when it is to begin, at most 30 days from now: 2026-12-01T03:00:00+01:00, or in the zone of the configuration 2026-12-01 03:00, or 03:00 for the next such time; without it, at once"}
}

// runAPI is the operation of a verb that moves a run.
func runAPI(verb string, more ...Param) API {
	return API{Method: "POST", Path: fmt.Sprintf("/v1/runs/{run}/%s", verb), Accepted: true, Params: append([]Param{runParam(byAnyName)}, more...)}
}
