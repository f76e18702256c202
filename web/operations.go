package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
)

// apiVersion counts what breaks clients, which nothing may without a new path.
const apiVersion = "1"

// apiConfig takes out of the library's defaults what would serve or add anything by itself.
func apiConfig() huma.Config {
	c := huma.DefaultConfig("Jarvis", apiVersion)
	c.Info.Description = "Everything that chat can do and read. Durations are seconds, times RFC 3339 with their zone, empty lists [] (docs/reference/json.md). Lists that are long come by pages: follow the Link header, rel=next."
	c.DocsPath, c.SchemasPath, c.OpenAPIPath = "", "", "" // described serves it
	c.CreateHooks = nil                                   // no $schema in answers
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "made by `jarvis token new NAME`"}}
	c.Security = []map[string][]string{{"token": {}}}
	jsonFormat := huma.Format{Marshal: contract.Write, Unmarshal: contract.Unmarshal}
	xmlFormat := huma.Format{Marshal: writeXML, Unmarshal: func([]byte, any) error { return errXMLBody }}
	c.Formats = map[string]huma.Format{
		"application/json": jsonFormat, "json": jsonFormat,
		"application/xml": xmlFormat, "text/xml": xmlFormat, "xml": xmlFormat,
	}
	c.DefaultFormat = "application/json"
	c.Transformers = []huma.Transformer{ownProblems(c.Components.Schemas)}
	// Its schema is that of what contract writes.
	c.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[time.Duration](), reflect.TypeFor[float64]())
	return c
}

// operations adds those of the verbs, and the reads beside them.
func (s *Server) operations(api huma.API) {
	for _, v := range command.Verbs() {
		for _, a := range v.API {
			s.addVerb(api, v, a)
		}
	}
	s.addCommand(api)
	s.addReads(api)
}

// operationID is unique: "deploy", "token-new", and "status-run" beside "status", which is about all.
func operationID(v command.Verb, a command.API) string {
	id := strings.Join(append([]string{v.Name}, a.Prefix...), "-")
	ofAll := slices.ContainsFunc(v.API, func(o command.API) bool { return slices.Equal(o.Prefix, a.Prefix) && len(o.Params) == 0 })
	if ofAll && len(a.Params) > 0 {
		id += "-" + a.Params[0].Name
	}
	return id
}

// addVerb makes one operation of a verb.
func (s *Server) addVerb(api huma.API, v command.Verb, a command.API) {
	reg := api.OpenAPI().Components.Schemas
	usage, doc, role := v.Of(a)
	op := &huma.Operation{OperationID: operationID(v, a), Method: a.Method, Path: a.Path, Summary: doc, Tags: []string{v.Name}, Responses: map[string]*huma.Response{}}
	op.Description = "In chat: `" + usage + "`."
	if role != "" {
		op.Description += " Needs the role `" + role + "`."
	}
	body := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false}
	for _, p := range a.Params {
		if p.In != command.InBody {
			op.Parameters = append(op.Parameters, &huma.Param{Name: p.Name, In: p.In, Description: p.Doc, Required: p.Required, Schema: schemaOf(p)})
			continue
		}
		body.Properties[p.Name] = schemaOf(p)
		if p.Required {
			body.Required = append(body.Required, p.Name)
		}
	}
	if a.Once {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "Idempotency-Key", In: "header", Description: "a request that comes again with the same key starts nothing again, and gets the first one's run", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: ptr(200)}})
	}
	name := camel(op.OperationID)
	body.PrecomputeMessages()
	if len(body.Properties) > 0 {
		reg.Map()[name+"Request"] = body
		op.RequestBody = &huma.RequestBody{Required: len(body.Required) > 0 || a.Once, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/" + name + "Request"}}}}
	}
	status := http.StatusOK
	if a.Accepted {
		status = http.StatusAccepted
	}
	op.DefaultStatus = status
	reg.Map()[AnswerOf(v, a)] = answerSchema(reg, a)
	op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/" + AnswerOf(v, a)}}}}
	op.Responses["default"] = problemResponse(reg)
	api.OpenAPI().AddOperation(op)
	api.Adapter().Handle(op, func(ctx huma.Context) {
		call, err := s.callOf(ctx, reg, body, v, a)
		var answer command.Answer
		if err == nil {
			answer, err = s.Table.Do(ctx.Context(), call)
		}
		if err != nil {
			s.fail(api, ctx, err)
			return
		}
		if answer.Run != nil && a.Accepted {
			ctx.SetHeader("Location", fmt.Sprintf("/v1/runs/%d", answer.Run.ID))
		}
		s.answer(api, ctx, status, command.Said(answer))
	})
}

func ptr[T any](v T) *T { return &v }

// camel gives "TokenNew" for "token-new".
func camel(id string) string {
	var b strings.Builder
	for _, w := range strings.Split(id, "-") {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// schemaOf describes one parameter. Of a code or an object it allows both forms; its verb reads them.
func schemaOf(p command.Param) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Description: p.Doc}
	switch p.Kind {
	case command.Number:
		s.Type = huma.TypeInteger
		s.Format = "int64"
	case command.List, command.Joined:
		s.Type, s.Items = huma.TypeArray, &huma.Schema{Type: huma.TypeString}
		if p.Required {
			s.MinItems = ptr(1)
		}
	case command.Code:
		s.Type = ""
		s.OneOf = []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}}
		for _, one := range s.OneOf {
			one.PrecomputeMessages()
		}
	case command.Object:
		s.Type = ""
		s.OneOf = []*huma.Schema{{Type: huma.TypeObject, AdditionalProperties: true}, {Type: huma.TypeString}}
		for _, one := range s.OneOf {
			one.PrecomputeMessages()
		}
	}
	s.PrecomputeMessages()
	return s
}

// answerSchema describes command.Envelope with the type of its data.
func answerSchema(reg huma.Registry, a command.API) *huma.Schema {
	whole := reg.SchemaFromRef(reg.Schema(reflect.TypeFor[command.Envelope](), true, "").Ref)
	s := &huma.Schema{Type: huma.TypeObject, Required: whole.Required, Properties: maps.Clone(whole.Properties), AdditionalProperties: false}
	delete(s.Properties, "error") // that is an answer of its own
	if a.Gives != nil {
		s.Properties["data"] = reg.Schema(reflect.TypeOf(a.Gives), true, "")
	}
	s.PrecomputeMessages()
	return s
}

func problemResponse(reg huma.Registry) *huma.Response {
	return &huma.Response{Description: "refused or failed", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: reg.Schema(reflect.TypeFor[Problem](), true, "")}}}
}

// callOf makes the words of a verb out of a request.
func (s *Server) callOf(ctx huma.Context, reg huma.Registry, schema *huma.Schema, v command.Verb, a command.API) (command.Call, error) {
	c := callerOf(ctx.Context())
	call := command.Call{Words: append([]string{v.Name}, a.Prefix...), Person: c.person, Asker: c.asker, Via: c.via, Secret: true, Free: c.free}
	if a.Once {
		call.Key = ctx.Header("Idempotency-Key")
	}
	var body map[string]any
	if c.person.Has(v.Role) { // else the table refuses, and has it on record
		if err := s.early(ctx.Context(), c, v.Name); err != nil {
			return call, err
		}
		var err error
		if body, err = readBody(ctx, reg, schema); err != nil {
			return call, err
		}
	}
	for _, p := range a.Params {
		var values []string
		switch p.In {
		case command.InPath:
			values = []string{ctx.Param(p.Name)}
		case command.InQuery:
			if q := ctx.Query(p.Name); q != "" {
				values = []string{q}
			}
		default:
			values = texts(body[p.Name])
		}
		switch {
		case len(values) == 0:
		case p.Kind == command.Document, p.Kind == command.Object:
			call.File = []byte(values[0])
			call.Words = append(call.Words, "clipboard")
		case p.Kind == command.Joined:
			call.Words = append(call.Words, strings.Join(values, ","))
		default:
			for _, val := range values {
				if p.Word != "" {
					call.Words = append(call.Words, p.Word)
				}
				call.Words = append(call.Words, val)
			}
		}
	}
	return call, nil
}

// readBody reads and checks a JSON object. Of an operation that takes none it must be empty: what somebody wrote there
// would have no effect.
func readBody(ctx huma.Context, reg huma.Registry, schema *huma.Schema) (map[string]any, error) {
	bad := func(format string, args ...any) error {
		return &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: fmt.Sprintf(format, args...), Hint: "/openapi.json says what belongs there"}
	}
	b, err := whole(ctx.BodyReader())
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		b = []byte("{}")
	}
	var body any
	if err := json.Unmarshal(b, &body); err != nil {
		return nil, bad("the request is not JSON: %v", err)
	}
	m, _ := body.(map[string]any)
	if p := strangeMembers(slices.Collect(maps.Keys(m)), slices.Sorted(maps.Keys(schema.Properties))); p != nil {
		return nil, p
	}
	res := &huma.ValidateResult{}
	huma.Validate(reg, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, body, res)
	if len(res.Errors) > 0 {
		return nil, bad("the request is not right: %s", strings.ReplaceAll(res.Errors[0].Error(), "\n", " "))
	}
	return m, nil
}

// texts gives a JSON value as words.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, texts(x)...)
		}
		return out
	case map[string]any:
		if b, err := json.Marshal(v); err == nil { // it was JSON
			return []string{string(b)}
		}
	}
	return nil
}

// answer writes a value in the form that the client accepts.
func (s *Server) answer(api huma.API, ctx huma.Context, status int, v any) {
	ct, err := api.Negotiate(ctx.Header("Accept"))
	if err != nil {
		ct = "application/json"
	}
	var p *Problem
	if e, ok := v.(error); ok && errors.As(e, &p) {
		ct = p.ContentType(ct)
	}
	ctx.SetHeader("Content-Type", ct)
	ctx.SetStatus(status)
	if err := api.Marshal(ctx.BodyWriter(), strings.Replace(ct, "problem+", "", 1), v); err != nil {
		s.Log.Debug("answer", "err", err)
	}
}

func (s *Server) fail(api huma.API, ctx huma.Context, err error) {
	p := problemOf(err)
	p.Title = http.StatusText(p.Status)
	if p.wait > 0 {
		ctx.SetHeader("Retry-After", retryAfter(p.wait))
	}
	s.answer(api, ctx, p.Status, p)
}

// CommandRequest is the body of POST /v1/command: a verb as somebody types it. The command line uses it.
type CommandRequest struct {
	Words []string `json:"words" minItems:"1" doc:"the verb and its arguments"`
	File  []byte   `json:"file,omitempty" doc:"the clipboard that the last word names, base64"`
}

// addCommand adds the operation by which the command line says any verb; the table checks roles, as in chat.
func (s *Server) addCommand(api huma.API) {
	type in struct {
		Key  string `header:"Idempotency-Key" maxLength:"200" doc:"as for deploy"`
		Body CommandRequest
	}
	type out struct{ Body command.Envelope }
	huma.Register(api, operation(api, "command", "/v1/command", http.MethodPost, "runs any verb, as typed on the command line"), func(ctx context.Context, q *in) (*out, error) {
		c := callerOf(ctx)
		a, err := s.Table.Do(ctx, command.Call{Words: q.Body.Words, File: q.Body.File, Person: c.person, Asker: c.asker, Via: c.via, Secret: true, Free: c.free, Key: q.Key})
		if err != nil {
			return nil, problem(err)
		}
		return &out{command.Said(a)}, nil
	})
}

// operation describes one that is not made of a verb.
func operation(api huma.API, id, path, method, doc string) huma.Operation {
	return huma.Operation{OperationID: id, Path: path, Method: method, Summary: doc, Tags: []string{"runs"}, MaxBodyBytes: maxBody + 1,
		BodyReadTimeout: -1, // intake has one
		Responses:       map[string]*huma.Response{"default": problemResponse(api.OpenAPI().Components.Schemas)}}
}
