package cloudinit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"go.yaml.in/yaml/v4"
)

const header = "#cloud-config\n"

// defaults are the keys of ours that the clipboard's user_data may set otherwise.
var defaults = []string{"manage_etc_hosts"}

// withTheirs puts the clipboard's user_data into ours. A cloud-config is merged key by key: lists of users and of keys
// are joined, what is ours to set stays ours, all else is theirs. A script, which begins with #!, becomes a part of its
// own (https://docs.cloud-init.io/en/latest/explanation/format.html).
func withTheirs(c *clipboard.Clipboard, ours string) (Document, error) {
	if !c.Has("user_data") {
		return finish(ours, "", nil)
	}
	text, err := c.String("user_data")
	if err != nil {
		return Document{}, err
	}
	switch first, _, _ := strings.Cut(text, "\n"); {
	case strings.HasPrefix(first, "#!"):
		return finish(ours, text, nil)
	case strings.HasPrefix(first, "#") && strings.TrimSpace(first) != "#cloud-config" && !strings.HasPrefix(first, "# "), strings.HasPrefix(first, "Content-Type:"):
		return Document{}, wrongKind(first)
	}
	return merge(ours, text)
}

// Check says what is wrong with the clipboard's user_data and login, for who makes no machine of it.
func Check(c *clipboard.Clipboard) error {
	if _, err := withTheirs(c, "{}\n"); err != nil {
		return err
	}
	_, err := c.Login()
	return err
}

func wrongKind(first string) error {
	if len(first) > 40 {
		first = first[:40]
	}
	return fmt.Errorf("\"user_data\" begins with %q: it must be a cloud-config (YAML) or a script, which begins with a #! line", first)
}

// merge joins two cloud-configs. Both are read and written as trees, so that their order stays.
func merge(ours, theirs string) (Document, error) {
	mine, err := mapping(ours)
	if err != nil {
		return Document{}, fmt.Errorf("read our user-data: %w", err)
	}
	yours, err := mapping(theirs)
	if err != nil {
		return Document{}, fmt.Errorf("\"user_data\" is no cloud-config: %w", err)
	}
	var kept []string
	for i := 0; i+1 < len(yours.Content); i += 2 {
		key, value := yours.Content[i].Value, yours.Content[i+1]
		yours.Content[i].HeadComment = "" // the first one's says #cloud-config again
		have := child(mine, key)
		switch {
		case have == nil:
			mine.Content = append(mine.Content, yours.Content[i], value)
		case slices.Contains(defaults, key):
			*have = *value
		case have.Kind == yaml.SequenceNode && value.Kind == yaml.SequenceNode:
			kept = append(kept, join(key, have, value)...)
		default:
			kept = append(kept, key)
		}
	}
	b, err := yaml.Dump(mine, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return Document{}, fmt.Errorf("write the user-data: %w", err)
	}
	slices.Sort(kept)
	return finish(string(b), "", kept)
}

// join appends the entries of theirs; a user that is ours stays as ours.
func join(key string, ours, theirs *yaml.Node) (kept []string) {
	for _, entry := range theirs.Content {
		name := child(entry, "name")
		if name != nil && slices.ContainsFunc(ours.Content, func(o *yaml.Node) bool { n := child(o, "name"); return n != nil && n.Value == name.Value }) {
			kept = append(kept, key+" "+name.Value)
			continue
		}
		ours.Content = append(ours.Content, entry)
	}
	return kept
}

// mapping reads a cloud-config: one document, a mapping, each key once, without aliases.
func mapping(text string) (*yaml.Node, error) {
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one document (a line ---); cloud-init reads the first alone, so join them")
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("it must be a mapping, as in packages: [vim]")
	}
	left := maxNodes
	n, err := resolve(doc.Content[0], &left)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; seen[k.Value] {
			return nil, fmt.Errorf("line %d: it has %q twice", k.Line, k.Value)
		}
		seen[n.Content[i].Value] = true
	}
	return n, nil
}

// maxNodes is more than fits into what any provider takes.
const maxNodes = 100_000

// resolve gives a copy of a tree in which what an alias stood for stands itself: parts of the tree are left out later,
// and the anchor may be in one of those.
func resolve(n *yaml.Node, left *int) (*yaml.Node, error) {
	if *left--; *left < 0 {
		return nil, errors.New("its aliases make it too large")
	}
	if n.Kind == yaml.AliasNode {
		return resolve(n.Alias, left)
	}
	out := *n
	out.Anchor, out.Content = "", make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		var err error
		if out.Content[i], err = resolve(c, left); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// multi makes a multipart document of ours and perhaps a script. The boundary is fixed: a repeat gives the same bytes,
// which is what a client token at the provider asks for.
func multi(ours, script string) (string, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary("jarvis-user-data-5f2b7c1e9d"); err != nil {
		return "", fmt.Errorf("write the user-data: %w", err)
	}
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\nMIME-Version: 1.0\n\n", w.Boundary())
	for _, part := range [][2]string{{"text/cloud-config", ours}, {"text/x-shellscript", script}} {
		if part[1] == "" {
			continue
		}
		p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {part[0] + "; charset=utf-8"}})
		if err == nil {
			_, err = p.Write([]byte(part[1]))
		}
		if err != nil {
			return "", fmt.Errorf("write the user-data: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("write the user-data: %w", err)
	}
	return b.String(), nil
}

// finish gives our cloud-config, and perhaps a script, in the form in which cloud-init sees them as what they are: it
// takes whatever has `mime-version:` near its beginning for mail (user_data.convert_string in its source).
func finish(ours, script string, kept []string) (Document, error) {
	text := header + ours
	if script != "" || strings.Contains(strings.ToLower(text[:min(len(text), 4096)]), "mime-version:") {
		var err error
		if text, err = multi(text, script); err != nil {
			return Document{}, err
		}
	}
	return Document{Text: text, Kept: kept}, nil
}
