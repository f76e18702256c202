package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// variable is how a value says that it, or a part of it, stands elsewhere.
//
//	${NAME}              in the environment
//	${file:PATH}         in a file; relative to jarvis.yaml
//	${credential:NAME}   in a credential of systemd (systemd.exec(5), LoadCredential=)
//	$${…}                stands for ${…} itself
var variable = pattern.New(`\$?\$\{(?:[A-Za-z_][A-Za-z0-9_]*|file:[^}]+|credential:[A-Za-z0-9][A-Za-z0-9._-]*)\}`)

// Credentials is the folder beside jarvis.yaml in which `jarvis init` keeps credentials.
const Credentials = "credentials"

// maxSecret is more than any key or password.
const maxSecret = 64 << 10

// expand puts in what stands elsewhere. A value that is wholly one stays a string. Every one that is missing is told,
// and the value is not looked at any further.
func (r *reading) expand(n *yaml.Node, key string, seen map[*yaml.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	switch n.Kind {
	case yaml.AliasNode: // its anchor is in the tree as well
		r.aliases = append(r.aliases, key)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			r.expand(n.Content[i+1], path(key, n.Content[i].Value), seen)
		}
	case yaml.SequenceNode, yaml.DocumentNode:
		for i, ch := range n.Content {
			r.expand(ch, fmt.Sprintf("%s[%d]", key, i), seen)
		}
	case yaml.ScalarNode:
		if !strings.Contains(n.Value, "${") {
			return
		}
		n.Value = variable.ReplaceAllStringFunc(n.Value, func(m string) string {
			if strings.HasPrefix(m, "$$") {
				return m[1:]
			}
			v, err := r.secret(n, m[2:len(m)-1])
			if err != "" {
				r.tell(n, false, key, "%s: %s %s", key, m, err)
				return "missing"
			}
			r.standIns = append(r.standIns, standIn{m, v, key})
			if r.inPlace == nil {
				r.inPlace = map[*yaml.Node]bool{}
			}
			r.inPlace[n] = true
			return v
		})
	}
}

// secret looks one up; the second value says why there is none.
func (r *reading) secret(n *yaml.Node, what string) (string, string) {
	if file, ok := strings.CutPrefix(what, "file:"); ok {
		return r.secretFile(n, r.beside(file))
	}
	if name, ok := strings.CutPrefix(what, "credential:"); ok {
		if dir, ok := r.env("CREDENTIALS_DIRECTORY"); ok && dir != "" {
			v, err := r.secretFile(n, filepath.Join(dir, name))
			if err != "" {
				err += "; the unit needs LoadCredential=" + name + ":FILE"
			}
			return v, err
		}
		// Outside of the service, as in `config check`: what `jarvis init` has the service's unit load.
		return r.secretFile(n, r.beside(filepath.Join(Credentials, name)))
	}
	v, ok := r.env(what)
	if !ok {
		return "", "is not set in the environment"
	}
	return v, ""
}

// ReadSecret gives what a file or a pipe holds, which is one secret: it reads no more than one can have.
func ReadSecret(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = fmt.Errorf("%s holds more than %d bytes, which is too long for a secret", file, maxSecret)
	}
	return b, err
}

// secretFile gives a secret, or what is wrong with the file, as it is said after its name. One that everybody may read
// is taken all the same, and told as exposed.
func (r *reading) secretFile(n *yaml.Node, file string) (string, string) {
	st, err := os.Stat(file)
	switch {
	case err != nil:
		return "", "cannot be read: " + err.Error()
	case !st.Mode().IsRegular():
		return "", fmt.Sprintf("is not there: %s is no file", file)
	case st.Size() > maxSecret:
		return "", fmt.Sprintf("is too long: %s has %d bytes", file, st.Size())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", "cannot be read: " + err.Error()
	}
	if st.Mode().Perm()&0o007 != 0 {
		r.exposed = append(r.exposed, &Error{File: r.file, Line: n.Line, Msg: fmt.Sprintf("%s can be read or changed by everybody on this machine, and holds a secret; chmod o-rwx %s", file, file)})
	}
	v := strings.TrimRight(string(b), "\r\n")
	if v == "" {
		return "", fmt.Sprintf("is empty: %s holds nothing", file)
	}
	return v, ""
}
