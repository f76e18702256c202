package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/jarvisops/jarvis/command"
)

// description is the whole of it, as docs/reference/openapi.yaml has it.
var description = sync.OnceValue(func() *huma.OpenAPI {
	api := humago.New(http.NewServeMux(), apiConfig())
	s := &Server{}
	s.operations(api)
	for _, r := range s.plainRoutes(api.OpenAPI().Components.Schemas) {
		api.OpenAPI().AddOperation(r.op)
	}
	finish(api.OpenAPI())
	return api.OpenAPI()
})

// OpenAPI gives the description of the API as YAML; docs/reference/openapi.yaml is made of it.
func OpenAPI() ([]byte, error) { return description().YAML() }

// Conforms says where a JSON document is not as a component of the description has it: "Envelope", or the answer of one
// operation, as "StatusAnswer".
func Conforms(component string, doc []byte) error {
	reg := description().Components.Schemas
	schema := reg.Map()[component]
	if schema == nil {
		return fmt.Errorf("%s is not described", component)
	}
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	res := &huma.ValidateResult{}
	huma.Validate(reg, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, res)
	if len(res.Errors) > 0 {
		return res.Errors[0]
	}
	return nil
}

// finish makes a description say what is so: contract writes no null for a list, and every problem is a Problem.
func finish(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel") // the library's own, which ownProblems turns into ours
	delete(schemas, "ErrorDetail")
	seen := map[*huma.Schema]bool{}
	for _, s := range schemas {
		countable(s, seen)
	}
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Put, path.Delete} {
			if op == nil {
				continue
			}
			for _, r := range op.Responses {
				for _, m := range r.Content {
					countable(m.Schema, seen)
				}
			}
		}
	}
}

// countable takes null away from the lists of a schema.
func countable(s *huma.Schema, seen map[*huma.Schema]bool) {
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	countable(s.Items, seen)
	for _, p := range s.Properties {
		countable(p, seen)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		countable(more, seen)
	}
}

// AnswerOf names the component that describes the answer of a verb's operation.
func AnswerOf(v command.Verb, a command.API) string { return camel(operationID(v, a)) + "Answer" }
