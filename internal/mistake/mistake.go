// Package mistake is how a package says what is wrong in its part of jarvis.yaml: at which key, and what. It says all
// of it at once; config finds the lines.
//
//	New(Config) ──► At("workers.esx.url", "names no user") + … ──► Join ──► config: file, line, key, what is allowed
//
// It starts no goroutine and keeps no state.
package mistake

import (
	"errors"
	"fmt"
	"strings"
)

// One is one thing that is wrong.
type One struct {
	Key  string // as in workers.dns.zones.prod.example.server, people[2].roles; the entries of a list count from 0
	Msg  string // follows the key: "is 99999; it must be …"
	File string // another file than jarvis.yaml, in which Key is; "": that one
	Line int    // of that file; 0: it is not known
}

// Text gives what is wrong, without the file.
func (o *One) Text() string {
	switch {
	case o.Key == "":
		return strings.TrimPrefix(o.Msg, ": ")
	case strings.HasPrefix(o.Msg, ":"):
		return o.Key + o.Msg
	}
	return strings.TrimSpace(o.Key + " " + o.Msg)
}

// Error implements error.
func (o *One) Error() string {
	switch {
	case o.File == "" && o.Line > 0:
		return fmt.Sprintf("line %d: %s", o.Line, o.Text())
	case o.File == "":
		return o.Text()
	case o.Line > 0:
		return fmt.Sprintf("%s, line %d: %s", o.File, o.Line, o.Text())
	}
	return o.File + ": " + o.Text()
}

// At gives one mistake as an error. What it says begins with a verb, or with a colon.
func At(key, format string, args ...any) error {
	return &One{Key: key, Msg: fmt.Sprintf(format, args...)}
}

// List gathers what is wrong. Its zero value is nothing.
type List []error

// At adds one.
func (l *List) At(key, format string, args ...any) { *l = append(*l, At(key, format, args...)) }

// Add takes over what an error holds; nil adds nothing.
func (l *List) Add(err error) {
	if err != nil {
		*l = append(*l, err)
	}
}

// Err gives all as one error; nil when nothing is wrong.
func (l List) Err() error { return errors.Join(l...) }

// All gives the mistakes that an error is made of, in their order. What names no key stands there with key as its own.
func All(err error, key string) []*One {
	if err == nil {
		return nil
	}
	if o, ok := err.(*One); ok { //nolint:errorlint // what wraps one is looked into below
		return []*One{o}
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the same
		var out []*One
		for _, e := range many.Unwrap() {
			out = append(out, All(e, key)...)
		}
		return out
	}
	return []*One{{Key: key, Msg: ": " + err.Error()}}
}

// Move gives the mistakes with their keys moved: what begins with from begins with to.
func Move(err error, from, to string) error {
	var out List
	for _, o := range All(err, from) {
		if rest, ok := strings.CutPrefix(o.Key, from); ok && o.File == "" {
			o = &One{Key: to + rest, Msg: o.Msg}
		}
		out = append(out, o)
	}
	return out.Err()
}
