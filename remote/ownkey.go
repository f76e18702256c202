package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// NewKey makes a private key, ed25519, in the form of OpenSSH.
func NewKey(comment string) ([]byte, error) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the SSH key: %w", err)
	}
	block, err := gossh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return nil, fmt.Errorf("make the SSH key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// PutKey writes a private key, whole or not at all, for its owner only, and its public half beside it as FILE.pub. A
// file that is there is replaced on demand; otherwise it stays, and the error is os.ErrExist.
func PutKey(file string, private []byte, comment string, replace bool) error {
	s, err := gossh.ParsePrivateKey(private)
	if err != nil {
		return fmt.Errorf("write the SSH key: %w", err)
	}
	place := os.Link // not renamed: another process may have made one meanwhile, and that one counts
	if replace {
		place = os.Rename
	}
	if err := putFile(file, private, 0o600, place); err != nil {
		return fmt.Errorf("write the SSH key: %w", err)
	}
	pub := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(s.PublicKey()))) + " " + comment + "\n"
	if err := putFile(file+".pub", []byte(pub), 0o644, os.Rename); err != nil {
		return fmt.Errorf("write the SSH key: %w", err)
	}
	return nil
}

// putFile has the whole file on disk before place puts it under its name, so that nobody ever reads half a key.
func putFile(file string, text []byte, mode os.FileMode, place func(from, to string) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".id-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, werr := tmp.Write(text)
	if err := errors.Join(werr, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return place(tmp.Name(), file)
}
