package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// usualKeys are tried where the configuration names none, in the order of ssh(1).
var usualKeys = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"}

// identity is what one IdentityFile says. The private key may be in the file, under a passphrase, or held by an agent:
// a public key is enough to name it.
type identity struct {
	file   string
	public gossh.PublicKey      // nil: nothing is known
	signer gossh.Signer         // nil: only an agent can sign
	certs  []*gossh.Certificate // for this key
	wrong  string               // why the file itself is of no use; ""
}

// readIdentity never fails: a file that is of no use is passed over, as ssh does, and named when the login is refused.
func readIdentity(file string, passphrase func(file string) (string, error)) *identity {
	id := &identity{file: file}
	b, err := os.ReadFile(file)
	var locked *gossh.PassphraseMissingError
	switch {
	case errors.Is(err, os.ErrNotExist): // the agent may have what FILE.pub says
	case err != nil:
		id.wrong = err.Error()
	default:
		if id.signer, err = gossh.ParsePrivateKey(b); err == nil {
			id.public = id.signer.PublicKey()
		} else if errors.As(err, &locked) {
			id.public = locked.PublicKey // the old PEM files do not tell
		} else if !id.learn(b) {
			id.wrong = file + " is no key"
		}
	}
	for _, f := range []string{file + ".pub", file + "-cert.pub"} {
		if b, err := os.ReadFile(f); err == nil {
			id.learn(b)
		}
	}
	if locked == nil {
		return id
	}
	if id.public == nil || passphrase == nil {
		id.wrong = file + " has a passphrase, and no agent holds it"
	} else {
		id.signer = &lockedKey{public: id.public, open: sync.OnceValues(func() (gossh.Signer, error) { return LoadKey(file, passphrase) })}
	}
	return id
}

// learn takes a public key or a certificate, unless it is of another key.
func (id *identity) learn(b []byte) bool {
	k, _, _, _, err := gossh.ParseAuthorizedKey(b)
	if err != nil {
		return false
	}
	cert, is := k.(*gossh.Certificate)
	if is {
		k = cert.Key
	}
	if id.public == nil {
		id.public = k
	}
	if !sameKey(id.public, k) {
		return false
	}
	if is && !slices.ContainsFunc(id.certs, func(c *gossh.Certificate) bool { return sameKey(c, cert) }) {
		id.certs = append(id.certs, cert)
	}
	return true
}

func sameKey(a, b gossh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// certified puts the certificates of a key before it.
func certified(s gossh.Signer, certs []*gossh.Certificate) []gossh.Signer {
	var out []gossh.Signer
	for _, c := range certs {
		if cs, err := gossh.NewCertSigner(c, s); err == nil {
			out = append(out, cs)
		}
	}
	return append(out, s)
}

// lockedKey asks for its passphrase when a host wants the key, and not before.
type lockedKey struct {
	public gossh.PublicKey
	open   func() (gossh.Signer, error)
}

var _ gossh.AlgorithmSigner = (*lockedKey)(nil)

func (l *lockedKey) PublicKey() gossh.PublicKey { return l.public }

func (l *lockedKey) Sign(rand io.Reader, data []byte) (*gossh.Signature, error) {
	return l.SignWithAlgorithm(rand, data, "")
}

func (l *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*gossh.Signature, error) {
	s, err := l.open()
	if err != nil {
		return nil, err
	}
	if c, is := s.PublicKey().(*gossh.Certificate); is && !sameKey(c.Key, l.public) || !is && !sameKey(s.PublicKey(), l.public) {
		return nil, fmt.Errorf("%w: the file now holds another key", ErrPassphrase)
	}
	if as, is := s.(gossh.AlgorithmSigner); is {
		return as.SignWithAlgorithm(rand, data, algorithm)
	}
	return s.Sign(rand, data)
}

// identities gives what the files of a host say: those that it names, or the usual ones.
func (r *Resolver) identities(h HostConfig) (list []*identity, named bool) {
	files := h.IdentityFiles
	named = len(files) > 0
	if home, err := os.UserHomeDir(); err == nil && !named && !h.NoIdentity {
		for _, n := range usualKeys {
			files = append(files, filepath.Join(home, ".ssh", n))
		}
	}
	for _, f := range files {
		if r.files[f] == nil {
			r.files[f] = readIdentity(f, r.passphrase())
		}
		list = append(list, r.files[f])
	}
	return list, named
}

// prove gives a target the ways to log in as ssh(1) tries them, but for one: a key that the configuration names comes
// before those which only an agent happens to hold. With more of them than MaxAuthTries allows, ssh itself never comes
// to it.
func (r *Resolver) prove(t *Target, h HostConfig) {
	if r.Keys != nil {
		t.Signers = r.Keys
		return
	}
	list, named := r.identities(h)
	certs := make([][]*gossh.Certificate, len(list))
	for i, id := range list {
		certs[i] = id.certs
	}
	var loose []*gossh.Certificate // for keys of the agent that no file names
	for _, file := range h.Certificates {
		b, err := os.ReadFile(file)
		k, _, _, _, perr := gossh.ParseAuthorizedKey(b)
		cert, is := k.(*gossh.Certificate)
		if err != nil || perr != nil || !is {
			t.Missing = append(t.Missing, file+" is no certificate")
			continue
		}
		loose = append(loose, cert)
		for i, id := range list {
			if id.public != nil && sameKey(id.public, cert.Key) {
				certs[i] = append([]*gossh.Certificate{cert}, certs[i]...)
			}
		}
	}
	for i, id := range list {
		if id.signer != nil && named {
			t.Named = append(t.Named, certified(id.signer, certs[i])...)
		} else if id.signer != nil {
			t.Signers = append(t.Signers, certified(id.signer, certs[i])...)
		}
		if id.wrong != "" {
			t.Missing = append(t.Missing, id.wrong)
		}
	}
	a := r.agentOf(h)
	if a == nil {
		return
	}
	t.Agent = func() ([]gossh.Signer, error) {
		held, err := a.Signers()
		if err != nil {
			return nil, err
		}
		return choose(held, list, certs, loose, h.IdentitiesOnly), nil
	}
}

// choose puts the agent's keys that files name first, with their certificates; only leaves the others out.
func choose(held []gossh.Signer, list []*identity, certs [][]*gossh.Certificate, loose []*gossh.Certificate, only bool) []gossh.Signer {
	var first, others []gossh.Signer
	used := make([]bool, len(held))
	for i, id := range list {
		for n, s := range held {
			plain := s.PublicKey()
			c, isCert := plain.(*gossh.Certificate)
			if isCert {
				plain = c.Key
			}
			if id.public == nil || used[n] || !sameKey(plain, id.public) {
				continue
			}
			used[n] = true
			if isCert {
				first = append(first, s)
			} else {
				first = append(first, certified(s, certs[i])...)
			}
		}
	}
	for n, s := range held {
		if !used[n] && !only {
			of := slices.DeleteFunc(slices.Clone(loose), func(c *gossh.Certificate) bool { return !sameKey(c.Key, s.PublicKey()) })
			others = append(others, certified(s, of)...)
		}
	}
	return append(first, others...)
}

// agentOf gives the agent that the configuration means; nil: none.
func (r *Resolver) agentOf(h HostConfig) *Agent {
	switch h.IdentityAgent {
	case "":
		return r.agent
	case "none":
		return nil
	}
	if r.agents[h.IdentityAgent] == nil {
		r.agents[h.IdentityAgent] = NewAgent(h.IdentityAgent)
	}
	return r.agents[h.IdentityAgent]
}
