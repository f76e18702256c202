package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/mistake"
)

// everyText gives a configuration for each key that takes a text, with value at it.
func everyText(value string) map[string]string {
	out := map[string]string{}
	var walk func(t reflect.Type, key string, around string)
	walk = func(t reflect.Type, key, around string) {
		in := func(with string) string { return strings.Replace(around, "@", with, 1) }
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case t == reflect.TypeFor[time.Duration](), t.Kind() == reflect.String, ownForm(t), t.Kind() == reflect.Int, t.Kind() == reflect.Bool, t.Kind() == reflect.Uint32:
			out[key] = in(value)
		case t.Kind() == reflect.Struct:
			for _, f := range reflect.VisibleFields(t) {
				if k := tag(f); k != "" && f.IsExported() {
					walk(f.Type, path(key, k), in("{"+k+": @}"))
				}
			}
		case t.Kind() == reflect.Slice:
			walk(t.Elem(), key+"[]", in("[@]"))
		case t.Kind() == reflect.Map:
			walk(t.Elem(), path(key, "NAME"), in("{esx: @}"))
		default:
			panic(key + ": " + t.String())
		}
	}
	walk(reflect.TypeFor[Config](), "", "@")
	return out
}

// TestNoMistakeTellsWhatStandsElsewhere: whatever was put in for ${…} is in no word about the configuration, at no key,
// however the value is shaped; the text that stands in the file is told in its place.
func TestNoMistakeTellsWhatStandsElsewhere(t *testing.T) {
	keys := everyText(`"@"`)
	if len(keys) < 200 {
		t.Fatalf("there are %d keys only", len(keys))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "jarvis.yaml")
	told := 0
	for i, shape := range []struct{ secret, words, value string }{
		{"NEVERSEEN-zz99", "NEVERSEEN,zz99", "${file:pw}"},
		{"NEVERSEEN-zz99", "NEVERSEEN,zz99", "ftp://u:${file:pw}@x y"},
		{"root:$y$Never:1\nseen\t\"zz99\":x", "Never,seen,zz99", "${file:pw}"},
		{"zq9", "zq9", "a ${file:pw} b"},
	} {
		if i > 0 && testing.Short() {
			break
		}
		write(t, filepath.Join(dir, "pw"), shape.secret, 0o600)
		for key, text := range keys {
			write(t, file, strings.Replace(text, "@", shape.value, 1), 0o600)
			c, err := Verify(file)
			said := fmt.Sprint(err)
			if err != nil {
				told++
			} else {
				said = fmt.Sprint(c.Unreachable(), c.Exposed(), c.Wrong(mistake.At("x", "is %q", shape.secret)), c.Conceal(errors.New(shape.secret).Error()))
			}
			if _, err := Load(file); err != nil {
				said += err.Error()
			}
			for _, w := range strings.Split(shape.words, ",") {
				if strings.Contains(strings.ToLower(said), strings.ToLower(w)) {
					t.Errorf("shape %d at %s: %s", i, key, said)
				}
			}
		}
	}
	if told < 200 {
		t.Errorf("only %d were mistakes", told)
	}
}

// TestWhatStandsInTheFileIsQuoted in the place of what it stands for, and the rest of the sentence stays.
func TestWhatStandsInTheFileIsQuoted(t *testing.T) {
	env := map[string]string{"PW": "NEVERSEEN-zz99", "URL": "gist.example.org/x", "IS": "is", "HOME": "/home/alice"}
	look := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	for text, want := range map[string]string{
		`name: "a ${PW}"`:                              `line 1: name is "a ${PW}"; it must be one word`,
		`http: {tls: {cert: "${HOME}/no.pem"}}`:        `line 1: http.tls.cert: stat ${HOME}/no.pem: no such file or directory`,
		`sources: {urls: ["ftp://u:${PW}@x"]}`:         `line 1: sources.urls[0]: "ftp://u:${PW}@x" is not the start`,
		`sources: {urls: ["${URL}"]}`:                  `line 1: sources.urls[0]: "${URL}" is not the start of an http:// or https:// URL`,
		`name: "$${PW} x"`:                             `line 1: name is "${PW} x"; it must be one word`,
		`people: [{name: "a${PW}"}, {name: "a${PW}"}]`: `people[1].name: two entries are named a${PW}, and`,
		`checks: {catch_up: "${IS}"}`:                  `line 1: checks.catch_up ${IS} "${IS}"; it ${IS} skip or once`,
	} {
		c := read("/etc/x.yaml", []byte(text), look)
		if err := c.parts(false); err != nil {
			t.Fatal(err)
		}
		c.world(reflect.ValueOf(c).Elem(), "")
		if err := c.read.err(); err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}
