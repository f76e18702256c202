package clipboard

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"go.yaml.in/yaml/v4"
)

const (
	tagSecret = "!secret" // clear text, in a person's file or inside a step
	tagSealed = "!sealed" // age, base64: the form that is stored
	// Mask is what everybody else sees of a secret.
	Mask = "•••"
)

// Secret is a string that prints as Mask under every verb and encoder. Convert it with string(s) where it is used.
type Secret string

// String implements fmt.Stringer.
func (Secret) String() string { return Mask }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return Mask }

// Format implements fmt.Formatter.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Mask) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(Mask) }

// MarshalYAML shows whether there is a secret at all.
func (s Secret) MarshalYAML() (any, error) {
	if s == "" {
		return "", nil
	}
	return Mask, nil
}

// LogValue is for log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(Mask) }

// UnmarshalYAML keeps the clear text, as a config file gives it.
func (s *Secret) UnmarshalYAML(n *yaml.Node) error {
	var v string
	if err := n.Decode(&v); err != nil {
		return err
	}
	*s = Secret(v)
	return nil
}

// Key seals and opens secrets. It is safe for concurrent use.
// Why not a symmetric key, or a service: docs/adr/0020-secrets-are-sealed-with-age.md
type Key struct{ id *age.X25519Identity }

// NewKey makes a fresh key, for tests and first starts.
func NewKey() (*Key, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make an age key: %w", err)
	}
	return &Key{id}, nil
}

// ParseKey reads a key in age's own form, AGE-SECRET-KEY-1….
func ParseKey(s string) (*Key, error) {
	id, err := age.ParseX25519Identity(strings.TrimSpace(s))
	if err != nil {
		return nil, errors.New("the age key is not of the form AGE-SECRET-KEY-1…; make one with age-keygen")
	}
	return &Key{id}, nil
}

// ReadKey reads the key file; fs.ErrNotExist when it is not there.
func ReadKey(file string) (*Key, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the age key: %w", err)
	}
	k, err := ParseKey(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s holds no age key of the form AGE-SECRET-KEY-1…", file)
	}
	return k, nil
}

// MakeKey makes the key file (mode 0600), or reads it when somebody was faster. What is sealed can be opened with this
// file only: it belongs in the backup, away from the database. Call it only where nothing is sealed with another key.
func MakeKey(file string) (*Key, error) {
	k, err := NewKey()
	if err != nil {
		return nil, err
	}
	// Written aside and linked into place: a half-written key would make every secret unreadable, and so would a
	// second process that makes another one at the same moment.
	tmp, err := os.CreateTemp(filepath.Dir(file), ".age-*")
	if err != nil {
		return nil, fmt.Errorf("write the age key: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, werr := tmp.WriteString(k.id.String() + "\n")
	if err := errors.Join(werr, tmp.Sync(), tmp.Close()); err != nil {
		return nil, fmt.Errorf("write the age key: %w", err)
	}
	if err := os.Link(tmp.Name(), file); errors.Is(err, os.ErrExist) {
		return ReadKey(file)
	} else if err != nil {
		return nil, fmt.Errorf("write the age key: %w", err)
	}
	return k, nil
}

// Recipient gives the key's public half, age1…: it says which key this is, and opens nothing.
func (k *Key) Recipient() string { return k.id.Recipient().String() }

// Seal encrypts a value; the text is base64 on one line.
func (k *Key) Seal(plain string) (string, error) { return sealTo(k.id.Recipient(), plain) }

// sealTo gives another text each time: age seals with a new key.
func sealTo(to age.Recipient, plain string) (string, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if _, err := io.WriteString(w, plain); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// SealTo is Seal to somebody whose public half, age1…, is all that is known.
func SealTo(recipient, plain string) (string, error) {
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return sealTo(to, plain)
}

// Open decrypts what Seal made.
func (k *Key) Open(sealed string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return "", errors.New("open a sealed value: it is not base64")
	}
	r, err := age.Decrypt(bytes.NewReader(raw), k.id)
	if err != nil {
		return "", errors.New("open a sealed value: it was sealed with another key")
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("open a sealed value: %w", err)
	}
	return string(b), nil
}

// Secret reads a secret key under instance.
func (c *Clipboard) Secret(key string) (Secret, error) {
	s, err := c.String(key)
	return Secret(s), err
}
