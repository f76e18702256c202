package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Markdown gives docs/config.md: every key with its type, default and meaning, from the struct tags.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# jarvis.yaml\n\n<!-- made by go generate from the Config types; edit their doc tags -->\n\n")
	b.WriteString("One file. `${NAME}` takes a value from the environment; a name that is not set is an error. `jarvis config check` says what is\nwrong, in which line; `jarvis config show` prints what is in force, secrets masked.\n\n| key | type | default | meaning |\n|---|---|---|---|\n")
	rows(&b, reflect.TypeFor[Config](), "")
	return b.String()
}

func rows(b *strings.Builder, t reflect.Type, prefix string) {
	for _, f := range reflect.VisibleFields(t) {
		key := tag(f)
		if key == "" {
			continue
		}
		name := path(prefix, key)
		ft := f.Type
		for ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, typeName(ft), code(f.Tag.Get("default")), strings.ReplaceAll(f.Tag.Get("doc"), "|", `\|`))
		switch {
		case ft == reflect.TypeFor[time.Duration]():
		case ft.Kind() == reflect.Struct:
			rows(b, ft, name)
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
			rows(b, ft.Elem(), name+"[]")
		case ft.Kind() == reflect.Map && ft.Elem().Kind() == reflect.Struct:
			rows(b, ft.Elem(), name+".NAME")
		}
	}
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Name() == "Secret":
		return "secret"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "mapping"
	case reflect.Map:
		return "mapping by name"
	case reflect.Slice:
		return "list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Uint32:
		return "number"
	}
	return "text"
}
