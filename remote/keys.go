package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// ErrPassphrase: the key file is encrypted, and nobody said how to open it, or said it wrong.
var ErrPassphrase = errors.New("the passphrase is missing or wrong")

// LoadKey reads a private key in any format of OpenSSH or PEM. passphrase is asked when the file wants one, and may be
// nil. When there is FILE-cert.pub beside it, the key comes with that certificate.
func LoadKey(file string, passphrase func(file string) (string, error)) (gossh.Signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	s, err := gossh.ParsePrivateKey(b)
	var locked *gossh.PassphraseMissingError
	if errors.As(err, &locked) {
		if passphrase == nil {
			return nil, fmt.Errorf("%s: %w", file, ErrPassphrase)
		}
		word, perr := passphrase(file)
		if perr != nil {
			return nil, fmt.Errorf("%s: %w: %w", file, ErrPassphrase, perr)
		}
		if s, err = gossh.ParsePrivateKeyWithPassphrase(b, []byte(word)); err != nil {
			return nil, fmt.Errorf("%s: %w", file, ErrPassphrase)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no private key: %s", file, strings.TrimPrefix(err.Error(), "ssh: "))
	}
	cert, err := os.ReadFile(file + "-cert.pub")
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return withCertificate(s, file+"-cert.pub", cert)
}

// LoadCertificate adds the certificate in a file to a key.
func LoadCertificate(s gossh.Signer, file string) (gossh.Signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return withCertificate(s, file, b)
}

// withCertificate gives a signer that shows the certificate b with its key.
func withCertificate(s gossh.Signer, file string, b []byte) (gossh.Signer, error) {
	k, _, _, _, err := gossh.ParseAuthorizedKey(b)
	cert, ok := k.(*gossh.Certificate)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s is no certificate", file)
	}
	out, err := gossh.NewCertSigner(cert, s)
	if err != nil {
		return nil, fmt.Errorf("%s is not for this key", file)
	}
	return out, nil
}

// Agent asks an ssh-agent for keys, over one connection for all hosts. Safe for concurrent use.
type Agent struct {
	socket string

	mu     sync.Mutex
	conn   net.Conn
	client agent.Agent // asks one question after the other
}

// NewAgent names the agent's socket, as in $SSH_AUTH_SOCK. It connects at the first question.
func NewAgent(socket string) *Agent { return &Agent{socket: socket} }

// Signers lists the agent's keys; it fits Target.Agent.
func (a *Agent) Signers() ([]gossh.Signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn == nil {
		c, err := net.Dial("unix", a.socket)
		if err != nil {
			return nil, fmt.Errorf("reach the ssh-agent: %w", err)
		}
		a.conn, a.client = c, agent.NewClient(c)
	}
	list, err := a.client.Signers()
	if err != nil {
		_ = a.conn.Close()
		a.conn = nil
		return nil, fmt.Errorf("ask the ssh-agent: %w", err)
	}
	return list, nil
}

// Close ends the connection to the agent.
func (a *Agent) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn == nil {
		return nil
	}
	c := a.conn
	a.conn = nil
	return c.Close()
}
