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
	"sort"
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

func (Secret) String() string               { return Mask }
func (Secret) GoString() string             { return Mask }
func (Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, Mask) }
func (Secret) MarshalText() ([]byte, error) { return []byte(Mask), nil }
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

// LoadKey reads the key file, or makes it (mode 0600) when it is not there. What is sealed can be opened with this
// file only: it belongs in the backup, away from the database.
func LoadKey(file string) (*Key, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		k, err := ParseKey(string(b))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		return k, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the age key: %w", err)
	}
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
		return LoadKey(file)
	} else if err != nil {
		return nil, fmt.Errorf("write the age key: %w", err)
	}
	return k, nil
}

// Seal encrypts a value; the text is base64 on one line.
func (k *Key) Seal(plain string) (string, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, k.id.Recipient())
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

// Seal encrypts every clear `!secret` in the text. What was opened from a sealed text and did not change gets that
// same text back, so that a step that changes nothing changes no byte.
func (c *Clipboard) Seal(k *Key) error {
	return c.rewrite(tagSecret, nil, func(v string) (string, error) {
		c.learn(v)
		if old, ok := c.sealed[v]; ok {
			return tagSealed + " " + old, nil
		}
		s, err := k.Seal(v)
		if err != nil {
			return "", err
		}
		c.remember(v, s)
		return tagSealed + " " + s, nil
	})
}

// Open gives a copy in which the secrets under the named instance keys are clear; nil opens none, and OpenAll all.
func (c *Clipboard) Open(k *Key, keys []string) (*Clipboard, error) {
	want := map[string]bool{}
	for _, key := range keys {
		want[key] = true
	}
	return c.open(k, func(top string) bool { return want[top] })
}

// OpenAll gives a copy with every secret clear: for the redactor, never for a step.
func (c *Clipboard) OpenAll(k *Key) (*Clipboard, error) {
	return c.open(k, func(string) bool { return true })
}

func (c *Clipboard) open(k *Key, want func(key string) bool) (*Clipboard, error) {
	d := c.Clone()
	if !d.HasSealed() {
		return d, nil
	}
	err := d.rewrite(tagSealed, want, func(v string) (string, error) {
		plain, err := k.Open(v)
		if err != nil {
			return "", err
		}
		d.remember(plain, v)
		d.learn(plain)
		return tagSecret + " " + quote(plain), nil
	})
	return d, err
}

// HasSealed reports whether the text holds a sealed value, cheaply.
func (c *Clipboard) HasSealed() bool { return bytes.Contains(c.src, []byte(tagSealed)) }

// Masked gives the text as people may see it: every secret, clear or sealed, as Mask.
func (c *Clipboard) Masked() string {
	d := c.Clone()
	mask := func(string) (string, error) { return tagSecret + " " + Mask, nil }
	for _, tag := range []string{tagSealed, tagSecret} {
		if err := d.rewrite(tag, nil, mask); err != nil {
			return "(the clipboard could not be masked)"
		}
	}
	return d.Redact(string(d.src))
}

// Redact replaces every secret this clipboard has seen in clear with Mask, line by line for secrets of many lines.
func (c *Clipboard) Redact(s string) string {
	for _, sec := range c.secrets {
		s = strings.ReplaceAll(s, sec, Mask)
	}
	return s
}

// Secrets gives the clear secrets seen so far, longest first.
func (c *Clipboard) Secrets() []string { return c.secrets }

// learn notes a clear secret for Redact. Shorter than four characters it would redact half the language.
func (c *Clipboard) learn(v string) {
	add := func(v string) {
		if len(v) < 4 {
			return
		}
		for _, s := range c.secrets {
			if s == v {
				return
			}
		}
		c.secrets = append(c.secrets, v)
	}
	add(v)
	for _, l := range strings.Split(v, "\n") {
		if l = strings.TrimSpace(l); len(l) >= 8 && !strings.HasPrefix(l, "-----") {
			add(l)
		}
	}
	sort.SliceStable(c.secrets, func(i, j int) bool { return len(c.secrets[i]) > len(c.secrets[j]) })
}

func (c *Clipboard) remember(plain, sealed string) {
	if c.sealed == nil {
		c.sealed = map[string]string{}
	}
	c.sealed[plain] = sealed
}

// rewrite replaces every scalar with the given tag, below the instance keys that want names (nil: everywhere), by
// what f makes of its value. Parse has made sure that such a scalar ends on the line it starts on.
func (c *Clipboard) rewrite(tag string, want func(key string) bool, f func(value string) (string, error)) error {
	if !bytes.Contains(c.src, []byte(tag)) {
		return nil
	}
	var found []*yaml.Node
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Tag == tag {
			found = append(found, n)
		}
		for _, ch := range n.Content {
			walk(ch)
		}
	}
	root := c.tree()
	for i := 0; i+1 < len(root.Content); i += 2 {
		top, v := root.Content[i], root.Content[i+1]
		if top.Value != "instance" || v.Kind != yaml.MappingNode {
			if want == nil || want("") {
				walk(v)
			}
			continue
		}
		for j := 0; j+1 < len(v.Content); j += 2 {
			if want == nil || want(v.Content[j].Value) {
				walk(v.Content[j+1])
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return c.edit(func(d *document) error {
		for _, n := range found {
			text, err := f(n.Value)
			if err != nil {
				return fmt.Errorf("line %d: %w", n.Line, err)
			}
			line := d.lines[n.Line-1]
			cr := ""
			if strings.HasSuffix(line, "\r") {
				line, cr = strings.TrimSuffix(line, "\r"), "\r"
			}
			start := byteColumn(line, n.Column)
			tail := ""
			if n.LineComment != "" {
				if i := strings.LastIndex(line, n.LineComment); i > start {
					tail = " " + n.LineComment
				}
			}
			d.lines[n.Line-1] = line[:start] + text + tail + cr
		}
		return nil
	})
}
