package remote

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the format's own hash of names; nothing secret hangs on it
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/jarvisops/jarvis/internal/plain"
)

// KnownHosts are files in the format of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT: plain and hashed names, patterns, ports,
// @cert-authority and @revoked. A file that is not there is empty. They are read once, at the first question, and a
// name is found without reading them again, so that a thousand hosts cost no more than their lines.
//
// A line that cannot be read is skipped for all hosts that it does not name. A host that it does name is never a
// stranger because of it: unless another line vouches for the host, Check says what is wrong with the line.
type KnownHosts struct {
	// Note is told of each line that is skipped, once, when the files are read; may be nil.
	Note func(string)

	files []string

	once     sync.Once
	err      error
	byName   map[string][]*knownLine // plain names
	patterns []*knownLine            // lines with a wildcard, a negation, or a hash
	bad      []*knownLine            // lines that cannot be read
	revoked  map[string]*knownLine   // by key
}

type knownLine struct {
	file     string
	line     int
	ca       bool
	names    []string
	keyType  string
	keyBytes []byte
	wrong    string // why it cannot be read
	refuses  bool   // with wrong: it may be there to refuse a key
}

func (l *knownLine) where() string { return fmt.Sprintf("%s, line %d", l.file, l.line) }

// NewKnownHosts names the files.
func NewKnownHosts(files ...string) *KnownHosts { return &KnownHosts{files: files} }

// KnownHostsIn reads a text that is at hand, as that of a file.
func KnownHostsIn(file string, text []byte) *KnownHosts {
	k := NewKnownHosts()
	_ = k.Err() // of no file: it makes the maps
	k.add(file, text)
	return k
}

var _ HostKeys = (*KnownHosts)(nil)

// Err gives what is wrong with the files: nothing is trusted then.
func (k *KnownHosts) Err() error {
	k.once.Do(func() {
		k.byName, k.revoked = map[string][]*knownLine{}, map[string]*knownLine{}
		for _, f := range k.files {
			b, err := os.ReadFile(f)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				k.err = fmt.Errorf("read known_hosts: %w", err)
				return
			}
			k.add(f, b)
		}
	})
	return k.err
}

// add keeps a line that cannot be read as well: a host that it names must not pass for a stranger.
func (k *KnownHosts) add(file string, b []byte) {
	n := 0
	for text := range bytes.Lines(b) {
		n++
		fields := strings.Fields(string(text))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		l := &knownLine{file: file, line: n}
		marker := ""
		if strings.HasPrefix(fields[0], "@") {
			marker, fields = fields[0], fields[1:]
		}
		l.refuses = marker != "" && marker != "@cert-authority"
		if len(fields) > 0 {
			l.names = strings.Split(fields[0], ",")
		}
		if l.wrong = whatIsWrong(marker, fields); l.wrong != "" {
			k.skip(l)
			continue
		}
		l.keyType = fields[1]
		l.keyBytes, _ = base64.StdEncoding.DecodeString(fields[2])
		switch marker {
		case "@revoked":
			k.revoked[string(l.keyBytes)] = l
			continue
		case "@cert-authority":
			l.ca = true
		}
		plain := true
		for _, name := range l.names {
			plain = plain && !strings.ContainsAny(name, "*?!") && !strings.HasPrefix(name, "|")
		}
		if !plain {
			k.patterns = append(k.patterns, l)
			continue
		}
		for _, name := range l.names {
			name = strings.ToLower(name)
			k.byName[name] = append(k.byName[name], l)
		}
	}
}

// whatIsWrong says why the words of a line are no line of known_hosts; "" when they are one.
func whatIsWrong(marker string, fields []string) string {
	switch {
	case marker != "" && marker != "@revoked" && marker != "@cert-authority":
		return "there is no marker " + plain.Line(marker)
	case len(fields) < 3:
		return "a host, a type and a key belong there"
	}
	key, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		return "the key is not base64"
	}
	// The key begins with its type (RFC 4253 §6.6). The rest is looked at when somebody offers it.
	if n := len(fields[1]); len(key) < 4+n || binary.BigEndian.Uint32(key) != uint32(n) || string(key[4:4+n]) != fields[1] { //nolint:gosec // a word of a line
		return "the key is not of the type " + plain.Line(fields[1])
	}
	return ""
}

// skip keeps a line that cannot be read for the hosts that it names, and says so.
func (k *KnownHosts) skip(l *knownLine) {
	k.bad = append(k.bad, l)
	if k.Note != nil {
		k.Note(fmt.Sprintf("%s is skipped: %s", l.where(), l.wrong))
	}
}

// about gives the lines about a name: "host", or "[host]:port".
func (k *KnownHosts) about(name string) []*knownLine {
	name = strings.ToLower(name)
	out := slices.Clone(k.byName[name])
	for _, l := range k.patterns {
		if l.matches(name) {
			out = append(out, l)
		}
	}
	return out
}

// matches knows that a pattern with a ! rules the line out, whatever its others say (sshd(8)).
func (l *knownLine) matches(name string) bool {
	yes := false
	for _, p := range l.names {
		p, negated := strings.CutPrefix(p, "!")
		ok := false
		if strings.HasPrefix(p, "|") {
			ok = hashedAs(p, name)
		} else {
			ok = wildcard(strings.ToLower(p), name)
		}
		if ok && negated {
			return false
		}
		yes = yes || ok
	}
	return yes
}

// skipped gives why a host is no stranger although no line vouches for it: one that names it cannot be read.
func (k *KnownHosts) skipped(name string, refuses bool) error {
	name = strings.ToLower(name)
	for _, l := range k.bad {
		if (l.refuses || !refuses) && l.matches(name) {
			return fmt.Errorf("%s names it, but cannot be read: %s", l.where(), l.wrong)
		}
	}
	return nil
}

// wildcard matches * and ? only: brackets stand for themselves, they surround a host with a port.
func wildcard(pattern, name string) bool {
	ok, err := path.Match(strings.NewReplacer("[", `\[`, `\`, `\\`).Replace(pattern), name)
	return ok && err == nil
}

// hashedAs compares a name with |1|salt|hash, which is HMAC-SHA1(salt, name).
func hashedAs(hashed, name string) bool {
	f := strings.Split(hashed, "|")
	if len(f) != 4 || f[1] != "1" {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(f[2])
	if err != nil {
		return false
	}
	want, err := base64.StdEncoding.DecodeString(f[3])
	if err != nil {
		return false
	}
	m := hmac.New(sha1.New, salt)
	m.Write([]byte(name))
	return hmac.Equal(m.Sum(nil), want)
}

// hostCertificates are the algorithms of host certificates; the authority's own key may be of another type.
var hostCertificates = []string{gossh.CertAlgoED25519v01, gossh.CertAlgoECDSA256v01, gossh.CertAlgoECDSA384v01, gossh.CertAlgoECDSA521v01, gossh.CertAlgoRSASHA512v01, gossh.CertAlgoRSASHA256v01}

// Algorithms implements HostKeys.
func (k *KnownHosts) Algorithms(addr string) []string {
	if k.Err() != nil {
		return nil
	}
	lines := k.about(knownhosts.Normalize(addr))
	if len(lines) == 0 {
		if host, _, err := net.SplitHostPort(addr); err == nil {
			lines = k.about(host)
		}
	}
	var out []string
	for _, l := range lines {
		add := algorithmsOf(l.keyType)
		if l.ca {
			add = hostCertificates
		}
		for _, a := range add {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// Keys gives the plain keys that are known for a host: neither authorities nor revoked ones.
func (k *KnownHosts) Keys(addr string) []gossh.PublicKey {
	if k.Err() != nil {
		return nil
	}
	var out []gossh.PublicKey
	for _, l := range k.about(knownhosts.Normalize(addr)) {
		if key, err := gossh.ParsePublicKey(l.keyBytes); err == nil && !l.ca && k.revoked[string(l.keyBytes)] == nil {
			out = append(out, key)
		}
	}
	return out
}

// Check implements HostKeys. As with ssh(1), a host on another port may also prove itself by a key that is known for
// the name alone.
func (k *KnownHosts) Check(addr string, key gossh.PublicKey) error {
	if err := k.Err(); err != nil {
		return err
	}
	err := k.check(addr, knownhosts.Normalize(addr), key)
	if errors.Is(err, ErrUnknownHost) {
		if host, port, serr := net.SplitHostPort(addr); serr == nil && port != "22" && k.check(addr, host, key) == nil {
			return nil
		}
	}
	return err
}

// check is Check for one name: a revoked key first, then an authority's certificate, then the key itself.
// ErrUnknownHost: no line is of that host.
func (k *KnownHosts) check(addr, name string, key gossh.PublicKey) error {
	e := &HostKeyError{Addr: addr, Got: gossh.FingerprintSHA256(key)}
	cert, isCert := key.(*gossh.Certificate)
	for _, part := range certificateKeys(key) {
		if l := k.revoked[string(part.Marshal())]; l != nil {
			e.Revoked, e.Where, e.Got = true, l.where(), gossh.FingerprintSHA256(part)
			return e
		}
	}
	if err := k.skipped(name, true); err != nil {
		return err
	}
	lines := k.about(name)
	if isCert {
		authority := string(cert.SignatureKey.Marshal())
		for _, l := range lines {
			if l.ca && string(l.keyBytes) == authority {
				return checkHostCertificate(addr, cert)
			}
		}
		key = cert.Key // signed by nobody we know: then its key counts, as with ssh(1)
		e.Got = gossh.FingerprintSHA256(key)
	}
	got := string(key.Marshal())
	for _, l := range lines {
		if l.ca {
			continue
		}
		if string(l.keyBytes) == got {
			return nil
		}
		e.Want, e.Where = append(e.Want, fingerprint(l.keyBytes)), l.where()
	}
	if len(e.Want) > 0 {
		return e
	}
	if err := k.skipped(name, false); err != nil {
		return err
	}
	return ErrUnknownHost
}

// fingerprint is that of ssh-keygen -l; of a key of a kind that we do not know, too.
func fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// certificateKeys are the keys that a revocation may name.
func certificateKeys(key gossh.PublicKey) []gossh.PublicKey {
	if c, ok := key.(*gossh.Certificate); ok {
		return []gossh.PublicKey{c.Key, c.SignatureKey}
	}
	return []gossh.PublicKey{key}
}

// checkHostCertificate checks what a certificate by a known authority says (OpenSSH, PROTOCOL.certkeys).
func checkHostCertificate(addr string, cert *gossh.Certificate) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port", addr)
	}
	if cert.CertType != gossh.HostCert {
		return fmt.Errorf("%s offered a certificate that is not for hosts", addr)
	}
	if !slices.Contains(cert.ValidPrincipals, host) && len(cert.ValidPrincipals) > 0 {
		return fmt.Errorf("%s offered a host certificate for %s, not for %s", addr, strings.Join(cert.ValidPrincipals, ", "), host)
	}
	if err := new(gossh.CertChecker).CheckCert(host, cert); err != nil {
		return fmt.Errorf("%s offered a host certificate that does not hold: %s", addr, strings.TrimPrefix(err.Error(), "ssh: "))
	}
	return nil
}
