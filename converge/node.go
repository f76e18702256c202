package converge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
)

// ErrPending: what was asked for is not read yet. Hand it up: the configurator is called again when it is.
var ErrPending = errors.New("not read yet")

// Node is a host while it is analyzed. Its methods are for the configurator and for resources' Plan.
type Node struct {
	target  Target
	host    Host
	close   func()
	report  HostReport
	timeout time.Duration
	trust   bool

	factsDir string
	own      map[string]Fact // facts that are functions
	inFact   bool            // one of them is asking
	known    *Facts          // in this phase
	secrets  []string        // what no diff shows; the longest first

	facts map[fact]reading // what is known in this phase
	asked []fact           // what is not, in order
	waits []string         // ids of what waits for that
	steps []step           // what this analysis found
	seen  map[string]bool  // ids of what is wanted
	errs  []error
	texts map[fact]string // what files will hold when the actions so far are done
}

// step is an action and the resource that wants it.
type step struct {
	id     string
	action Action
}

// fact is something that can be read: an item of a kind of thing.
type fact struct{ kind, item string }

type reading struct {
	text string
	exit int
}

// Name gives the host's name.
func (n *Node) Name() string { return n.target.Name }

// In reports whether the host belongs to a group.
func (n *Node) In(group string) bool { return slices.Contains(n.target.Groups, group) }

// Prop gives what is known of the host under a name, as text, also when it is a Secret; "" if nothing is.
func (n *Node) Prop(name string) string {
	v, ok := n.target.Props[name]
	if !ok || v == nil {
		return ""
	}
	return plainText(n, v)
}

// Value gives what is known of the host under a name, as it is; nil if nothing is.
func (n *Node) Value(name string) any { return n.target.Props[name] }

// PropAs gives what is known of the host under a name, as a value of a type: as it is, or, where it came as JSON, from
// that. Nothing known is an error.
func PropAs[T any](n *Node, name string) (v T, err error) {
	is, ok := n.target.Props[name]
	if !ok {
		return v, fmt.Errorf("nothing is known of %s under %q", n.Name(), name)
	}
	if v, ok := is.(T); ok {
		return v, nil
	}
	plain := reveal(is, func(s string) { n.Hide(s) })
	if v, ok := plain.(T); ok {
		return v, nil
	}
	b, err := json.Marshal(plain)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		err = fmt.Errorf("the property %q of %s is a %T, and no %T: %w", name, n.Name(), is, v, err)
	}
	return v, err
}

// Want says that the host shall have something.
func (n *Node) Want(list ...Resource) {
	for _, r := range list {
		id := r.ID()
		if n.seen[id] {
			n.errs = append(n.errs, fmt.Errorf("%s is wanted twice", id))
			continue
		}
		n.seen[id] = true
		actions, err := r.Plan(n)
		if errors.Is(err, ErrPending) {
			n.waits = append(n.waits, id) // it has noted what it must know
			continue
		}
		if err != nil {
			n.errs = append(n.errs, fmt.Errorf("%s: %w", id, err))
			continue
		}
		for _, a := range actions {
			if a.Resource == "" {
				a.Resource = id
			}
			a.Resource, a.Desc, a.Diff = n.mask(a.Resource), n.mask(a.Desc), n.maskDiff(a.Diff)
			a.Have, a.Want = n.mask(a.Have), n.mask(a.Want)
			a.sum()
			n.steps = append(n.steps, step{n.mask(id), a})
		}
	}
}

// Read gives what a shell script prints on the host; an exit code other than 0 is an error. The script must only read:
// where the host lets us, it cannot write to any file system. ErrPending until it is read.
func (n *Node) Read(script string) (string, error) {
	r, err := n.fact("script", script)
	if err == nil && r.exit != 0 {
		err = fmt.Errorf("%q ended with exit code %d: %s", clip(script), r.exit, clip(plain.Last(r.text, "no output")))
	}
	return r.text, err
}

// clip gives the first line, not too long, and says when that is not all.
func clip(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if more && len(line) <= 200 {
		return line + "…"
	}
	return plain.Clip(line, 200)
}

// fact gives something known, or notes that it is to be read.
func (n *Node) fact(kind, item string) (reading, error) {
	f := fact{kind, item}
	if r, ok := n.facts[f]; ok {
		return r, nil
	}
	if !slices.Contains(n.asked, f) {
		n.asked = append(n.asked, f)
	}
	return reading{}, ErrPending
}

// text gives what something of a kind holds, or will hold when the actions so far are done: two resources may edit one
// file.
func (n *Node) text(kind, item string) (string, error) {
	if s, ok := n.texts[fact{kind, item}]; ok {
		return s, nil
	}
	r, err := n.fact(kind, item)
	if err == nil && r.exit != 0 {
		err = fmt.Errorf("%s cannot be edited: %s", item, plain.Last(r.text, "it cannot be read"))
	}
	return r.text, err
}

// first gives the first error that is more than something not read yet; then that.
func first(errs ...error) (pending error) {
	for _, err := range errs {
		if err != nil && !errors.Is(err, ErrPending) {
			return err
		}
		if err != nil {
			pending = err
		}
	}
	return pending
}

// will notes what something is going to hold.
func (n *Node) will(kind, item, text string) { n.texts[fact{kind, item}] = text }

// forget drops all that was read: an action may have changed any of it.
func (n *Node) forget() { n.facts, n.known = nil, nil }

// ids names each resource that wants something once.
func (n *Node) ids() []string {
	var out []string
	for _, s := range n.steps {
		if !slices.Contains(out, s.id) {
			out = append(out, s.id)
		}
	}
	return out
}

func (n *Node) actions() []Action {
	out := make([]Action, len(n.steps))
	for i, s := range n.steps {
		out[i] = s.action
	}
	return out
}

// sh runs a script on the host.
func (n *Node) sh(ctx context.Context, script string) (stdout, stderr string, exit int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, n.timeout, fmt.Errorf("it took longer than %s", n.timeout))
	defer cancel()
	n.report.Exchanges++
	stdout, stderr, exit, err = n.host.Sh(ctx, script)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return stdout, stderr, exit, err
}

// maxRounds bounds how often a configurator may find that it must know more.
const maxRounds = 20

// analyze calls the configurator until it knows all it wants to know.
func (n *Node) analyze(ctx context.Context, configure Configurator) error {
	if n.host == nil {
		h, done, err := n.target.Dial(ctx)
		if err != nil {
			return err
		}
		n.host, n.close = h, done
	}
	n.facts, n.known = map[fact]reading{}, nil
	for range maxRounds {
		n.steps, n.asked, n.waits, n.errs, n.seen, n.texts = nil, nil, nil, nil, map[string]bool{}, map[fact]string{}
		if err := configure(n); err != nil && !errors.Is(err, ErrPending) {
			return err
		} else if errors.Is(err, ErrPending) && len(n.asked) == 0 {
			return errors.New("the configurator says that it waits for something, and asked for nothing")
		}
		if len(n.asked) == 0 && len(n.waits) > 0 { // it must not pass for what is as it shall be
			n.errs = append(n.errs, fmt.Errorf("%s waits for something, and asked for nothing", n.waits[0]))
		}
		if err := n.wantOwed(); err != nil && !errors.Is(err, ErrPending) {
			return err
		}
		if len(n.errs) > 0 {
			return errors.Join(n.errs...)
		}
		if len(n.asked) == 0 {
			return nil
		}
		if err := n.read(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("the configurator wants to know more after every answer, %d times by now; does it read something else each time?", maxRounds)
}

// read gets all that was asked for, in one exchange.
func (n *Node) read(ctx context.Context) error {
	var kinds []string
	items := map[string][]string{}
	for _, f := range n.asked {
		if !slices.Contains(kinds, f.kind) {
			kinds = append(kinds, f.kind)
		}
		items[f.kind] = append(items[f.kind], f.item)
	}
	var inner strings.Builder
	inner.WriteString(helpers)
	for _, k := range kinds {
		inner.WriteString(readers[k](items[k]))
	}
	script := inner.String()
	const cannot = 77
	if !n.trust {
		end := "CONVERGE"
		for strings.Contains(script, end) {
			end += "_"
		}
		strict := "" // what is ours writes nothing; what is not must be kept from it
		if items["script"] != nil {
			strict = "1"
		}
		script = fmt.Sprintf(readOnly, cannot, end, script, strict)
	}
	stdout, stderr, exit, err := n.sh(ctx, "export LC_ALL=C\n"+script)
	switch {
	case err != nil:
		return fmt.Errorf("read the host's state: %w", err)
	case exit == cannot && !n.trust:
		return errors.New("its file systems cannot be made read-only for a script of yours that is to read (that needs root and `unshare`); TrustReads goes without")
	case exit != 0:
		return fmt.Errorf("read the host's state: %s", plain.Last(stderr, fmt.Sprintf("exit code %d", exit)))
	}
	if i := strings.Index(stderr, "Read-only file system"); i >= 0 && !n.trust {
		start := strings.LastIndexByte(stderr[:i], '\n') + 1
		return fmt.Errorf("a script that may only read tried to write: %s", clip(stderr[start:]))
	}
	for _, f := range n.asked {
		n.facts[f] = reading{}
	}
	return n.parse(stdout, stderr)
}

// parse reads the answers: "KIND EXIT LENGTH ITEMLENGTH\n", the item, what was read.
func (n *Node) parse(out, stderr string) error {
	for out != "" {
		head, rest, ok := strings.Cut(out, "\n")
		f := strings.Fields(head)
		if !ok || len(f) != 4 {
			return fmt.Errorf("the host's answer is cut off: %s", plain.Last(stderr, clip(head)))
		}
		exit, e1 := strconv.Atoi(f[1])
		length, e2 := strconv.Atoi(f[2])
		name, e3 := strconv.Atoi(f[3])
		if e1 != nil || e2 != nil || e3 != nil || name < 0 || length < 0 || len(rest) < name+length+1 {
			return errors.New("the host's answer is cut off")
		}
		text := rest[name : name+length]
		if exit != 0 && text == "" {
			text = stderr
		}
		n.facts[fact{f[0], rest[:name]}] = reading{text, exit}
		out = rest[name+length+1:]
	}
	return nil
}

// helpers are for the readers: answer KIND EXIT ITEM TEXT.
const helpers = walk + become + `answer() { printf '%s %s %s %s\n%s%s\n' "$1" "$2" "${#4}" "${#3}" "$3" "$4"; }
`

// readOnly runs a script with all file systems read-only. The script comes on stdin, since an argument has at most 128
// KiB. What is mounted is listed before anything is remounted. Where this cannot be, a script in which all is ours runs
// as it is, with $open set; else it ends.
const readOnly = `strict=%[4]s
if [ "$(id -u)" = 0 ] && unshare --mount true 2> /dev/null; then
  set -- unshare --mount --propagation private sh -c '
mounts=$(while read -r _ m _; do printf "%%s\n" "$m"; done < /proc/self/mounts | sort -u)
for m in $mounts; do
  m=$(printf "%%b" "$m")
  case $m in /dev|/dev/*) continue ;; esac
  mount -o remount,bind,ro "$m" 2> /dev/null || mount -o remount,ro "$m" 2> /dev/null
done
open=
if (: > /etc/.converge) 2> /dev/null; then rm -f /etc/.converge; [ -z "$1" ] || exit %[1]d; open=1; fi
s=$(cat; printf .)
eval "${s%%.}" < /dev/null
' sh "$strict"
elif [ -n "$strict" ]; then
  exit %[1]d
else
  set -- sh -c 'open=1; s=$(cat; printf .); eval "${s%%.}" < /dev/null'
fi
exec "$@" <<'%[2]s'
%[3]s
%[2]s
`
