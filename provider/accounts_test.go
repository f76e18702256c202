package provider

import (
	"errors"
	"reflect"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// account is a worker each of whose calls fails with its name.
type account string

func (a account) Calls() Calls { return Calls{Module: "x", Account: string(a)} }
func (a account) Close()       {}

func (a account) Steps(Host) []pipeline.Step {
	s := pipeline.Step{Name: "x:step"}
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Func {
			continue
		}
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value {
			out := make([]reflect.Value, f.Type().NumOut())
			for j := range out {
				out[j] = reflect.Zero(f.Type().Out(j))
			}
			out[len(out)-1] = reflect.ValueOf(errors.New(string(a)))
			return out
		}))
	}
	return []pipeline.Step{s}
}

// TestEachCallOfAStepIsTheAccounts holds for whatever a step can do, also for what it learns later.
func TestEachCallOfAStepIsTheAccounts(t *testing.T) {
	step := reflect.ValueOf(Accounts(nil, []Worker{account("eu"), account("us")})[0])
	calls := 0
	for i := range step.NumField() {
		f := step.Field(i)
		if f.Kind() != reflect.Func {
			continue
		}
		calls++
		for said, want := range map[string]string{"": "eu", "eu": "eu", "us": "us"} {
			c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  account: \"" + said + "\"\n"))
			if err != nil {
				t.Fatal(err)
			}
			out := f.Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.ValueOf(c)})
			if got := out[len(out)-1].Interface(); got.(error).Error() != want {
				t.Errorf("%s with the account %q is that of %v, want %s", step.Type().Field(i).Name, said, got, want)
			}
		}
	}
	if calls < 6 {
		t.Errorf("a step has %d calls, and this test shows little", calls)
	}
}
