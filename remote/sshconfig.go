package remote

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
)

// SSHConfig is what ssh_config(5) files say, as far as it concerns us: Host and Match (host, originalhost, user,
// localuser, all), Include, HostName, Port, User, IdentityFile, IdentitiesOnly, CertificateFile, ProxyJump,
// UserKnownHostsFile, GlobalKnownHostsFile, HostKeyAlias, ConnectTimeout. As there, the first value counts. Match exec
// and the like are never true: a configuration file does not make us run programs.
type SSHConfig struct {
	blocks []configBlock
	home   string
	me     string
}

type configBlock struct {
	host  []string // patterns of a Host line; nil: a Match line, or the beginning of a file
	match []string // words of a Match line
	under []int    // blocks whose condition must hold too: where the file was included
	lines [][2]string
}

// LoadSSHConfig reads files in order; one that is not there is empty. Later files count less.
func LoadSSHConfig(files ...string) (*SSHConfig, error) {
	c := &SSHConfig{}
	c.home, _ = os.UserHomeDir()
	if u, err := user.Current(); err == nil {
		c.me = u.Username
	}
	for _, f := range files {
		if err := c.read(f, filepath.Dir(f), nil, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return c, nil
}

// DefaultSSHConfig reads ~/.ssh/config and /etc/ssh/ssh_config.
func DefaultSSHConfig() (*SSHConfig, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return LoadSSHConfig("/etc/ssh/ssh_config")
	}
	return LoadSSHConfig(filepath.Join(home, ".ssh", "config"), "/etc/ssh/ssh_config")
}

const maxInclude = 16

func (c *SSHConfig) read(file, dir string, under []int, depth int) error {
	if depth > maxInclude {
		return fmt.Errorf("%s: more than %d files include each other", file, maxInclude)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c.blocks = append(c.blocks, configBlock{under: under})
	cur := len(c.blocks) - 1
	n := 0
	for text := range bytes.Lines(b) {
		n++
		words, err := configWords(string(text))
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", file, n, err)
		}
		if len(words) == 0 {
			continue
		}
		key := strings.ToLower(words[0])
		if len(words) == 1 {
			return fmt.Errorf("%s, line %d: %s has no value", file, n, words[0])
		}
		switch key {
		case "host":
			c.blocks = append(c.blocks, configBlock{host: words[1:], under: under})
			cur = len(c.blocks) - 1
		case "match":
			c.blocks = append(c.blocks, configBlock{match: words[1:], under: under})
			cur = len(c.blocks) - 1
		case "include":
			b := c.blocks[cur]
			inside := append(slices.Clone(under), cur)
			for _, pattern := range words[1:] {
				pattern = c.tilde(pattern)
				if !filepath.IsAbs(pattern) {
					pattern = filepath.Join(dir, pattern)
				}
				names, err := filepath.Glob(pattern)
				if err != nil {
					return fmt.Errorf("%s, line %d: %q is no pattern", file, n, pattern)
				}
				for _, name := range names {
					if err := c.read(name, dir, inside, depth+1); err != nil {
						return err
					}
				}
			}
			// What follows counts after what was included.
			c.blocks = append(c.blocks, configBlock{host: b.host, match: b.match, under: under})
			cur = len(c.blocks) - 1
		default:
			c.blocks[cur].lines = append(c.blocks[cur].lines, [2]string{key, strings.Join(words[1:], " ")})
		}
	}
	return nil
}

// configWords splits a line: `key value`, `key=value`, double quotes, comments.
func configWords(s string) ([]string, error) {
	s = strings.TrimSpace(s)
	if s == "" || s[0] == '#' {
		return nil, nil
	}
	if i := strings.IndexAny(s, " \t="); i > 0 {
		rest := strings.TrimLeft(s[i:], " \t")
		rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t")
		s = s[:i] + " " + rest
	}
	var out []string
	for s != "" {
		s = strings.TrimLeft(s, " \t")
		switch {
		case s == "":
		case s[0] == '#':
			return out, nil
		case s[0] == '"':
			end := strings.IndexByte(s[1:], '"')
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			out = append(out, s[1:1+end])
			s = s[2+end:]
		default:
			end := strings.IndexAny(s, " \t")
			if end < 0 {
				end = len(s)
			}
			out = append(out, s[:end])
			s = s[end:]
		}
	}
	return out, nil
}

func (c *SSHConfig) tilde(s string) string {
	if rest, ok := strings.CutPrefix(s, "~/"); ok {
		return filepath.Join(c.home, rest)
	}
	return s
}

// HostConfig is what the configuration says about one host.
type HostConfig struct {
	HostName       string
	Port           string
	User           string
	IdentityFiles  []string
	Certificates   []string
	IdentitiesOnly bool
	ProxyJump      string // "none" is ""
	KnownHosts     []string
	HostKeyAlias   string
	ConnectTimeout string // seconds
}

// Host gives what counts for a host as somebody names it. user is whom he wants to be; "" leaves it to the files, and
// then to the login name.
func (c *SSHConfig) Host(name, user string) HostConfig {
	h := HostConfig{User: user}
	var userKnown, globalKnown string
	jumpSet, onlySet := false, false
	holds := map[int]bool{}
	for i, b := range c.blocks {
		ok := c.holds(b, name, h)
		for _, u := range b.under {
			ok = ok && holds[u]
		}
		holds[i] = ok
		if !ok {
			continue
		}
		for _, kv := range b.lines {
			first := func(to *string) {
				if *to == "" {
					*to = kv[1]
				}
			}
			switch kv[0] {
			case "hostname":
				first(&h.HostName)
			case "port":
				first(&h.Port)
			case "user":
				first(&h.User)
			case "identityfile":
				h.IdentityFiles = append(h.IdentityFiles, kv[1])
			case "certificatefile":
				h.Certificates = append(h.Certificates, kv[1])
			case "identitiesonly":
				if !onlySet {
					h.IdentitiesOnly, onlySet = kv[1] == "yes", true
				}
			case "proxyjump":
				if !jumpSet {
					h.ProxyJump, jumpSet = kv[1], true
				}
			case "userknownhostsfile":
				first(&userKnown)
			case "globalknownhostsfile":
				first(&globalKnown)
			case "hostkeyalias":
				first(&h.HostKeyAlias)
			case "connecttimeout":
				first(&h.ConnectTimeout)
			}
		}
	}
	if h.ProxyJump == "none" {
		h.ProxyJump = ""
	}
	if h.HostName == "" {
		h.HostName = strings.ToLower(name)
	}
	h.HostName = strings.NewReplacer("%%", "%", "%h", name).Replace(h.HostName)
	if h.Port == "" {
		h.Port = "22"
	}
	if h.User == "" {
		h.User = c.me
	}
	expand := strings.NewReplacer("%%", "%", "%h", h.HostName, "%n", name, "%p", h.Port, "%r", h.User, "%u", c.me, "%d", c.home)
	paths := func(list []string) []string {
		var out []string
		for _, p := range list {
			out = append(out, c.tilde(expand.Replace(p)))
		}
		return out
	}
	h.IdentityFiles, h.Certificates = paths(h.IdentityFiles), paths(h.Certificates)
	if userKnown == "" {
		userKnown = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
	}
	if globalKnown == "" {
		globalKnown = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
	}
	h.KnownHosts = paths(append(strings.Fields(userKnown), strings.Fields(globalKnown)...))
	h.KnownHosts = slices.DeleteFunc(h.KnownHosts, func(f string) bool { return f == "none" })
	return h
}

// holds reports whether a block counts for a host, by what is known so far.
func (c *SSHConfig) holds(b configBlock, name string, h HostConfig) bool {
	if b.host != nil {
		return patterns(b.host, name)
	}
	host := h.HostName
	if host == "" {
		host = strings.ToLower(name)
	}
	for i := 0; i < len(b.match); i++ {
		key := strings.ToLower(b.match[i])
		negated := strings.HasPrefix(key, "!")
		key = strings.TrimPrefix(key, "!")
		arg := ""
		if k, v, ok := strings.Cut(key, "="); ok {
			key, arg = k, v
		} else if key != "all" && key != "canonical" && key != "final" {
			if i++; i < len(b.match) {
				arg = b.match[i]
			}
		}
		list := strings.Split(arg, ",")
		ok := false
		switch key {
		case "all":
			ok = true
		case "host":
			ok = patterns(list, host)
		case "originalhost":
			ok = patterns(list, name)
		case "user":
			u := h.User
			if u == "" {
				u = c.me
			}
			ok = patterns(list, u)
		case "localuser":
			ok = patterns(list, c.me)
		default:
			return false
		}
		if ok == negated {
			return false
		}
	}
	return true
}

// patterns matches a pattern list of ssh_config(5).
func patterns(list []string, s string) bool {
	yes := false
	for _, p := range list {
		negated := strings.HasPrefix(p, "!")
		if wildcard(strings.TrimPrefix(p, "!"), s) {
			if negated {
				return false
			}
			yes = true
		}
	}
	return yes
}
