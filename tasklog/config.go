package tasklog

import (
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// Config is one repository of tasks.
type Config struct {
	Name     string `yaml:"name" doc:"what people call it; also the host name of its runs" default:"the repository's own name"`
	Repo     string `yaml:"repo" doc:"URL or path of the git repository"`
	Branch   string `yaml:"branch" doc:"the branch of what is wanted; empty: main, or master" default:""`
	Done     string `yaml:"done" doc:"the branch of what has been done in this environment, which Jarvis moves; no two entries share one" default:"done for env default, else done-ENV"`
	Env      string `yaml:"env" doc:"environment: envs/ENV/tasks.yaml, or tasks.yaml when that is not there; without either nothing runs" default:"default"`
	Every    string `yaml:"every" doc:"how often it is fetched" default:"1m"`
	MaxTasks int    `yaml:"max_tasks" doc:"more new tasks than this are refused" default:"5"`
	Where    string `yaml:"where" doc:"local: tasks without hosts run on this machine; ssh: a task must name its hosts" default:"local"`
	User     string `yaml:"user" doc:"user of this machine that local tasks run as; empty: the server's own"`
	Failed   string `yaml:"after_failure" doc:"stop: a failed task holds those after it; go_on: it counts as done" default:"stop"`

	RequireSigned  bool   `yaml:"require_signed" doc:"a commit with tasks must be signed by a key of allowed_signers"`
	AllowedSigners string `yaml:"allowed_signers" path:"relative" doc:"file of who may sign, as in ALLOWED SIGNERS of ssh-keygen(1)"`
	Key            string `yaml:"key" path:"relative" doc:"private key file for git over SSH (a deploy key that may write)"`
	KnownHosts     string `yaml:"known_hosts" path:"relative" doc:"host keys of the git server" default:"~/.ssh/known_hosts"`

	HookSecret clipboard.Secret `yaml:"hook_secret" doc:"secret of the webhook /hooks/git, with which GitHub, Gitea, Gogs or GitLab sign; empty: no webhook"`
	Approval   string           `yaml:"approval" doc:"how long a task with needs_approval waits for a second person" default:"24h"`

	every, approval time.Duration
	inherits        string // the branch that Done begins at when it is not there
}

// sharedDone is the branch of what is done in the environment default. It was every environment's once.
const sharedDone = "done"

// Where tasks without hosts run.
const (
	Local = "local"
	SSH   = "ssh"
)

const goOn = "go_on"

var label = pattern.New(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// complete fills in defaults and says all that is wrong; at is the key of the entry.
func (c *Config) complete(at string) error {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	if c.Repo == "" {
		return mistake.At(at, "has no repo")
	}
	if !strings.Contains(c.Repo, ":") { // a path, not a URL or host:path
		var err error
		if c.Repo, err = filepath.Abs(c.Repo); err != nil {
			return err
		}
	}
	if c.Name == "" {
		_, _, where := parted(c.Repo)
		base := path.Base(strings.TrimSuffix(strings.TrimRight(strings.ReplaceAll(where, ":", "/"), "/"), ".git"))
		c.Name = strings.ReplaceAll(strings.ToLower(base), "_", "-")
	}
	if !label.MatchString(c.Name) {
		return mistake.At(at+".name", ": the name %q must be letters, digits and -; set `name`", c.Name)
	}
	def(&c.Env, "default")
	if c.Done == "" {
		if c.Done = sharedDone; c.Env != "default" {
			c.Done, c.inherits = sharedDone+"-"+c.Env, sharedDone
		}
	}
	def(&c.Where, Local)
	def(&c.Failed, "stop")
	if c.MaxTasks == 0 {
		c.MaxTasks = 5
	}
	var wrong mistake.List
	if strings.ContainsAny(c.Env, "/\\") || strings.HasPrefix(c.Env, ".") {
		wrong.At(at+".env", "is %q, which is no folder's name", c.Env)
	}
	for _, ref := range []struct{ key, name string }{{"branch", c.Branch}, {"done", c.Done}} {
		if ref.name != "" && !refName.MatchString(ref.name) {
			wrong.At(at+"."+ref.key, "is %q, which is no branch's name", ref.name)
		}
	}
	if c.Where != Local && c.Where != SSH {
		wrong.At(at+".where", "is %q; it is local or ssh", c.Where)
	}
	if c.Failed != "stop" && c.Failed != goOn {
		wrong.At(at+".after_failure", "is %q; it is stop or go_on", c.Failed)
	}
	if c.User != "" {
		if _, err := user.Lookup(c.User); err != nil {
			wrong.At(at+".user", ": %v", err)
		} else if os.Getuid() != 0 {
			wrong.At(at+".user", ": only root can run them as user %s", c.User)
		}
	}
	if c.RequireSigned && c.AllowedSigners == "" {
		wrong.At(at+".require_signed", "needs allowed_signers")
	}
	for _, f := range []struct{ key, file string }{{"allowed_signers", c.AllowedSigners}, {"key", c.Key}} {
		if f.file == "" {
			continue
		}
		if _, err := os.Stat(f.file); err != nil {
			wrong.At(at+"."+f.key, ": %v", err)
		}
	}
	// git and ssh-keygen run in folders of their own, and the configuration may have been found as ./jarvis.yaml.
	for _, f := range []*string{&c.AllowedSigners, &c.Key, &c.KnownHosts} {
		if *f == "" {
			continue
		}
		var err error
		if *f, err = filepath.Abs(*f); err != nil {
			return err
		}
	}
	if c.KnownHosts == "" {
		if home, err := os.UserHomeDir(); err == nil {
			c.KnownHosts = filepath.Join(home, ".ssh", "known_hosts")
		}
	}
	for _, d := range []struct {
		key, text, usual string
		to               *time.Duration
	}{{"every", c.Every, "1m", &c.every}, {"approval", c.Approval, "24h", &c.approval}} {
		def(&d.text, d.usual)
		v, err := time.ParseDuration(d.text)
		if err != nil || v <= 0 {
			wrong.At(at+"."+d.key, "is %q; write it as 30s, 5m or 2h", d.text)
		}
		*d.to = v
	}
	return wrong.Err()
}

var refName = pattern.New(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
