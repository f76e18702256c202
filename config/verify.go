package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/web"
	"github.com/jarvisops/jarvis/workers/all"
)

// Verify reads a file and says all that is wrong with it at once: what Load says, what only the packages that use a
// value know, and what is missing on this machine. It makes all that can be made without a connection, and closes it
// again.
func Verify(file string) (*Config, error) { return verify(file, false) }

// VerifyStart is Verify for a server that starts: what it can leave out, as a broken file of checks.dir, is no mistake.
func VerifyStart(file string) (*Config, error) { return verify(file, true) }

// verify is VerifyStart for a server that starts, and Verify otherwise.
func verify(file string, start bool) (*Config, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, Errors{err}
	}
	c := read(file, b, os.LookupEnv)
	if c.read.root == nil && len(c.read.wrong) > 0 {
		return nil, c.read.err() // it is no YAML, and nothing else is known of it
	}
	if err := c.parts(start); err != nil {
		return nil, err
	}
	c.world(reflect.ValueOf(c).Elem(), "")
	if err := c.read.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// parts makes every part. start: what a server can start without does not count.
func (c *Config) parts(start bool) error {
	dir, err := os.MkdirTemp("", "jarvis-check-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	set, err := all.Build(c.Workers.Passing(), dir)
	c.read.add(err, "workers")
	if set != nil {
		defer set.Close()
	}
	_, err = command.NewFetch(c.Sources.URLs)
	c.read.add(err, "sources.urls")
	tasks, err := tasklog.New(c.Tasks, dir)
	c.read.add(err, "tasks")
	c.read.add(c.Drift.Check(), "drift")
	c.read.add(c.Zone.Check(), "zone")
	c.read.add(c.Freeze.Check(), "freeze")
	if start {
		c.read.add(c.Checks.CheckStart(), "checks")
	} else {
		c.lookAtChecks()
		c.read.add(c.Checks.Check(), "checks")
		c.read.add(c.Checks.CheckPrograms(), "checks")
	}
	c.read.add(c.Checks.CheckMail(c.Mail.Server), "checks")
	var rooms []bot.Room
	whole := true
	for i, ch := range c.Chat {
		at := fmt.Sprintf("chat[%d]", i)
		for network, s := range ch.named() {
			f, err := s.Open(c.Name, nil)
			if err != nil || c.read.faulty(at) {
				whole = false // so its rooms are not known
			} else {
				rooms = append(rooms, bot.RoomsOf(f)...)
			}
			c.read.add(mistake.Move(err, "chat."+network, at+"."+network), at)
		}
	}
	if whole {
		c.read.rooms = []string{}
		for _, x := range rooms {
			c.read.rooms = append(c.read.rooms, x.Place)
		}
	}
	c.read.add(c.Mail.Check(), "mail")
	c.read.add(c.Notices.Check(rooms, whole, c.Mail), "notices")
	_, err = web.New(web.Config{Listen: c.Listen, HTTP: c.HTTP})
	c.read.add(err, "http")
	if set == nil {
		return nil
	}
	if len(c.Silos) > 0 {
		set.Registry.Silos(c.Node.Silo, c.Silos.Modules())
	}
	if tasks != nil {
		set.Registry.Add(tasks.Steps()...)
	}
	for _, verb := range slices.Sorted(maps.Keys(c.Pipelines)) {
		if !slices.Contains(pipelineVerbs, verb) {
			c.read.at("pipelines."+verb, ": no verb takes a pipeline of that name; there are %s", strings.Join(pipelineVerbs, ", "))
			continue
		}
		for _, provider := range slices.Sorted(maps.Keys(c.Pipelines[verb])) {
			for i, name := range c.Pipelines[verb][provider] {
				module, _, _ := strings.Cut(strings.Replace(name, "sp:", strings.ToLower(provider)+":", 1), ":")
				if c.read.faulty("workers." + module) {
					continue // so its steps are not known
				}
				if _, err := set.Registry.Lookup(name, strings.ToLower(provider)); err != nil {
					key := "pipelines." + verb + "." + provider
					c.read.add(&mistake.One{Key: fmt.Sprintf("%s[%d]", key, i), Msg: ": " + err.Error()}, key)
				}
			}
		}
	}
	return nil
}

// lookAtChecks looks at the form of the files of checks.dir, as at that of jarvis.yaml itself.
func (c *Config) lookAtChecks() {
	if c.Checks.Dir == "" {
		return
	}
	files, _ := filepath.Glob(filepath.Join(c.Checks.Dir, "*.yaml"))
	for _, f := range files {
		c.read.look(f, reflect.TypeFor[model.Defs]())
	}
}

var pipelineVerbs = []string{"deploy", "redeploy", "destroy"}

// world looks at what must be there on this machine: files by their tag check:"file", and the data folder.
func (c *Config) world(v reflect.Value, key string) {
	if key == "" {
		if err := canMake(c.Data); err != nil {
			c.read.at("data", "is %s, which cannot be: %v", c.Data, err)
		}
		if t := c.HTTP.TLS; t.Cert != "" && t.Key != "" && readable(t.Cert) == nil && readable(t.Key) == nil {
			if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
				c.read.at("http.tls", ": %v", err)
			}
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.world(v.Elem(), key)
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.world(v.Index(i), fmt.Sprintf("%s[%d]", key, i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			at := path(key, tag(f))
			if f.Anonymous {
				at = key
			}
			if text := v.Field(i); f.Tag.Get("check") == "file" && text.String() != "" {
				if err := readable(text.String()); err != nil {
					c.read.at(at, ": %v", err)
				}
				continue
			}
			c.world(v.Field(i), at)
		}
	}
}

// readable opens the file: its mode alone does not say what this user may.
func readable(file string) error {
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("%w by this user", err)
	}
	return f.Close()
}

// canMake reports why a folder cannot be there. It is tried in the nearest folder that is, and taken away again; where
// this user may not write, the server's may.
func canMake(dir string) error {
	st, err := os.Stat(dir)
	for at := dir; err != nil; at = filepath.Dir(at) {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if st, err = os.Stat(filepath.Dir(at)); err == nil && st.IsDir() {
			tmp, err := os.MkdirTemp(filepath.Dir(at), ".jarvis-check-")
			if err == nil {
				return os.Remove(tmp)
			}
			if errors.Is(err, fs.ErrPermission) && os.Getuid() != 0 {
				return nil
			}
			return fmt.Errorf("no folder can be made in %s: %w", filepath.Dir(at), errors.Unwrap(err))
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return errors.New("it is no folder")
	}
	return nil
}

// Exposed says which secrets everybody on this machine may read: files of secrets, and this file when a secret stands
// in it.
func (c *Config) Exposed() Errors {
	out := slices.Clone(c.read.exposed)
	if st, err := os.Stat(c.read.file); err == nil && st.Mode().Perm()&0o007 != 0 && len(c.read.literal) > 0 {
		line := c.read.literal[0]
		out = append(out, &Error{File: c.read.file, Line: line, Msg: fmt.Sprintf("a secret stands here, and everybody on this machine may read or change the file; chmod o-rwx %s, or write ${file:PATH} or ${credential:NAME}", c.read.file)})
	}
	return out
}
