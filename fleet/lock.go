package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// DefaultLockFile is what is locked on every host unless told otherwise: it is there, and the same, everywhere.
const DefaultLockFile = "/"

// LockOptions say what is locked, and how it is watched.
type LockOptions struct {
	File string // locked alone, as orgalorg does; DefaultLockFile when "" and Dir is ""
	// Dir is locked instead of File, and the directories above it are held shared: so different directories are locked
	// side by side, and none while somebody holds one above it, or the whole host by DefaultLockFile.
	Dir     string
	MakeDir bool // make Dir first, and take it away at the end if it is empty; else it must be there
	Sudo    *remote.Sudo
	// Answer bounds the wait for a heartbeat; one goes out every 0.8 of it. 0: 10 s.
	Answer time.Duration
}

// LockedError: somebody holds the lock on a host.
type LockedError struct {
	File   string
	Holder string // who, as far as the host tells; may be ""
	Own    string // the host of the same fleet whose lock it is: one machine under two names; may be ""
}

// Error implements error.
func (e *LockedError) Error() string {
	if e.Own != "" {
		return fmt.Sprintf("this is the same machine as %q under another name, and one lock keeps out the other; name it once", e.Own)
	}
	by := "somebody else"
	if e.Holder != "" {
		by = e.Holder
	}
	return fmt.Sprintf("%s is locked by %s", e.File, by)
}

// Held reports whether an error of Lock or Work is that somebody else holds a lock, which may be waited for.
func Held(err error) bool {
	var locked *LockedError
	return errors.As(err, &locked) && locked.Own == ""
}

// ErrLockLost: a heartbeat did not come back, so somebody else may have the lock now.
var ErrLockLost = errors.New("the lock is lost")

// Lock is held on all hosts of a fleet.
type Lock struct {
	ctx  context.Context // ends when the lock is lost or released
	held []*heldLock
	wg   guard.Group
	lose context.CancelCauseFunc
	drop context.CancelFunc // ends what has not let go

	// watch ends first of all at Release: a flock that ends because it was told to is not lost.
	watch   context.Context
	unwatch context.CancelFunc
	beats   guard.Group
}

type heldLock struct {
	host  Host
	in    *mailbox
	word  string        // what the host says when it has the lock, and what its heartbeats begin with
	taken chan struct{} // closed when it has said so
	lines chan string   // heartbeats that came back
	done  chan error    // the end of flock
}

// hear takes a line from the host: only what begins with the word, which this connection alone was told, is of the
// lock.
func (k *heldLock) hear(line string) {
	rest, ours := strings.CutPrefix(line, k.word)
	switch {
	case !ours:
	case rest == "":
		select {
		case <-k.taken:
		default:
			close(k.taken)
		}
	default:
		select {
		case k.lines <- line:
		default:
		}
	}
}

// Lock takes the lock on all hosts at once, or on none. It is an flock(2) of the file, held by flock(1) and a cat
// through which heartbeats go; so it ends with the connection.
func (f *Fleet) Lock(ctx context.Context, o LockOptions) (*Lock, error) {
	if o.File == "" && o.Dir == "" {
		o.File = DefaultLockFile
	}
	if o.Answer <= 0 {
		o.Answer = 10 * time.Second
	}
	lockCtx, lose := context.WithCancelCause(context.WithoutCancel(ctx))
	l := &Lock{ctx: lockCtx, lose: lose, held: make([]*heldLock, len(f.Hosts))}
	l.watch, l.unwatch = context.WithCancel(lockCtx)
	var hold context.Context // what the flocks run in: that one host is gone ends none of the others, so that each says how it ended
	hold, l.drop = context.WithCancel(context.WithoutCancel(ctx))
	for i, h := range f.Hosts {
		l.held[i] = &heldLock{host: h, in: newMailbox(), word: rand.Text(), taken: make(chan struct{}), lines: make(chan string, 4), done: make(chan error, 1)}
	}
	errs := f.each(func(i int, h Host, c *remote.Client) error {
		k := l.held[i]
		l.wg.Go(func(p *guard.Panic) { k.done <- p }, func() {
			res, err := c.Run(hold, remote.Command{Args: o.args(k.word), Sudo: o.Sudo, Stdin: k.in, Stdout: k.hear, Apart: true, Hold: true})
			switch {
			case err != nil || res.Exit == 0:
			case res.Exit == 1 && res.Stderr == "":
				err = l.holder(hold, c, o)
			case res.Exit == exitDenied && o.Dir != "":
				err = deniedBy(res.Stderr)
			default:
				err = errors.New(firstOf(res.Stderr, fmt.Sprintf("flock: exit %d", res.Exit)))
			}
			k.done <- err
		})
		t := time.NewTimer(o.Answer)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-k.done:
			k.done <- err
			if err == nil {
				err = errors.New("flock ended at once")
			}
			return err
		case <-k.taken:
			return nil
		case <-t.C:
			return errors.New("the lock was not taken in time")
		}
	})
	if err := f.joined(errs); err != nil {
		return nil, errors.Join(err, l.Release())
	}
	for _, k := range l.held {
		l.beats.Go(func(p *guard.Panic) { lose(&HostError{k.host, fmt.Errorf("%w: %w", ErrLockLost, p)}) }, func() {
			if err := k.beat(l.watch, o.Answer); err != nil && l.watch.Err() == nil {
				lose(&HostError{k.host, fmt.Errorf("%w: %w", ErrLockLost, err)})
			}
		})
	}
	return l, nil
}

// lockLine is what runs while the lock is held. It begins a line of its own: a prompt may stand before it.
func lockLine(word string) string { return `printf '\n%s\n' ` + word + " && cat" }

// dirLockScript locks a directory, and those above it shared; one above it that may not be read is nobody's to lock.
// What it makes for that goes again, if it is empty when the lock ends, however that ends: while it is still held, so
// that nobody locks what is gone.
const dirLockScript = `dir=$1 above=
if [ -n "$2" ]; then
  d=$dir
  until [ -z "$d" ] || [ -e "$d" ] || [ -L "$d" ]; do
    case $d in */*) d=${d%/*} ;; *) d=. ;; esac
  done
  above=$(cd -- "${d:-/}" 2> /dev/null && pwd -P)
  mkdir -p -- "$dir" || exit 3
fi
cd -- "$dir" 2> /dev/null || { ! shut "$dir/." "$dir" || exit 4; echo "there is no directory $dir" >&2; exit 3; }
dir=$(pwd -P)
case $dir in "${above%/}"/*) ;; *) above=$dir ;; esac
[ "$above" ] || above=$dir
cd /
unmake='d=$1 n=0
# Who was killed in the middle leaves what clears up after itself (unpack.sh).
while [ "$d" != "$2" ] && [ $n -lt 20 ] && case $(ls -A -- "$d") in .jarvis-*) : ;; *) ! : ;; esac; do sleep 1; n=$((n + 1)); done
while [ "$d" != "$2" ] && rmdir -- "$d" 2> /dev/null; do d=${d%/*} d=${d:-/}; done'
held='[ -d "$1" ] || { echo "$1 was taken away by who made it; try again" >&2; exit 3; }
trap : HUP INT TERM
'"$3"'
how=$?
'"$unmake"'
exit $how'
set -- flock -nx "$dir" sh -c "$held" jarvis "$dir" "$above"
up=$dir
while [ "$up" != / ]; do
  up=$(dirname -- "$up")
  [ ! -r "$up" ] || set -- flock -ns "$up" "$@"
done
[ "$above" != "$dir" ] || exec "$@"
"$@"
how=$?
[ $how != 1 ] || flock -nx "$dir" sh -c "$unmake" jarvis "$dir" "$above" 2> /dev/null
exit $how`

// args is the command that takes the lock, and holds it while its stdin is open.
func (o LockOptions) args(word string) []string {
	if o.Dir == "" {
		return []string{"flock", "-nx", o.File, "-c", lockLine(word)}
	}
	mk := ""
	if o.MakeDir {
		mk = "make"
	}
	return []string{"sh", "-c", shutScript + dirLockScript, "jarvis", o.Dir, mk, lockLine(word)}
}

// holderScript finds who has an flock on a file, or one that keeps us from a directory (proc(5), /proc/locks). It says
// what is locked, by whom, and by which command line.
const holderScript = `who() {
  i=$(stat -c %i -- "$1") || return 1
  p=$(sed -n "s/.*FLOCK *ADVISORY *$2 *\([0-9][0-9]*\) [0-9a-f]*:[0-9a-f]*:$i .*/\1/p" /proc/locks | head -n 1)
  [ "${p:-0}" -gt 0 ] || return 1
  from=$(tr '\0' '\n' 2>/dev/null < "/proc/$p/environ" | sed -n 's/^SSH_CONNECTION=\([^ ]*\).*/\1/p')
  printf '%s\n' "$1" "process $p of $(stat -c %U "/proc/$p")${from:+, from $from}"
  tr '\0' ' ' < "/proc/$p/cmdline"
}
[ -z "$2" ] || { who "$1" '[A-Z]*'; exit; }
cd -- "$1" && dir=$(pwd -P) || exit
who "$dir" '[A-Z]*' && exit
while [ "$dir" != / ]; do
  dir=$(dirname -- "$dir")
  who "$dir" WRITE && exit
done`

// holder gives who has the lock that we did not get.
func (l *Lock) holder(ctx context.Context, c *remote.Client, o LockOptions) error {
	e := &LockedError{File: o.File + o.Dir}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	res, err := c.Run(ctx, remote.Command{Args: []string{"sh", "-c", holderScript, "jarvis", o.File + o.Dir, o.File}, Sudo: o.Sudo, Apart: true})
	said := strings.SplitN(res.Stdout, "\n", 3)
	if err != nil || len(said) < 3 {
		return e
	}
	e.File, e.Holder = said[0], said[1]
	for _, k := range l.held {
		if strings.Contains(said[2], k.word) {
			e.Own = k.host.Name
		}
	}
	return e
}

// beat sends a line through the lock now and then, which must come back.
func (k *heldLock) beat(ctx context.Context, answer time.Duration) error {
	t := time.NewTicker(answer * 8 / 10)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case err := <-k.done:
			k.done <- err
			return errors.Join(errors.New("flock ended"), err)
		case <-t.C:
		}
		ping := fmt.Sprintf("%s ping %d", k.word, n)
		_, _ = io.WriteString(k.in, ping+"\n")
		late := time.NewTimer(answer)
		for back := ""; back != ping; {
			select {
			case <-ctx.Done():
				late.Stop()
				return nil
			case err := <-k.done:
				late.Stop()
				k.done <- err
				return errors.Join(errors.New("flock ended"), err)
			case back = <-k.lines:
			case <-late.C:
				return errors.New("a heartbeat did not come back")
			}
		}
		late.Stop()
	}
}

// Context ends when the lock is lost, with ErrLockLost and the host as cause, or when it is released.
func (l *Lock) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, guard.Func(guard.Count, func() { cancel(context.Cause(l.ctx)) }))
	return ctx, func() { stop(); cancel(nil) }
}

// Lost is closed when the lock is lost or released; Err says which.
func (l *Lock) Lost() <-chan struct{} { return l.ctx.Done() }

// Err gives why the lock ended: nil while it is held, and after Release.
func (l *Lock) Err() error {
	if err := context.Cause(l.ctx); errors.Is(err, ErrLockLost) {
		return err
	}
	return nil
}

// releaseTime is how long the hosts have to let go.
const releaseTime = 5 * time.Second

// Release lets go everywhere. The error names the hosts of which nobody knows whether they did.
func (l *Lock) Release() error {
	l.unwatch()
	l.beats.Wait()
	for _, k := range l.held {
		k.in.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	var left []error
	for _, k := range l.held {
		err := k.ended(ctx)
		var held *LockedError
		if err != nil && errors.Is(err, remote.ErrLost) && !errors.As(err, &held) {
			left = append(left, &HostError{k.host, fmt.Errorf("it may still be locked, until it notices that the connection is gone (%w)", err)})
		}
	}
	l.lose(nil)
	l.drop()
	l.wg.Wait()
	return errors.Join(left...)
}

// ended waits for the end of flock. Who has ended has, however late the others are.
func (k *heldLock) ended(ctx context.Context) error {
	select {
	case err := <-k.done:
		return err
	default:
	}
	select {
	case err := <-k.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: no answer in time", remote.ErrLost)
	}
}

// firstOf gives the first line of what a host said, or otherwise when it said nothing.
func firstOf(s, otherwise string) string {
	if s = strings.TrimSpace(s); s == "" {
		return otherwise
	}
	s, _, _ = strings.Cut(s, "\n")
	return s
}
