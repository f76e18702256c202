package web

import (
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// What an operation does not take is refused, in the query and in the body, and the names that there are, are said: of
// every operation that is described.
func TestNothingUnknownIsTaken(t *testing.T) {
	doc := description()
	reg := doc.Components.Schemas
	for pattern, op := range operationsOf(doc) {
		p := strangeQuery(op, "zz_unknown=1")
		if p == nil || p.Status != 400 {
			t.Errorf("%s takes what it does not know: %v", pattern, p)
			continue
		}
		for _, x := range op.Parameters {
			if x.In == "query" && !strings.Contains(p.Detail, x.Name) {
				t.Errorf("%s does not name %s: %s", pattern, x.Name, p.Detail)
			}
		}
		if op.RequestBody == nil {
			continue
		}
		takes := bodyTakes(reg, op)
		if len(takes) == 0 {
			t.Errorf("%s has a body of which nothing is known", pattern)
			continue
		}
		schema := op.RequestBody.Content["application/json"].Schema
		if schema.Ref != "" {
			schema = reg.SchemaFromRef(schema.Ref)
		}
		if schema.AdditionalProperties != false {
			t.Errorf("%s: its body may hold anything", pattern)
		}
		if p := strangeMembers([]string{"zz_unknown", takes[0]}, takes); p == nil || !strings.Contains(p.Detail, `"zz_unknown"`) || !strings.Contains(p.Detail, strings.Join(takes, ", ")) {
			t.Errorf("%s: %v", pattern, p)
		}
		theirs := &huma.ErrorModel{Status: 422, Errors: []*huma.ErrorDetail{{Message: validation.MsgUnexpectedProperty, Location: "body.zz_unknown"}}}
		if p, _ := ownProblem(reg, op, theirs).(*Problem); p == nil || !strings.Contains(p.Detail, strings.Join(takes, ", ")) {
			t.Errorf("%s: %v", pattern, p)
		}
	}
}

// The first line of a stream is held to what it may say, too: `"sdo":true` would run a command as another user than was
// meant.
func TestTheFirstLineIsStrict(t *testing.T) {
	bad := &Problem{Detail: "not that"}
	for _, c := range []struct {
		line string
		into any
		want string
	}{
		{`{"hosts":[{"name":"a"}],"line":"id","sdo":true}`, &ExecRequest{}, `unexpected property "sdo"; there are `},
		{`{"Hosts":[{"name":"a"}],"LINE":"id"}`, &ExecRequest{}, ""},
		{`["a"]`, &ExecRequest{}, "not that"},
		{`{"names":["a"],"comand":"x"}`, &WhereRequest{}, `"comand"; there are command, names`},
	} {
		p := readStrict([]byte(c.line), c.into, bad)
		if (p == nil) != (c.want == "") || p != nil && !strings.Contains(p.Detail, c.want) {
			t.Errorf("%s: %+v; want %q", c.line, p, c.want)
		}
	}
}
