// Package config puts the one jarvis.yaml together from the Config types of the packages that use them, and says
// what is wrong with a file: where, which key, what is allowed.
//
// Every key is documented by the `doc` tag of its field; docs/reference/config.md is made from those. Only cmd/jarvis
// calls this package.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/web"
	"github.com/jarvisops/jarvis/workers/all"
)

// Config is jarvis.yaml.
type Config struct {
	Name      string                         `yaml:"name" doc:"what the bot is called and addressed by; without it, by its nick where it has one of its own" default:"jarvis"`
	Data      string                         `yaml:"data" path:"relative" doc:"folder for the database, keys and known_hosts; relative to this file" default:"./data"`
	Database  clipboard.Secret               `yaml:"database" doc:"postgres://… ; empty: SQLite in data"`
	Socket    web.Socket                     `yaml:"socket" doc:"where the command line of this machine reaches the server"`
	Server    string                         `yaml:"server" doc:"address of a server elsewhere, for the command line of a machine that runs none, as in https://jarvis.example.org; its token is taken from JARVIS_TOKEN"`
	Listen    string                         `yaml:"listen" doc:"address of the HTTP API; empty: only the socket" default:"127.0.0.1:8080"`
	Log       LogConfig                      `yaml:"log" doc:"what the server says of its work, on standard error"`
	HTTP      web.HTTP                       `yaml:"http" doc:"more about the HTTP API"`
	Node      NodeConfig                     `yaml:"node" doc:"which of several servers on one PostgreSQL database this is (docs/howto/nodes.md)"`
	Silos     Silos                          `yaml:"silos" doc:"modules whose steps run only in a part of the network that some servers and agents reach, as in {vmware: [esx, ldap]}; the same at all servers (docs/howto/nodes.md)"`
	AgeKey    clipboard.Secret               `yaml:"age_key" doc:"AGE-SECRET-KEY-1… that seals secrets, as in ${JARVIS_AGE_KEY}; empty: data/age.key, made at first start"`
	Runs      int                            `yaml:"runs" doc:"runs that may work at the same moment; waiting ones do not count" default:"200"`
	Drain     time.Duration                  `yaml:"drain" doc:"how long an orderly stop waits for steps whose resume is ask, while the database takes writes; all others are stopped at once. With more than a minute, TimeoutStopSec of the unit must be longer too (docs/howto/nodes.md)" default:"30s"`
	Chat      []Chat                         `yaml:"chat" doc:"chat networks"`
	Notices   bot.Routes                     `yaml:"notices" doc:"where notices go beside the place where a run was asked: channels, mail, webhooks, with quiet hours and a daily summary (docs/howto/notices.md)"`
	Mail      post.MailConfig                `yaml:"mail" doc:"the server that takes mails, for notices and for contacts of checks"`
	People    []Person                       `yaml:"people" doc:"who may do what; whoever is not listed may ask for help only"`
	Limit     access.LimitConfig             `yaml:"limit" doc:"how fast one person may ask, in chat and over HTTP"`
	Zone      command.Zone                   `yaml:"zone" doc:"time zone of the times that people name, as in deploy … at 03:00; as in Europe/Berlin. When it is set, the times in answers are in it, and otherwise in this machine's" default:"UTC"`
	Freeze    command.Freezes                `yaml:"freeze" doc:"times in which nothing begins"`
	Approvals command.Approvals              `yaml:"approvals" doc:"what destroys, or touches what is in production, waits for a second person"`
	Sources   command.Sources                `yaml:"sources" doc:"where deploy may take a clipboard from"`
	Workers   all.Config                     `yaml:"workers" doc:"the world that steps work on; what is not named is not offered"`
	Agent     agent.Config                   `yaml:"agent" doc:"for jarvis agent: which server it dials, and for which silo (docs/howto/agent.md)"`
	Tasks     []tasklog.Config               `yaml:"tasks" doc:"git repositories of reviewed one-off tasks"`
	Drift     pipeline.DriftConfig           `yaml:"drift" doc:"how often hosts are compared with what their deployment left"`
	Checks    model.Config                   `yaml:"checks" doc:"scheduled checks of hosts"`
	Keep      KeepConfig                     `yaml:"keep" doc:"how long the record is kept; what is not set is kept for ever. What is under way, and what hosts stand by, is never removed (docs/howto/install.md)"`
	Pipelines map[string]map[string][]string `yaml:"pipelines" doc:"steps by verb and provider, as in {deploy: {esx: [keys:create, …]}}; instead of the built-in lists"`

	read *reading // how it was read
}

// LogConfig says what is logged, and how.
type LogConfig struct {
	Format string `yaml:"format" check:"one:text|json" doc:"text, or json: one object a line" default:"text"`
	Level  string `yaml:"level" check:"one:debug|info|warn|error" doc:"the least that is said: debug, info, warn or error" default:"info"`
}

// Error says what is wrong, in which line of which file.
type Error struct {
	File string
	Line int
	Msg  string
	Err  error // why the file cannot be read; nil otherwise

	key string // of which it is told
}

// Error implements error.
func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s: %s", e.File, e.Msg)
}

// Errors are all the mistakes of one file, by line.
type Errors []*Error

// Error implements error.
func (l Errors) Error() string {
	var out []string
	for _, e := range l {
		out = append(out, e.Error())
	}
	return strings.Join(out, "\n")
}

// Default gives the configuration without a file.
func Default() *Config {
	return &Config{Name: "jarvis", Data: "./data", Listen: "127.0.0.1:8080", Drain: 30 * time.Second, read: &reading{}}
}

// Empty reports whether the file says nothing at all, as one that an editor left on a full disk.
func (c *Config) Empty() bool {
	return c.read.file != "" && (c.read.root == nil || c.read.root.Kind == yaml.ScalarNode && c.read.root.Tag == "!!null")
}

// System is where the configuration of this machine's server lies, and Known where its socket does.
const (
	System = "/etc/jarvis/jarvis.yaml"
	Known  = "/run/jarvis/jarvis.sock"
)

// Find gives the file that is used when none is named: that of JARVIS_CONFIG, ./jarvis.yaml, then System; "" when none
// is there.
func Find() string {
	if f := os.Getenv("JARVIS_CONFIG"); f != "" {
		return f
	}
	for _, f := range []string{"jarvis.yaml", System} {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	return ""
}

// Load reads a file. The error is an Errors with all that the file itself shows to be wrong; Verify looks at the rest
// as well.
func Load(file string) (*Config, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, Errors{err}
	}
	return Parse(file, b, os.LookupEnv)
}

// Parse reads the text of a file; env looks up ${NAME}.
func Parse(file string, b []byte, env func(string) (string, bool)) (*Config, error) {
	c := read(file, b, env)
	if err := c.read.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// readFile leaves the file's name out of what the system says: Error names it.
func readFile(file string) ([]byte, *Error) {
	b, err := os.ReadFile(file)
	if err != nil {
		var perr *os.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return nil, &Error{File: file, Msg: "cannot be read: " + err.Error(), Err: err}
	}
	return b, nil
}

// read makes what it can of the text. What is wrong is in read.wrong.
func read(file string, b []byte, env func(string) (string, bool)) *Config {
	c := Default()
	c.read = &reading{file: file, env: env}
	c.read.tree(b, c)
	c.Checks.File = file
	c.validate()
	return c
}

// validate checks what one value alone cannot show, and makes paths relative to the file.
func (c *Config) validate() {
	wrong := c.read.at
	if c.Name == "" || strings.ContainsAny(c.Name, " :,@\t") {
		wrong("name", "is %q; it must be one word", c.Name)
	}
	c.read.add(access.Check(c.Persons()), "people")
	for i, ch := range c.Chat {
		if len(ch.named()) != 1 {
			wrong(fmt.Sprintf("chat[%d]", i), ": entry %d must name one network; write %s", i+1, strings.Join(each(Networks(), "%s: {…}"), " or "))
		}
	}
	if c.Database != "" && !strings.HasPrefix(string(c.Database), "postgres://") && !strings.HasPrefix(string(c.Database), "postgresql://") {
		wrong("database", "must be postgres://…, or empty for SQLite in data")
	}
	if c.AgeKey != "" {
		if _, err := clipboard.ParseKey(string(c.AgeKey)); err != nil {
			wrong("age_key", ": %v", err)
		}
	}
	if c.Data == "" {
		c.Data = "./data"
	}
	for i := range c.Tasks {
		if t := &c.Tasks[i]; !strings.Contains(t.Repo, ":") { // a path, not a URL or host:path
			t.Repo = c.read.beside(t.Repo)
		}
	}
	if c.Zone.Check() == nil {
		for i := range c.Freeze {
			c.Freeze[i].Zone = cmp.Or(c.Freeze[i].Zone, string(c.Zone))
		}
		for i := range c.Notices {
			c.Notices[i].Zone = cmp.Or(c.Notices[i].Zone, string(c.Zone))
		}
	}
	c.place(reflect.ValueOf(c).Elem())
	c.ownSocket()
	c.read.add(c.Node.Check(), "node")
	c.read.add(c.Agent.Check(), "agent")
	c.read.add(c.Silos.Check(), "silos")
	c.read.add(c.siloOfNode(), "node")
	c.read.add(c.Keep.Check(), "keep")
	c.read.add(c.Socket.Check(), "socket")
}

// ownSocket says where the socket is when the file does not.
func (c *Config) ownSocket() {
	if c.Socket.Path == "" {
		c.Socket.Path, c.Socket.Own = filepath.Join(c.Data, "run", "jarvis.sock"), true
	}
}

// place makes every path relative to the file: what a struct marks with the tag `path:"relative"`. What it marks with
// `path:"data"` is relative to the data folder, which is placed before all that, and lies there by its default.
func (c *Config) place(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.place(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.place(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			switch {
			case f.Tag.Get("path") == "relative":
				v.Field(i).SetString(c.read.beside(v.Field(i).String()))
			case f.Tag.Get("path") == "data":
				at := cmp.Or(v.Field(i).String(), strings.TrimPrefix(f.Tag.Get("default"), "DATA/"))
				if !filepath.IsAbs(at) {
					at = filepath.Join(c.Data, at)
				}
				v.Field(i).SetString(at)
			case f.IsExported():
				c.place(v.Field(i))
			}
		}
	}
}

// Unreachable gives a line for each person who could never be recognised, and one for each whose ways are fewer than
// they look.
func (c *Config) Unreachable() []string {
	on := map[string]bool{}
	for _, ch := range c.Chat {
		on[ch.Network()] = true
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
		for _, a := range p.accounts() {
			way(true, on[a.Network()], a.Network()+", and chat has no "+a.Network())
		}
		way(p.Local != "", true, "")
		way(p.OIDC != "", c.HTTP.OIDC != nil, "oidc, and http has no oidc")
		way(c.Listen != "", true, "")
		switch {
		case ways == 0 && len(dead) == 0:
			out = append(out, p.Name+" can never be recognised: give "+strings.Join(Networks(), ", ")+" or local, or set listen and make a token")
		case ways == 0:
			out = append(out, p.Name+" can never be recognised: only by "+strings.Join(dead, "; by "))
		case len(dead) > 0:
			out = append(out, p.Name+" is not recognised by "+strings.Join(dead, "; nor by "))
		}
	}
	for i := range out {
		out[i] = c.Conceal(out[i])
	}
	return out
}

// Doubts gives a line for each name in checks that stands for nothing. None of them is a mistake: what it names may
// come. The configuration is one of Verify.
func (c *Config) Doubts() []string {
	var people []string
	if c.HTTP.OIDC == nil { // which brings people who are not listed
		people = []string{}
		for _, p := range c.People {
			people = append(people, p.Name)
		}
	}
	var out []string
	for _, d := range c.Checks.Doubts(people, c.read.rooms) {
		out = append(out, c.Conceal(d.String()))
	}
	if text := c.Untold(); text != "" {
		out = append(out, text)
	}
	return out
}

// Untold says that checks run of which nobody is told; "" when somebody is, or there are none.
func (c *Config) Untold() string {
	if len(c.Chat) > 0 || !c.Checks.Untold() {
		return ""
	}
	return "checks: nobody is told of a problem, for there is no chat, and no action does anything; add chat, or a contact with mail, command or webhook and an action that notifies it (`jarvis check list` tells who asks)"
}
