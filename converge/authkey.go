package converge

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// AuthorizedKey is a public key that may log in as a user.
type AuthorizedKey struct {
	User string
	// Key is a line of authorized_keys: "ssh-ed25519 AAAA… alice", with options before it if there are any. With
	// options, the host's line must have the same; without, any line of that key will do.
	Key    string
	Absent bool // no line of that key, whatever its options
}

// ID implements Resource: the key is what it is, whatever its comment says.
func (k AuthorizedKey) ID() string {
	l, ok := parseKeyLine(k.Key)
	switch {
	case !ok:
		return "key " + clip(k.Key) + " of " + k.User
	case l.authority():
		return "authority " + l.fingerprint() + " of " + k.User
	}
	return "key " + l.fingerprint() + " of " + k.User
}

// fingerprint names a key as `ssh-keygen -l` does.
func (l keyLine) fingerprint() string {
	raw, err := base64.StdEncoding.DecodeString(l.key)
	if err != nil {
		return l.key
	}
	sum := sha256.Sum256(raw)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// comment names the key for people: by the last word of its comment, or else by its own end.
func (k AuthorizedKey) comment() string {
	l, ok := parseKeyLine(k.Key)
	switch {
	case !ok:
		return "?"
	case l.comment != "":
		f := strings.Fields(l.comment)
		return f[len(f)-1]
	}
	return "…" + l.key[max(0, len(l.key)-12):]
}

// keyLine is a line of authorized_keys, as AUTHORIZED_KEYS FILE FORMAT of sshd(8) describes it.
type keyLine struct{ options, kind, key, comment string }

var (
	keyKind = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+$`) })
	// Every key begins with the length of its kind's name, which is short.
	keyText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^AAAA[A-Za-z0-9+/]+={0,2}$`) })
)

// parseKeyLine reads a line; ok is false for a comment, an empty line, and what sshd would not read either.
func parseKeyLine(line string) (l keyLine, ok bool) {
	rest := strings.Trim(line, " \t\r")
	word, after := cutWord(rest)
	if !keyKind().MatchString(word) {
		if strings.HasPrefix(word, "#") {
			return l, false
		}
		l.options = word
		word, after = cutWord(after)
	}
	l.kind = word
	l.key, l.comment = cutWord(after)
	return l, keyKind().MatchString(l.kind) && keyText().MatchString(l.key)
}

// authority reports whether the key signs certificates, and opens nothing itself.
func (l keyLine) authority() bool {
	return strings.Contains(","+strings.ToLower(l.options)+",", ",cert-authority,")
}

// cutWord gives the first word, in which a blank may stand in double quotes, and what follows it.
func cutWord(s string) (word, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && (s[i] == ' ' || s[i] == '\t'):
			return s[:i], strings.TrimLeft(s[i:], " \t")
		}
	}
	return s, ""
}

// Plan implements Resource.
func (k AuthorizedKey) Plan(n *Node) ([]Action, error) {
	if err := checkName("user", k.User); err != nil {
		return nil, err
	}
	want, ok := parseKeyLine(k.Key)
	if !ok || strings.ContainsAny(k.Key, "\r\n\x00") {
		return nil, fmt.Errorf("%q is no line of authorized_keys", clip(k.Key))
	}
	r, err := n.fact("keys", k.User)
	if err != nil {
		return nil, err
	}
	// The user may be about to be made: then there is nothing.
	var lines []string // of that key, as they are
	there := false
	_, text, _ := strings.Cut(r.text, "\n")
	for _, line := range strings.Split(text, "\n") {
		if l, ok := parseKeyLine(line); ok && l.key == want.key && l.authority() == want.authority() {
			lines = append(lines, line)
			there = there || len(lines) == 1 && (want.options == "" || l.options == want.options) // sshd takes the first
		}
	}
	var diff strings.Builder
	for _, l := range lines {
		diff.WriteString("-" + l + "\n")
	}
	switch {
	case k.Absent && len(lines) == 0, !k.Absent && there:
		return nil, nil
	case k.Absent:
		return []Action{{Desc: "no longer let " + k.comment() + " log in as " + k.User, Have: isThere, Want: isGone, Diff: diff.String(), Script: k.edit(without(lines))}}, nil
	}
	have := isMissing
	if len(lines) > 0 {
		have = "with other options, or several times"
	}
	return []Action{{Desc: "let " + k.comment() + " log in as " + k.User, Have: have, Want: isThere, Diff: diff.String() + "+" + k.Key + "\n",
		Script: k.edit(without(lines) + ` && printf '%s\n' ` + quote(k.Key))}}, nil
}

// without gives a command that prints the keys that are there but for some lines, the last one with a newline after it.
// The lines are whole: what else there is, and what came since they were read, stays. Any bytes may stand in it: -a.
func without(lines []string) string {
	filter := " -e ''"
	if len(lines) > 0 {
		filter = " -vxF"
		for _, l := range lines {
			filter += " -e " + quote(l)
		}
	}
	return `{ [ ! -e authorized_keys ] || { LC_ALL=C grep -a` + filter + ` -- authorized_keys || [ $? = 1 ]; }; }`
}

// edit gives a script that replaces the user's authorized_keys by what a command prints, unless that fails: with less
// in it, nobody might come in any more. It runs as the user: whatever they made of their folder, it leads to nothing
// but what is theirs.
func (k AuthorizedKey) edit(command string) string {
	inner := `umask 077
cd -P -- "$2" || exit
[ -e .ssh ] || mkdir .ssh || exit
[ -O .ssh ] || { echo "$2/.ssh does not belong to $1; it is left as it is" >&2; exit 1; }
cd -P .ssh || exit
[ ! -L authorized_keys ] || { echo "$2/.ssh/authorized_keys is a link; it is left as it is" >&2; exit 1; }
[ ! -e authorized_keys ] || [ -O authorized_keys ] || { echo "$2/.ssh/authorized_keys does not belong to $1; it is left as it is" >&2; exit 1; }
chmod 700 . || exit
t=$(mktemp ./.converge.XXXXXX) || exit
trap 'rm -f -- "$t"' EXIT
{ ` + command + `; } > "$t" || exit
chmod 600 "$t" && mv -f "$t" authorized_keys`
	return become + "u=" + quote(k.User) + `
h=$(getent passwd "$u" | cut -d: -f6)
[ -n "$h" ] || { echo "there is no user $u" >&2; exit 1; }
as "$u" sh -c ` + quote(inner) + ` jarvis "$u" "$h"`
}
