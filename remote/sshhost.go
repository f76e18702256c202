package remote

import (
	"cmp"
	"crypto/sha1"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HostConfig is what the configuration says about one host, with tokens, ${VAR} and ~ replaced.
type HostConfig struct {
	HostName       string
	Port           string
	User           string
	IdentityFiles  []string // nil: none is named
	NoIdentity     bool     // IdentityFile none: not the usual ones either
	Certificates   []string
	IdentitiesOnly bool
	IdentityAgent  string // a socket; "": that of SSH_AUTH_SOCK; "none"
	ProxyJump      string // "none" is ""
	ProxyCommand   string // "none" is ""
	KnownHosts     []string
	HostKeyAlias   string
	ConnectTimeout time.Duration // 0: none is said
	Network        string        // "tcp", or by AddressFamily "tcp4" or "tcp6"
	// The lists of algorithms as they are written, with +, - or ^ before; "": none is said.
	HostKeyAlgorithms, KexAlgorithms, Ciphers, MACs string
	// Ignored are keywords that are set, and would change where or how ssh connects, and that are not followed here.
	Ignored []string
}

// taken is what the blocks that count have said, before anything is replaced.
type taken struct {
	first      map[string]configLine // by keyword: the first value counts
	identities []string
	certs      []string
}

// notFollowed are keywords that would change where ssh connects, or by which keys, with the value that changes nothing.
var notFollowed = map[string]string{
	"bindaddress": "", "bindinterface": "", "canonicalizehostname": "no", "knownhostscommand": "none", "pkcs11provider": "none", "proxyusefdpass": "no",
}

// Host gives what counts for a host as somebody names it. user is whom they want to be; "" leaves it to the files, and
// then to the login name. The error names a token or variable that cannot be replaced.
func (c *SSHConfig) Host(name, user string) (HostConfig, error) {
	t := &taken{first: map[string]configLine{}}
	if user != "" {
		t.first["user"] = configLine{args: []string{user}}
	}
	if err := c.round(t, name, false); err != nil {
		return HostConfig{}, err
	}
	if c.final {
		if err := c.round(t, name, true); err != nil {
			return HostConfig{}, err
		}
	}
	return c.replaced(t, name)
}

// round goes through the files once. In the last round a `Match final` holds.
func (c *SSHConfig) round(t *taken, name string, final bool) error {
	holds := make([]bool, len(c.blocks))
	for i, b := range c.blocks {
		ok := !slices.ContainsFunc(b.under, func(u int) bool { return !holds[u] })
		if ok {
			var err error
			if ok, err = c.holds(b, t, name, final); err != nil {
				return err
			}
		}
		holds[i] = ok
		if ok {
			for _, l := range b.lines {
				t.take(l)
			}
		}
	}
	return nil
}

// take keeps the first value of a key; of identities and certificates all count.
func (t *taken) take(l configLine) {
	switch l.key {
	case "identityfile":
		if !slices.Contains(t.identities, l.args[0]) {
			t.identities = append(t.identities, l.args[0])
		}
	case "certificatefile":
		if !slices.Contains(t.certs, l.args[0]) {
			t.certs = append(t.certs, l.args[0])
		}
	case "proxyjump", "proxycommand": // whichever comes first
		_, jump := t.first["proxyjump"]
		if _, command := t.first["proxycommand"]; !jump && !command {
			t.first[l.key] = l
		}
	default:
		if _, there := t.first[l.key]; !there {
			t.first[l.key] = l
		}
	}
}

// word gives the first word of a keyword's value.
func (t *taken) word(key string) string {
	if l := t.first[key]; len(l.args) > 0 {
		return l.args[0]
	}
	return ""
}

// replaced makes the answer of what was taken.
func (c *SSHConfig) replaced(t *taken, name string) (h HostConfig, err error) {
	h.User = cmp.Or(t.word("user"), c.me)
	h.Port = cmp.Or(t.word("port"), "22")
	if n, err := strconv.Atoi(h.Port); err != nil || n < 1 || n > 65535 {
		return h, fmt.Errorf("the port %s is no port", h.Port)
	}
	if h.HostName, err = c.hostName(t, name); err != nil {
		return h, err
	}
	x := c.tokens(t, h, name)
	h.IdentitiesOnly = yes(t.word("identitiesonly"))
	h.HostKeyAlias = t.word("hostkeyalias")
	h.HostKeyAlgorithms, h.KexAlgorithms, h.Ciphers, h.MACs = t.word("hostkeyalgorithms"), t.word("kexalgorithms"), t.word("ciphers"), t.word("macs")
	h.Network = map[string]string{"inet": "tcp4", "inet6": "tcp6"}[strings.ToLower(t.word("addressfamily"))]
	h.Network = cmp.Or(h.Network, "tcp")
	if h.ConnectTimeout, err = connectTimeout(t.word("connecttimeout")); err != nil {
		return h, err
	}
	if j := t.word("proxyjump"); !strings.EqualFold(j, "none") {
		h.ProxyJump = j
	}
	if p := t.first["proxycommand"].rest; !strings.EqualFold(p, "none") && p != "" {
		if h.ProxyCommand, err = x.percent(p, "proxycommand"); err != nil {
			return h, err
		}
		if strings.Contains(p, "%r") && !plainUser(h.User) {
			return h, fmt.Errorf("the user %q may not stand in a ProxyCommand", h.User)
		}
	}
	if h.IdentityAgent, err = c.identityAgent(x, t.word("identityagent")); err != nil {
		return h, err
	}
	h.NoIdentity = slices.ContainsFunc(t.identities, isNone)
	if h.IdentityFiles, err = x.paths(t.identities, "identityfile"); err != nil {
		return h, err
	}
	if h.Certificates, err = x.paths(t.certs, "certificatefile"); err != nil {
		return h, err
	}
	if h.KnownHosts, err = x.knownHosts(t); err != nil {
		return h, err
	}
	for key, harmless := range notFollowed {
		if l, there := t.first[key]; there && !strings.EqualFold(l.rest, harmless) {
			h.Ignored = append(h.Ignored, key)
		}
	}
	slices.Sort(h.Ignored)
	return h, nil
}

func isNone(s string) bool { return strings.EqualFold(s, "none") }

func yes(s string) bool { return strings.EqualFold(s, "yes") || strings.EqualFold(s, "true") }

// hostName gives where the host is, in which only %h and %% mean something.
func (c *SSHConfig) hostName(t *taken, name string) (string, error) {
	said := t.word("hostname")
	if said == "" {
		return strings.ToLower(name), nil
	}
	return (&expansion{values: map[byte]string{'h': name}}).percent(said, "hostname")
}

// connectTimeout reads a time of sshd_config(5): seconds, or as 1h30m. As ssh(1) does, it refuses more seconds than 32
// bits hold, and so what is more than a Duration.
func connectTimeout(s string) (time.Duration, error) {
	if s == "" || isNone(s) {
		return 0, nil
	}
	const most = math.MaxInt32 * time.Second
	var all time.Duration
	rest := s
	for rest != "" {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		n, err := strconv.Atoi(rest[:i])
		unit := "s"
		if i < len(rest) {
			unit, i = strings.ToLower(rest[i:i+1]), i+1
		}
		d := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[unit]
		if err != nil || d == 0 || time.Duration(n) > (most-all)/d {
			return 0, fmt.Errorf("ConnectTimeout %s is no time", s)
		}
		all, rest = all+time.Duration(n)*d, rest[i:]
	}
	return all, nil
}

// identityAgent gives a socket; "": that of SSH_AUTH_SOCK, "none": no agent is asked.
func (c *SSHConfig) identityAgent(x *expansion, s string) (string, error) {
	switch {
	case s == "" || s == "SSH_AUTH_SOCK":
		return "", nil
	case isNone(s):
		return "none", nil
	case strings.HasPrefix(s, "$") && !strings.HasPrefix(s, "${"):
		return cmp.Or(os.Getenv(s[1:]), "none"), nil
	}
	list, err := x.paths([]string{s}, "identityagent")
	if err != nil {
		return "", err
	}
	return list[0], nil
}

// expansion replaces what ssh_config(5) calls tokens.
type expansion struct {
	values map[byte]string
	tilde  func(string) string
}

// tokens gives what %h, %p and the others stand for (ssh_config(5), TOKENS).
func (c *SSHConfig) tokens(t *taken, h HostConfig, name string) *expansion {
	local, _ := os.Hostname()
	short, _, _ := strings.Cut(local, ".")
	jump := t.word("proxyjump")
	if isNone(jump) {
		jump = ""
	}
	return &expansion{tilde: c.tilde, values: map[byte]string{
		'h': h.HostName, 'n': name, 'p': h.Port, 'r': h.User, 'u': c.me, 'd': c.home, 'l': local, 'L': short,
		'i': strconv.Itoa(os.Getuid()), 'k': cmp.Or(t.word("hostkeyalias"), name), 'j': jump,
		'C': fmt.Sprintf("%x", sha1.Sum([]byte(local+h.HostName+h.Port+h.User+jump))),
	}}
}

// percent replaces %h and the like.
func (x *expansion) percent(s, key string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", fmt.Errorf("%s %q ends with a single %%", key, s)
		}
		v, known := x.values[s[i]]
		switch {
		case s[i] == '%':
			b.WriteByte('%')
		case !known:
			return "", fmt.Errorf("%s %q: %%%c means nothing there", key, s, s[i])
		default:
			b.WriteString(v)
		}
	}
	return b.String(), nil
}

var errNoVariable = errors.New("is not set in the environment")

// paths replaces ~, tokens and ${VAR} in names of files. "none" is no file.
func (x *expansion) paths(list []string, key string) ([]string, error) {
	var out []string
	for _, s := range list {
		if isNone(s) {
			continue
		}
		// The parts between variables are expanded on their own: what is in a variable is taken as it is.
		var b strings.Builder
		for rest := x.tilde(s); rest != ""; {
			before, after, is := strings.Cut(rest, "${")
			p, err := x.percent(before, key)
			if err != nil {
				return nil, err
			}
			b.WriteString(p)
			if !is {
				break
			}
			name, after, closed := strings.Cut(after, "}")
			if !closed {
				return nil, fmt.Errorf("%s %q: a ${ is not closed", key, s)
			}
			v, there := os.LookupEnv(name)
			if !there {
				return nil, fmt.Errorf("%s %q: ${%s} %w", key, s, name, errNoVariable)
			}
			b.WriteString(v)
			rest = after
		}
		out = append(out, b.String())
	}
	return out, nil
}

// knownHosts gives the user's files before those of all, where neither is set those of ssh.
func (x *expansion) knownHosts(t *taken) ([]string, error) {
	user, global := t.first["userknownhostsfile"].args, t.first["globalknownhostsfile"].args
	if len(user) == 0 {
		user = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
	}
	if len(global) == 0 {
		global = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	return x.paths(slices.Concat(user, global), "knownhosts")
}

// plainUser reports whether a login name may stand in a line for a shell. The rules are those of OpenSSH, which had
// none once (CVE-2023-51385).
func plainUser(s string) bool {
	if strings.HasPrefix(s, "-") || strings.HasSuffix(s, `\`) || strings.ContainsAny(s, "'`\";&<>|(){}$") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
