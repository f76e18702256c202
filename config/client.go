package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Place is where a server is: what the command line, which is its client, needs of a configuration.
type Place struct {
	Server string // an address elsewhere; "": on this machine, at Socket
	Socket string

	conf *Config
}

// Conceal gives a text about the place without what the ${…} of its file stand for.
func (p Place) Conceal(text string) string { return p.conf.Conceal(text) }

// FindPlace reads where the server is from a file, or from the first there is for "". It looks at `data`, `socket` and
// `server` and at nothing else: a client needs no secret, and a mistake in another part is the server's. When a file
// that was not named may not be read by this user, or there is none, the server is at the socket of the machine's
// service, if that is there.
func FindPlace(file string) (Place, error) {
	files := []string{file}
	named := true
	switch env := os.Getenv("JARVIS_CONFIG"); {
	case file != "":
	case env != "":
		files[0] = env
	default:
		files, named = []string{"jarvis.yaml", System}, false
	}
	var last error
	for _, f := range files {
		b, err := readFile(f)
		switch {
		case err == nil:
			return place(f, b)
		case errors.Is(err.Err, fs.ErrNotExist) && !named:
		case errors.Is(err.Err, fs.ErrPermission):
			last = Errors{err}
		default:
			return Place{}, Errors{err}
		}
	}
	if _, err := os.Stat(Known); err == nil || errors.Is(err, fs.ErrPermission) { // who may not is told so when they ask
		return Place{Socket: Known}, nil
	}
	if last != nil {
		return Place{}, last
	}
	return Place{Socket: filepath.Join("data", "run", "jarvis.sock")}, nil
}

// place reads the three keys.
func place(file string, b []byte) (Place, error) {
	c, err := part(file, b, "data", "socket", "server")
	if err != nil {
		return Place{}, err
	}
	return Place{Server: c.Server, Socket: c.Socket.Path, conf: c}, nil
}

// LoadRecord reads where the record and its keys are, and nothing else: a backup is made by the clock, where the
// secrets of the service are not.
func LoadRecord(file string) (*Config, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, Errors{err}
	}
	return part(file, b, "data", "database", "age_key", "workers.ssh")
}

// LoadPeople reads who the people are, and nothing else.
func LoadPeople(file string) (*Config, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, Errors{err}
	}
	return part(file, b, "people")
}

// part reads some keys, at the top or one below it; of others not even the secrets are looked for.
func part(file string, b []byte, keys ...string) (*Config, error) {
	r := &reading{file: file, env: os.LookupEnv}
	root := r.parse(b)
	c := Default()
	c.read = r
	if root != nil && root.Kind == yaml.MappingNode {
		r.root = root
		root.Content = only(root, "", keys)
		r.expand(root, "", map[*yaml.Node]bool{})
		r.check(root, reflect.TypeFor[Config](), "", "")
		if err := root.Decode(c); err != nil && len(r.wrong) == 0 {
			r.at("", "%v", err)
		}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	c.place(reflect.ValueOf(c).Elem())
	c.ownSocket()
	return c, nil
}

// only gives what of a mapping's content is named by one of the keys, or leads to one.
func only(n *yaml.Node, above string, keys []string) (out []*yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := above + k.Value
		switch {
		case slices.Contains(keys, key):
		case v.Kind == yaml.MappingNode && slices.ContainsFunc(keys, func(s string) bool { return strings.HasPrefix(s, key+".") }):
			v.Content = only(v, key+".", keys)
		default:
			continue
		}
		out = append(out, k, v)
	}
	return out
}
