package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Problem is what a refused or failed request answers (RFC 9457). Detail is what is wrong, Hint what to do.
type Problem struct {
	Title  string `json:"title" doc:"the status in words"`
	Status int    `json:"status" doc:"the HTTP status"`
	Detail string `json:"detail" doc:"what is wrong"`
	Hint   string `json:"hint,omitempty" doc:"what to do"`
	Kind   string `json:"kind" enum:"usage,denied,notfound,toofast,lost,failed" doc:"the same in one word, for programs"`

	wait time.Duration
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus and ContentType are what huma asks.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType gives the problem form of a type.
func (p *Problem) ContentType(ct string) string {
	if strings.HasSuffix(ct, "xml") {
		return "application/problem+xml"
	}
	return "application/problem+json"
}

func tooFast(wait time.Duration) *Problem {
	return &Problem{Status: http.StatusTooManyRequests, Kind: "toofast", Detail: "that is too fast for me", Hint: "try again a moment later", wait: wait}
}

// problemOf turns what a verb refused into a Problem; command.Table gives nothing but *command.UserError.
func problemOf(err error) *Problem {
	p := &Problem{Status: http.StatusConflict, Kind: "failed", Detail: err.Error()}
	var own *Problem
	if errors.As(err, &own) {
		return own
	}
	var u *command.UserError
	if !errors.As(err, &u) {
		return p
	}
	p.Detail, p.Hint, p.wait = u.Msg, u.Hint, u.Wait
	p.Kind = command.KindOf(u).Name
	p.Status = statuses[p.Kind]
	return p
}

// problem is problemOf for huma, which writes it with the headers it names.
func problem(err error) error {
	p := problemOf(err)
	p.Title = http.StatusText(p.Status)
	if p.wait > 0 {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {retryAfter(p.wait)}})
	}
	return p
}

// statuses are those of the kinds of command.UserError.
var statuses = map[string]int{
	"usage":    http.StatusBadRequest,
	"denied":   http.StatusForbidden,
	"notfound": http.StatusNotFound,
	"toofast":  http.StatusTooManyRequests,
	"lost":     http.StatusServiceUnavailable,
	"failed":   http.StatusConflict,
}

// ownProblems gives what the library says of a request that is not right (415, 422) the form that all problems have.
func ownProblems(reg huma.Registry) huma.Transformer {
	return func(ctx huma.Context, _ string, v any) (any, error) { return ownProblem(reg, ctx.Operation(), v), nil }
}

// ownProblem leaves alone what is no error of the library's.
func ownProblem(reg huma.Registry, op *huma.Operation, v any) any {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v
	}
	p := &Problem{Title: http.StatusText(m.Status), Status: m.Status, Kind: "usage", Detail: m.Detail, Hint: "/openapi.json says what belongs there"}
	if m.Status >= http.StatusInternalServerError {
		p.Kind, p.Hint = "failed", ""
	}
	for _, e := range m.Errors {
		p.Detail += "; " + plain.Line(e.Error())
		var d *huma.ErrorDetail
		if errors.As(e, &d) && d.Message == validation.MsgUnexpectedProperty {
			p.Detail += thereAre(bodyTakes(reg, op))
		}
	}
	return p
}

// problem writes one outside of an operation.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, p *Problem) {
	p.Title = http.StatusText(p.Status)
	if p.wait > 0 {
		w.Header().Set("Retry-After", retryAfter(p.wait))
	}
	if strings.Contains(r.Header.Get("Accept"), "xml") && !strings.Contains(r.Header.Get("Accept"), "json") {
		w.Header().Set("Content-Type", "application/problem+xml")
		w.WriteHeader(p.Status)
		_ = writeXML(w, p)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = contract.Write(w, p)
}

// retryAfter gives whole seconds, rounded up (RFC 9110 §10.2.3).
func retryAfter(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}
