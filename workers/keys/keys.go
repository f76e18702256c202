// Package keys is the worker for keys: those a new machine is born with, and the deploy key by which the host reads its
// repositories.
//
//	keys:create             host key of the first contact, root's password; made here, secrets sealed
//	keys:update_deploy_key  root_pubkey ──► gitolite-admin, by commit and push; GitHub's deploy keys
//
// The git host's own key is verified by a known_hosts file, always. Pushes of one process go one after another.
package keys

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// Config of the worker.
type Config struct {
	Gitolite Gitolite `yaml:"gitolite" doc:"gitolite's admin repository"`
	GitHub   GitHub   `yaml:"github" doc:"GitHub's deploy keys, for the repositories that the clipboard lists in repos"`

	// PublicKey and Signer are Jarvis's own key, User whom it logs in as, Data its folder. They are wired from the ssh
	// worker.
	PublicKey string       `yaml:"-"`
	User      string       `yaml:"-"`
	Signer    gossh.Signer `yaml:"-"`
	Data      string       `yaml:"-"`
	// Known gives what counts now of the file that is kept for all nodes, KnownFile.
	KnownFile string                                            `yaml:"-"`
	Known     func(context.Context) (*remote.KnownHosts, error) `yaml:"-"`
}

// Gitolite says where the admin repository is.
type Gitolite struct {
	Admin      string `yaml:"admin" doc:"as in ssh://git@git.example.org/gitolite-admin"`
	Key        string `yaml:"key" path:"relative" check:"file" doc:"file of a private key that may push there; empty: Jarvis's own"`
	KnownHosts string `yaml:"known_hosts" path:"relative" check:"file" doc:"file with the git host's key, as ssh-keyscan prints it; empty: DATA/known_hosts"`
	Dir        string `yaml:"dir" doc:"folder of the hosts' keys in the repository" default:"keydir/hosts"`
	User       string `yaml:"user" doc:"gitolite's name for the host; HOSTNAME and FQDN stand for the host's" default:"root-HOSTNAME"`
}

// GitHub says where the API is.
type GitHub struct {
	Token clipboard.Secret `yaml:"token" doc:"with the permission to administer the repositories"`
	URL   string           `yaml:"url" doc:"the API; empty: https://api.github.com"`
	Repos []string         `yaml:"repos" doc:"repositories whose reading anybody who may deploy can give to a host: owner/name or owner/*; others take the role run"`
}

// Worker offers the steps.
type Worker struct {
	cfg  Config
	http *http.Client
	push chan struct{} // holds one who pushes
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	var wrong mistake.List
	if cfg.Gitolite.Admin != "" {
		u, err := url.Parse(cfg.Gitolite.Admin)
		if err != nil || u.Scheme != "ssh" || u.Host == "" || u.User == nil || strings.ContainsAny(u.Path, "'\"\\\n") {
			wrong.At("workers.keys.gitolite.admin", "is %q; it must be like ssh://git@git.example.org/gitolite-admin", cfg.Gitolite.Admin)
		}
	}
	if cfg.Gitolite.Dir == "" {
		cfg.Gitolite.Dir = "keydir/hosts"
	}
	if cfg.Gitolite.User == "" {
		cfg.Gitolite.User = "root-HOSTNAME"
	}
	if strings.Contains(cfg.Gitolite.User, "@") {
		wrong.At("workers.keys.gitolite.user", "holds an @: to gitolite what follows it is a device, not part of the name")
	}
	if cfg.GitHub.URL == "" {
		cfg.GitHub.URL = "https://api.github.com"
	}
	if u, err := url.Parse(cfg.GitHub.URL); err != nil || u.Host == "" || u.Scheme == "http" && cfg.GitHub.Token != "" && !loopback.Is(u.Hostname()) {
		wrong.At("workers.keys.github.url", "is %q; it must be like https://api.github.com", cfg.GitHub.URL)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	return &Worker{cfg: cfg, http: &http.Client{Timeout: 20 * time.Second}, push: make(chan struct{}, 1)}, nil
}

// Steps lists what the worker offers: without a git host, keys:create alone.
func (w *Worker) Steps() []pipeline.Step {
	steps := []pipeline.Step{w.create()}
	if w.cfg.Gitolite.Admin != "" || w.cfg.GitHub.Token != "" {
		steps = append(steps, w.updateDeployKey(), w.removeDeployKey())
	}
	return steps
}
