package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/plain"
)

// operationsOf gives the operations of a description by their patterns, as in "GET /v1/runs/{run}".
func operationsOf(doc *huma.OpenAPI) map[string]*huma.Operation {
	list := map[string]*huma.Operation{}
	for path, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op != nil {
				list[op.Method+" "+path] = op
			}
		}
	}
	return list
}

// strict refuses a request that says more than its operation is described to take, or says it in a form that we do not
// read: what would be left out might be what counts, as in `POST /v1/deploy?dry_run=true`.
func (s *Server) strict(mux *http.ServeMux, ops map[string]*huma.Operation, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		if op := ops[pattern]; op != nil {
			p := strangeQuery(op, r.URL.RawQuery)
			if p == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
				p = strangeBody(r.Header)
			}
			if p != nil {
				s.problem(w, r, p)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// strangeQuery says which part of a query the operation does not take; nil when it takes all.
func strangeQuery(op *huma.Operation, raw string) *Problem {
	bad := func(format string, args ...any) *Problem {
		return &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: fmt.Sprintf(format, args...) + "; nothing was done", Hint: "/openapi.json says what belongs there"}
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return bad("the query is not right: %v", err)
	}
	var takes []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			takes = append(takes, p.Name)
		}
	}
	for name, values := range query {
		switch {
		case !slices.Contains(takes, name) && len(takes) == 0:
			return bad("%s takes nothing after a ?, and %q is there", op.Path, name)
		case !slices.Contains(takes, name):
			return bad("%s takes no %q after the ?, but %s", op.Path, name, strings.Join(takes, ", "))
		case len(values) > 1:
			return bad("%q is there more than once, and only one can be meant", name)
		}
	}
	return nil
}

// strangeBody says why a body cannot be read by its headers; nil when it can. Without a type it is taken for JSON, and
// so is what curl says of --data by itself.
func strangeBody(h http.Header) *Problem {
	bad := func(format string, args ...any) *Problem {
		return &Problem{Status: http.StatusUnsupportedMediaType, Kind: "usage", Detail: fmt.Sprintf(format, args...), Hint: "send JSON in UTF-8, with `Content-Type: application/json`"}
	}
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return bad("the body is encoded (%s), which is not read here", enc)
	}
	said := h.Get("Content-Type")
	if said == "" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(said)
	if err != nil {
		return bad("the Content-Type %q is not right: %v", said, err)
	}
	read := []string{"application/json", "application/x-ndjson", "application/x-www-form-urlencoded"}
	if !slices.Contains(read, kind) && !strings.HasSuffix(kind, "+json") {
		return bad("the body is %s, which is not read here", kind)
	}
	if set := params["charset"]; set != "" && !strings.EqualFold(set, "utf-8") && !strings.EqualFold(set, "us-ascii") {
		return bad("the body is in %s, which is not read here", set)
	}
	return nil
}

// strangeMembers says which member of a body is none that its operation takes; nil: all are.
func strangeMembers(has, takes []string) *Problem {
	slices.Sort(has)
	for _, name := range has {
		if !slices.ContainsFunc(takes, func(t string) bool { return strings.EqualFold(t, name) }) {
			return &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: fmt.Sprintf("the request is not right: unexpected property %q", plain.Line(name)) + thereAre(takes) + "; nothing was done", Hint: "/openapi.json says what belongs there"}
		}
	}
	return nil
}

// thereAre says which names there are.
func thereAre(names []string) string {
	if len(names) == 0 {
		return "; its body takes nothing"
	}
	return "; there are " + strings.Join(names, ", ")
}

// bodyTakes names the members of the body that an operation takes.
func bodyTakes(reg huma.Registry, op *huma.Operation) []string {
	if op == nil || op.RequestBody == nil {
		return nil
	}
	m := op.RequestBody.Content["application/json"]
	if m == nil || m.Schema == nil {
		return nil
	}
	s := m.Schema
	if s.Ref != "" {
		if s = reg.SchemaFromRef(s.Ref); s == nil {
			return nil
		}
	}
	return slices.Sorted(maps.Keys(s.Properties))
}

// readStrict reads a JSON object into a struct, and refuses members that it does not have. bad is the answer to what is
// no such object.
func readStrict(b []byte, into any, bad *Problem) *Problem {
	var has map[string]json.RawMessage
	if contract.Unmarshal(b, into) != nil || json.Unmarshal(b, &has) != nil {
		return bad
	}
	var takes []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(into).Elem()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" {
			continue
		}
		takes = append(takes, cmp.Or(name, f.Name))
	}
	return strangeMembers(slices.Collect(maps.Keys(has)), takes)
}
