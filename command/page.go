package command

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
)

// PageLink is the answer to `page`.
type PageLink struct {
	URL     string    `json:"url" doc:"signs in whoever opens it and presses the button, once"`
	Expires time.Time `json:"expires"`
}

func page() Verb {
	return worded(Verb{
		Name: "page", Role: access.View, Acts: true,
		Doc:     "gives a link that signs you in to my pages; lists and ends where you are signed in",
		Example: "page",
		API: []API{
			{Method: "POST", Path: "/v1/page", Prefix: []string{"link"}, Gives: PageLink{}},
			{Method: "GET", Path: "/v1/sessions", Prefix: []string{"list"}, Gives: []access.Session{}},
			{Method: "DELETE", Path: "/v1/sessions/{session}", Prefix: []string{"end"}, Params: []Param{{Name: "session", In: InPath, Doc: "its number, or all", Required: true}}},
		},
	},
		Word{Name: "link", Run: ofPages(newLink), Doc: "gives a link that signs you in, once; so does `page` alone"},
		Word{Name: "list", Run: ofPages(listSessions), Doc: "lists where you are signed in"},
		Word{Name: "end", Usage: "NUMBER|all", Min: 1, Max: 1, Run: ofPages(endSession), Doc: "signs you out there, or everywhere"},
	)
}

// ofPages does what a word of `page` says, where pages are served.
func ofPages(run func(context.Context, *Env, *Call, []string) (Answer, error)) func(context.Context, *Env, *Call, []string) (Answer, error) {
	return func(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
		if e.Access == nil || e.Pages == nil {
			return Answer{}, errNoPages()
		}
		return run(ctx, e, c, args)
	}
}

func errNoPages() error {
	return &UserError{Msg: "I serve no pages here", Hint: "set `listen` and `http.url` in jarvis.yaml"}
}

// newLink gives a link to whoever alone reads the answer. One whom the configuration does not name would be nobody
// there.
func newLink(ctx context.Context, e *Env, c *Call, _ []string) (Answer, error) {
	base := e.Pages()
	switch {
	case base == "":
		return Answer{}, errNoPages()
	case !c.Secret && !c.Private:
		return Answer{}, &UserError{Msg: "a link signs in whoever opens it, and others read this", Hint: "say `page` to me in private", Kind: ErrDenied}
	case e.Access.Person(c.Person.Name).Name == "" || c.Person.Unnamed:
		return Answer{}, &UserError{Msg: "the pages are for who is named in `people`, and " + c.Person.Name + " is not", Hint: "`people` in jarvis.yaml says who is `" + c.Person.Entry() + "`", Kind: ErrDenied}
	}
	via := c.Via
	if via == "socket" {
		via = "the command line"
	}
	l, secret, err := e.Access.NewLink(ctx, c.Person, via)
	if err != nil {
		return Answer{}, err
	}
	a := say("%s/login/%s signs you in as %s. It is good once, within %s, and for nobody else.", base, secret, l.Person, plain.Duration(access.LinkLife))
	a.Data = PageLink{URL: base + "/login/" + secret, Expires: l.Expires}
	return a, nil
}

func listSessions(ctx context.Context, e *Env, c *Call, _ []string) (Answer, error) {
	list, err := e.Access.Sessions(ctx, c.Person.Name)
	if err != nil {
		return Answer{}, err
	}
	if len(list) == 0 {
		return none(list, "you are signed in nowhere; `page` gives a link"), nil
	}
	a := Answer{Data: list}
	for _, s := range list {
		a.Lines = append(a.Lines, fmt.Sprintf("session %d: from %s since %s, by %s, used %s ago; %s", s.ID, s.From, plain.Time(s.Created), s.How, Short(e.Now().Sub(s.Used)), clip(s.Browser, 80)))
	}
	return a, nil
}

// endSession ends the person's own sessions alone: the number of another's is answered as one that is not there.
func endSession(ctx context.Context, e *Env, c *Call, args []string) (Answer, error) {
	id := int64(0)
	if args[0] != "all" {
		var err error
		if id, err = strconv.ParseInt(args[0], 10, 64); err != nil || id <= 0 {
			return Answer{}, errNoSession(args[0])
		}
	}
	n, err := e.Access.EndSessions(ctx, c.Person.Name, id)
	switch {
	case err != nil:
		return Answer{}, err
	case n == 0 && id != 0:
		return Answer{}, errNoSession(args[0])
	case id != 0:
		return say("session %d is signed out.", id), nil
	}
	return say("you are signed out everywhere: %d %s.", n, plural(int(n), "session")), nil
}

func errNoSession(number string) error {
	return &UserError{Msg: fmt.Sprintf("you have no session %s", clip(number, 20)), Hint: "`page list` shows them", Kind: ErrNotFound}
}
