package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Markdown gives docs/reference/config.md: every key with its type, default and meaning, from the struct tags.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# jarvis.yaml\n\n<!-- made by go generate from the Config types; edit their doc tags -->\n\n")
	b.WriteString("One file. A value may stand elsewhere: `${NAME}` is taken from the environment, `${file:PATH}` from a file (relative to this one),\n`${credential:NAME}` from a credential of systemd, which outside of the service is the file NAME in the folder `credentials` beside this\nfile; `$${NAME}` is `${NAME}` itself. One that is missing is an error. `jarvis config check` says all that is wrong, each with its line;\n`jarvis config show` prints what is in force, secrets masked; `jarvis reload` has a running server take over what it can\n([install.md](../howto/install.md)).\n\n| key | type | default | meaning |\n|---|---|---|---|\n")
	rows(&b, reflect.TypeFor[Config](), "")
	return b.String()
}

// rows writes a line for each key, and those of its parts as prefix.key, prefix[].key or prefix.NAME.key.
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
		case ft == reflect.TypeFor[time.Duration](), ownForm(ft) && ft.Name() != "Network":
		case ft.Kind() == reflect.Struct:
			rows(b, ft, name)
		case ft.Kind() == reflect.Slice && ft.Implements(reflect.TypeFor[interface{ OneOrMany() }]()):
			rows(b, ft.Elem(), name)
		case ft.Kind() == reflect.Slice && ownForm(ft.Elem()):
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

// typeName is in the words of who writes YAML, not in Go's.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Name() == "Secret":
		return "secret"
	case t.Name() == "Size":
		return "text or mapping"
	case t.Implements(reflect.TypeFor[interface{ OneOrMany() }]()):
		return "mapping or list"
	case t.Implements(reflect.TypeFor[interface{ TextOrList() }]()):
		return "text or list"
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
