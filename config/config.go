// Package config puts the one jarvis.yaml together from the Config types of the packages that use them, and says
// what is wrong with a file: where, which key, what is allowed.
//
// Every key is documented by the `doc` tag of its field; docs/config.md is made from those. Only cmd/jarvis calls
// this package.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/bot/xmpp"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/web"
	"github.com/jarvisops/jarvis/workers/all"
)

// Config is jarvis.yaml.
type Config struct {
	Name      string                         `yaml:"name" doc:"what the bot is called and addressed by" default:"jarvis"`
	Data      string                         `yaml:"data" doc:"folder for the database, keys, known_hosts and the socket; relative to this file" default:"./data"`
	Database  clipboard.Secret               `yaml:"database" doc:"postgres://… ; empty: SQLite in data"`
	Listen    string                         `yaml:"listen" doc:"address of the HTTP API; empty: only the command line's data/jarvis.sock" default:"127.0.0.1:8080"`
	HTTP      web.HTTP                       `yaml:"http" doc:"more about the HTTP API"`
	AgeKey    clipboard.Secret               `yaml:"age_key" doc:"AGE-SECRET-KEY-1… that seals secrets, as in ${JARVIS_AGE_KEY}; empty: data/age.key, made at first start"`
	Runs      int                            `yaml:"runs" doc:"runs that may work at the same moment; waiting ones do not count" default:"200"`
	Drain     time.Duration                  `yaml:"drain" doc:"how long an orderly stop waits for steps whose resume is ask; all others are stopped at once" default:"30s"`
	Chat      []Chat                         `yaml:"chat" doc:"chat networks"`
	People    []access.PersonConfig          `yaml:"people" doc:"who may do what; whoever is not listed may ask for help only"`
	Limit     access.LimitConfig             `yaml:"limit" doc:"how fast one person may ask, in chat and over HTTP"`
	Approvals command.Approvals              `yaml:"approvals" doc:"what destroys, or touches what is in production, waits for a second person"`
	Sources   command.Sources                `yaml:"sources" doc:"where deploy may take a clipboard from"`
	Workers   all.Config                     `yaml:"workers" doc:"the world that steps work on; what is not named is not offered"`
	Tasks     []tasklog.Config               `yaml:"tasks" doc:"git repositories of reviewed one-off tasks"`
	Checks    checks.Config                  `yaml:"checks" doc:"scheduled checks of hosts"`
	Pipelines map[string]map[string][]string `yaml:"pipelines" doc:"steps by verb and provider, as in {deploy: {esx: [keys:create, …]}}; instead of the built-in lists"`

	file string
}

// Chat is one entry of chat: exactly one of its keys.
type Chat struct {
	IRC  *irc.Config  `yaml:"irc" doc:"an IRC server"`
	XMPP *xmpp.Config `yaml:"xmpp" doc:"a Jabber account"`
}

// Error says what is wrong, in which line of which file.
type Error struct {
	File string
	Line int
	Msg  string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s: %s", e.File, e.Msg)
}

// Default gives the configuration without a file.
func Default() *Config {
	return &Config{Name: "jarvis", Data: "./data", Listen: "127.0.0.1:8080", Drain: 30 * time.Second}
}

// Find gives the file that is used when none is named: ./jarvis.yaml, then /etc/jarvis/jarvis.yaml; "" when neither
// is there.
func Find() string {
	for _, f := range []string{"jarvis.yaml", "/etc/jarvis/jarvis.yaml"} {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	return ""
}

// Load reads a file. The error is an *Error.
func Load(file string) (*Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		var perr *os.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return nil, &Error{File: file, Msg: "can not be read: " + err.Error()}
	}
	return Parse(file, b, os.LookupEnv)
}

// Parse reads the text of a file; env looks up ${NAME}.
func Parse(file string, b []byte, env func(string) (string, bool)) (*Config, error) {
	c := Default()
	c.file = file
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		var le *yaml.LoadError
		if errors.As(err, &le) {
			return nil, &Error{file, le.Mark.Line, "this is not YAML: " + le.Message}
		}
		return nil, &Error{File: file, Msg: "this is not YAML: " + err.Error()}
	}
	if len(doc.Content) > 0 {
		root := doc.Content[0]
		if err := expand(file, root, env); err != nil {
			return nil, err
		}
		if err := check(file, root, reflect.TypeFor[Config](), ""); err != nil {
			return nil, err
		}
		if err := root.Decode(c); err != nil {
			return nil, &Error{File: file, Msg: strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " ")}
		}
	}
	return c, c.validate()
}

// expand puts the environment's values in place of ${NAME}. A value that is wholly one stays a string.
func expand(file string, n *yaml.Node, env func(string) (string, bool)) error {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "${") {
		var missing string
		v := variable.ReplaceAllStringFunc(n.Value, func(m string) string {
			s, ok := env(m[2 : len(m)-1])
			if !ok {
				missing = m
			}
			return s
		})
		if missing != "" {
			return &Error{file, n.Line, fmt.Sprintf("%s is not set in the environment", missing)}
		}
		n.Value = v
	}
	for _, ch := range n.Content {
		if err := expand(file, ch, env); err != nil {
			return err
		}
	}
	return nil
}

var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// check walks the tree beside the Go types: an unknown key is an error that names the nearest one, a value of the
// wrong shape one that says what belongs there.
func check(file string, n *yaml.Node, t reflect.Type, key string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return nil
	}
	bad := func(want string) error {
		return &Error{file, n.Line, fmt.Sprintf("%s must be %s", key, want)}
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(n.Value); n.Kind != yaml.ScalarNode || err != nil {
			return bad("a duration as in 30s or 5m")
		}
		return nil
	case t.Kind() == reflect.Struct:
		if n.Kind != yaml.MappingNode {
			return bad("a mapping with the keys " + strings.Join(keysOf(t), ", "))
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			f, ok := field(t, k.Value)
			if !ok {
				msg := fmt.Sprintf("there is no key %q here", path(key, k.Value))
				if near := pipeline.Nearest(k.Value, keysOf(t)); near != "" {
					msg += fmt.Sprintf("; did you mean %q?", near)
				} else {
					msg += "; there are " + strings.Join(keysOf(t), ", ")
				}
				return &Error{file, k.Line, msg}
			}
			if err := check(file, n.Content[i+1], f.Type, path(key, k.Value)); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return bad("a list")
		}
		for _, ch := range n.Content {
			if err := check(file, ch, t.Elem(), key); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Map:
		if n.Kind != yaml.MappingNode {
			return bad("a mapping")
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := check(file, n.Content[i+1], t.Elem(), path(key, n.Content[i].Value)); err != nil {
				return err
			}
		}
	default:
		if n.Kind != yaml.ScalarNode {
			return bad("a single value")
		}
		v := reflect.New(t)
		if err := n.Decode(v.Interface()); err != nil {
			switch t.Kind() {
			case reflect.Bool:
				return bad("true or false")
			case reflect.Int, reflect.Uint32:
				return bad("a whole number")
			}
			return bad("a " + t.Kind().String())
		}
	}
	return nil
}

func path(key, k string) string {
	if key == "" {
		return k
	}
	return key + "." + k
}

func field(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) { // what is inlined too
		if tag(f) == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// tag gives a field's key; "" for one that is not in the file.
func tag(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" {
		return ""
	}
	return name
}

func keysOf(t reflect.Type) []string {
	var out []string
	for _, f := range reflect.VisibleFields(t) {
		if k := tag(f); k != "" {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

// validate checks what the shape can not tell, and makes paths relative to the file.
func (c *Config) validate() error {
	fail := func(format string, args ...any) error { return &Error{File: c.file, Msg: fmt.Sprintf(format, args...)} }
	if c.Name == "" || strings.ContainsAny(c.Name, " :,@\t") {
		return fail("name is %q; it must be one word", c.Name)
	}
	if c.Drain < 0 {
		return fail("drain is %s; it must not be negative, and 0s waits for nothing", c.Drain)
	}
	if err := access.Check(c.People); err != nil {
		return fail("%v", err)
	}
	for i, ch := range c.Chat {
		if (ch.IRC == nil) == (ch.XMPP == nil) {
			return fail("chat: entry %d must name one network; write irc: {…} or xmpp: {…}", i+1)
		}
	}
	if c.Database != "" && !strings.HasPrefix(string(c.Database), "postgres://") && !strings.HasPrefix(string(c.Database), "postgresql://") {
		return fail("database must be postgres://…, or empty for SQLite in data")
	}
	if c.AgeKey != "" {
		if _, err := clipboard.ParseKey(string(c.AgeKey)); err != nil {
			return fail("age_key: %v", err)
		}
	}
	dir := filepath.Dir(c.file)
	rel := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if c.Data == "" {
		c.Data = "./data"
	}
	rel(&c.Data)
	rel(&c.HTTP.TLS.Cert)
	rel(&c.HTTP.TLS.Key)
	for _, ch := range c.Chat {
		if ch.IRC != nil {
			rel(&ch.IRC.CA)
		} else {
			rel(&ch.XMPP.CA)
		}
	}
	for i := range c.Tasks {
		t := &c.Tasks[i]
		if !strings.Contains(t.Repo, ":") { // a path, not a URL or host:path
			rel(&t.Repo)
		}
		rel(&t.AllowedSigners)
		rel(&t.Key)
		rel(&t.KnownHosts)
	}
	rel(&c.Checks.Dir)
	rel(&c.Checks.Plugins)
	if w := c.Workers.ESX; w != nil {
		rel(&w.CA)
	}
	if w := c.Workers.LDAP; w != nil {
		rel(&w.CA)
	}
	if w := c.Workers.SSH; w != nil {
		rel(&w.Key)
		rel(&w.KnownHosts)
	}
	if w := c.Workers.Converge; w != nil {
		rel(&w.Dir)
	}
	if w := c.Workers.External; w != nil {
		rel(&w.Dir)
	}
	return nil
}

// Unreachable gives a line for each person who could never be recognised, and one for each whose ways are fewer than
// they look.
func (c *Config) Unreachable() []string {
	hasIRC, hasXMPP := false, false
	for _, ch := range c.Chat {
		hasIRC, hasXMPP = hasIRC || ch.IRC != nil, hasXMPP || ch.XMPP != nil
	}
	var out []string
	for _, p := range c.People {
		var dead []string
		ways := 0
		way := func(set, works bool, why string) {
			switch {
			case set && works:
				ways++
			case set:
				dead = append(dead, why)
			}
		}
		way(p.IRC != "", hasIRC, "irc, and chat has no irc")
		way(p.XMPP != "", hasXMPP, "xmpp, and chat has no xmpp")
		way(p.Local != "", true, "")
		way(c.Listen != "", true, "")
		switch {
		case ways == 0 && len(dead) == 0:
			out = append(out, p.Name+" can never be recognised: give irc, xmpp or local, or set listen and make a token")
		case ways == 0:
			out = append(out, p.Name+" can never be recognised: only by "+strings.Join(dead, "; by "))
		case len(dead) > 0:
			out = append(out, p.Name+" is not recognised by "+strings.Join(dead, "; nor by "))
		}
	}
	return out
}

// Socket gives the path of the socket.
func (c *Config) Socket() string { return filepath.Join(c.Data, "jarvis.sock") }

// Masked gives the configuration as YAML with its secrets masked.
func (c *Config) Masked() (string, error) {
	b, err := yaml.Dump(c, yaml.WithIndent(2))
	return string(b), err
}
