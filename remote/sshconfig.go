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
	"syscall"
)

// SSHConfig is what ssh_config(5) files say, read as ssh(1) reads them: Host and Match (with exec), Include, tokens and
// ${VAR}. As there, the first value counts, and a word that nobody knows is passed over. What a HostConfig has is
// followed; of what would change where or as whom ssh connects, and is not followed, HostConfig.Ignored tells.
// Why not a library, or `ssh -G`: docs/adr/0010-our-own-reader-of-ssh-config.md
type SSHConfig struct {
	blocks []configBlock
	home   string
	me     string
	final  bool // a Match waits for the second round
	strict bool // what is read now must be the user's own
	execs  execs
}

type configBlock struct {
	host  []string // patterns of a Host line; nil: a Match line, or the beginning of a file
	match []string // words of a Match line
	under []int    // blocks whose condition must hold too: where the file was included
	lines []configLine
}

type configLine struct {
	key  string // in small letters
	args []string
	rest string // all after the key, as it is written
}

// LoadSSHConfig reads files in order; one that is not there is empty. Later files count less.
func LoadSSHConfig(files ...string) (*SSHConfig, error) {
	c := &SSHConfig{}
	c.home, _ = os.UserHomeDir()
	if u, err := user.Current(); err == nil {
		c.me = u.Username
	}
	return c, c.load(files...)
}

// load passes over a file that is not there.
func (c *SSHConfig) load(files ...string) error {
	for _, f := range files {
		if err := c.read(f, filepath.Dir(f), nil, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// DefaultSSHConfig reads ~/.ssh/config and /etc/ssh/ssh_config. As it may name programs to run, the first must be the
// user's or root's, and nobody else may write it: the rule of ssh(1).
func DefaultSSHConfig() (*SSHConfig, error) {
	c, err := LoadSSHConfig()
	if err != nil {
		return nil, err
	}
	if home, err := os.UserHomeDir(); err == nil {
		c.strict = true
		if err := c.load(filepath.Join(home, ".ssh", "config")); err != nil {
			return nil, err
		}
		c.strict = false
	}
	return c, c.load("/etc/ssh/ssh_config")
}

// mayDecide refuses a file that somebody else can write.
func mayDecide(file string) error {
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	sys, is := st.Sys().(*syscall.Stat_t)
	if is && sys.Uid != 0 && int(sys.Uid) != os.Getuid() || st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s must be yours, and nobody else may write it: run chmod go-w on it", file)
	}
	return nil
}

const maxInclude = 16

// read takes the blocks of a file; those whose Include led to it, in under, must hold too.
func (c *SSHConfig) read(file, dir string, under []int, depth int) error {
	if depth > maxInclude {
		return fmt.Errorf("%s: more than %d files include each other", file, maxInclude)
	}
	if c.strict {
		if err := mayDecide(file); err != nil {
			return err
		}
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
		line, err := parseConfigLine(string(text))
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", file, n, err)
		}
		switch line.key {
		case "":
		case "host":
			c.blocks = append(c.blocks, configBlock{host: line.args, under: under})
			cur = len(c.blocks) - 1
		case "match":
			c.final = c.final || slices.Contains(line.args, "final") || slices.Contains(line.args, "canonical")
			c.blocks = append(c.blocks, configBlock{match: line.args, under: under})
			cur = len(c.blocks) - 1
		case "include":
			if err := c.include(line.args, dir, append(slices.Clone(under), cur), depth); err != nil {
				return fmt.Errorf("%s, line %d: %w", file, n, err)
			}
			// What follows counts after what was included.
			b := c.blocks[cur]
			c.blocks = append(c.blocks, configBlock{host: b.host, match: b.match, under: under})
			cur = len(c.blocks) - 1
		default:
			c.blocks[cur].lines = append(c.blocks[cur].lines, line)
		}
	}
	return nil
}

// include reads what the patterns of an Include line match. A folder among it, and a file that has just gone, are
// empty.
func (c *SSHConfig) include(list []string, dir string, under []int, depth int) error {
	for _, pattern := range list {
		pattern = c.tilde(pattern)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		names, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("%q is no pattern", pattern)
		}
		for _, name := range names {
			if st, err := os.Stat(name); err == nil && st.IsDir() {
				continue
			}
			if err := c.read(name, dir, under, depth+1); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// parseConfigLine reads `key value`, `key=value`, quotes, escapes and comments.
func parseConfigLine(s string) (configLine, error) {
	s = strings.TrimSpace(s)
	if s == "" || s[0] == '#' {
		return configLine{}, nil
	}
	key, rest := s, ""
	if i := strings.IndexAny(s, " \t="); i >= 0 {
		key = s[:i]
		rest = strings.TrimLeft(s[i:], " \t")
		rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t")
	}
	line := configLine{key: strings.ToLower(strings.Trim(key, `"`)), rest: rest}
	args, err := configWords(rest)
	switch {
	case rawKeys[line.key] && rest != "": // it is for a shell, which has quotes of its own
		return line, nil
	case err != nil:
		return line, err
	case len(args) == 0:
		return line, fmt.Errorf("%s has no value", key)
	}
	line.args = args
	return line, nil
}

// rawKeys are those whose value is a command line.
var rawKeys = map[string]bool{"proxycommand": true, "localcommand": true, "remotecommand": true, "knownhostscommand": true}

// configWords splits a line into words as OpenSSH does: quotes of both kinds anywhere, a backslash before a quote, a
// backslash or a space, and a # at the beginning of a word ends the line.
func configWords(s string) ([]string, error) {
	var out []string
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		var word []byte
		var quote byte
	word:
		for ; i < len(s); i++ {
			switch ch := s[i]; {
			case ch == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
				i++
				word = append(word, s[i])
			case quote == 0 && (ch == ' ' || ch == '\t'):
				break word
			case quote == 0 && (ch == '"' || ch == '\''):
				quote = ch
			case quote != 0 && ch == quote:
				quote = 0
			default:
				word = append(word, ch)
			}
		}
		if quote != 0 {
			return nil, errors.New("a quote is not closed")
		}
		out = append(out, string(word))
	}
	return out, nil
}

// tilde leaves ~NAME as it is when nobody is called so.
func (c *SSHConfig) tilde(s string) string {
	if rest, ok := strings.CutPrefix(s, "~/"); ok {
		return filepath.Join(c.home, rest)
	}
	if s == "~" {
		return c.home
	}
	if name, rest, _ := strings.Cut(s, "/"); strings.HasPrefix(name, "~") {
		if u, err := user.Lookup(name[1:]); err == nil {
			return filepath.Join(u.HomeDir, rest)
		}
	}
	return s
}
