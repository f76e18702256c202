// Package mistake is how a package says what is wrong in its part of jarvis.yaml: at which key, and what. It says all of it at
// once; config finds the lines.
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
	Key string // as in workers.dns.zones.prod.example.server, people[2].roles; the entries of a list count from 0
	Msg string // follows the key: "is 99999; it must be …"
}

func (o *One) Error() string {
	if strings.HasPrefix(o.Msg, ":") {
		return o.Key + o.Msg
	}
	return strings.TrimSpace(o.Key + " " + o.Msg)
}

// At gives one mistake as an error. What it says begins with a verb, or with a colon.
func At(key, format string, args ...any) error {
	return &One{key, fmt.Sprintf(format, args...)}
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
	return []*One{{key, ": " + err.Error()}}
}

// Move gives the mistakes with their keys moved: what begins with from begins with to.
func Move(err error, from, to string) error {
	var out List
	for _, o := range All(err, from) {
		if rest, ok := strings.CutPrefix(o.Key, from); ok {
			o = &One{to + rest, o.Msg}
		}
		out = append(out, o)
	}
	return out.Err()
}
