package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/web"
	"github.com/jarvisops/jarvis/workers/ssh"
)

type doctorCmd struct{}

// Help is shown under --help.
func (doctorCmd) Help() string {
	return "It looks at the configuration, the data folder, keys, disk and clock of this machine, and asks the server how it is and who you are to it. It changes nothing. Run it as root to have it see everything.\n\nExit codes: 0 all is well, 1 something is wrong."
}

// doctor says what is well and what is wrong, a line each.
type doctor struct {
	t     *term
	conf  *config.Config // nil: it cannot be read, or is wrong
	wrong int
}

func (d *doctor) ok(what, format string, args ...any) { d.say("ok   ", what, format, args...) }

// note is for what may be as it is meant.
func (d *doctor) note(what, format string, args ...any) { d.say("note ", what, format, args...) }

// bad makes the exit code 1.
func (d *doctor) bad(what, format string, args ...any) {
	d.wrong++
	d.say("wrong", what, format, args...)
}

// say prints one line, without the secrets of the configuration.
func (d *doctor) say(mark, what, format string, args ...any) {
	_, _ = fmt.Fprintf(d.t.out, "%s %s: %s\n", mark, what, strings.ReplaceAll(d.conf.Conceal(d.t.place.Conceal(fmt.Sprintf(format, args...))), "\n", "; "))
}

// Run is called by kong.
func (doctorCmd) Run(ctx context.Context, t *term) error {
	d := &doctor{t: t}
	d.config()
	if d.conf != nil {
		d.data()
		d.disk()
		d.key()
		d.knownHosts()
	}
	d.clock()
	d.server(ctx)
	if d.conf != nil {
		d.people()
	}
	switch d.wrong {
	case 0:
		return nil
	case 1:
		return &exitError{exitFailed, "one thing is wrong"}
	}
	return &exitError{exitFailed, fmt.Sprintf("%d things are wrong", d.wrong)}
}

// config leaves conf nil when the file is wrong or may not be read: what needs it is then not looked at.
func (d *doctor) config() {
	file := d.t.file()
	if file == "" {
		d.note("configuration", "there is none here or in /etc/jarvis; `jarvis init` writes one")
		d.conf, _ = config.Parse("jarvis.yaml", nil, os.LookupEnv)
		return
	}
	conf, err := config.Verify(file)
	var all config.Errors
	switch {
	case errors.As(err, &all) && len(all) == 1 && errors.Is(all[0].Err, fs.ErrPermission):
		d.note("configuration", "%s may not be read by you; run this as root to have it looked at", file)
		return
	case errors.As(err, &all):
		for _, e := range all {
			d.bad("configuration", "%v", e)
		}
		return
	case err != nil:
		d.bad("configuration", "%v", err)
		return
	}
	d.conf = conf
	if conf.Empty() {
		d.note("configuration", "%s is empty: everything is by default, and nobody may do anything", file)
	} else {
		d.ok("configuration", "%s is right", file)
	}
	if conf.Approvals.Off {
		d.note("approvals", "no second person is asked about anything (`approvals: {off: true}`); take the line out when there is one")
	}
	for _, e := range conf.Exposed() {
		d.bad("secrets", "%v", e)
	}
	for _, l := range conf.Unreachable() {
		d.note("people", "%s", l)
	}
	for _, l := range conf.Doubts() {
		d.note("checks", "%s", l)
	}
}

// data looks at the folder, what must be in it, and whose it is.
func (d *doctor) data() {
	dir := d.conf.Data
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.note("data", "%s is not there; the server makes it at its first start", dir)
		return
	case err != nil:
		d.note("data", "%v; run this as root to have it looked at", err)
		return
	}
	if st.Mode().Perm()&0o066 != 0 {
		d.bad("data", "%s has the mode %04o, and keys are in it; chmod 700 %s", dir, st.Mode().Perm(), dir)
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.note("data", "%v; run this as root to have it looked at", err)
		return
	}
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.Name()] = true
		st, err := os.Lstat(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		file := filepath.Join(dir, e.Name())
		if st.Sys().(*syscall.Stat_t).Uid != owner {
			d.bad("data", "%s belongs to another user than its folder, as after a command that was run as root; chown -R --reference=%s %s", file, dir, dir)
		}
		if secret := e.Name() == "age.key" || e.Name() == "id_ed25519" || e.Name() == "jarvis.db" || e.Name() == "jarvis.db-wal"; secret && st.Mode().Perm()&0o077 != 0 {
			d.bad("data", "%s has the mode %04o and is for its owner only; chmod 600 %s", file, st.Mode().Perm(), file)
		}
	}
	if d.conf.Database == "" && d.conf.AgeKey == "" && seen["jarvis.db"] != seen["age.key"] {
		d.bad("keys", "%s has only one of jarvis.db and age.key; without the key its secrets are lost: restore the other from the same backup", dir)
	}
	if d.conf.Database == "" {
		d.ok("database", "SQLite in %s", dir)
	} else {
		d.ok("database", "PostgreSQL, as `database` says")
	}
}

const (
	leastFree  = 256 << 20 // bytes
	leastNodes = 1000
)

// disk looks at the nearest folder that exists: the data folder may not be made yet.
func (d *doctor) disk() {
	dir := d.conf.Data
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		d.note("disk", "%s cannot be measured: %v", dir, err)
		return
	}
	free := st.Bavail * uint64(st.Bsize) //nolint:gosec // a block has a size above 0
	switch {
	case free < leastFree:
		d.bad("disk", "%d MB are free in %s; make room: without it nothing can be written down", free>>20, dir)
	case st.Files > 0 && st.Ffree < leastNodes:
		d.bad("disk", "%d inodes are free in %s; remove files there", st.Ffree, dir)
	default:
		d.ok("disk", "%d MB are free in %s", free>>20, dir)
	}
}

// key says which key the server logs in to hosts with.
func (d *doctor) key() {
	var conf ssh.Config
	if s := d.conf.Workers.SSH; s != nil {
		conf = *s
	}
	file := ssh.KeyFile(conf, d.conf.Data)
	switch _, err := os.Stat(file); {
	case errors.Is(err, fs.ErrNotExist) && conf.Key == "":
		d.note("key", "the server makes the one that it logs in to hosts with at its first start, and puts the public half into %s.pub: hosts need that line in authorized_keys", file)
	case err != nil:
		d.note("key", "%v; run this as root to have it looked at", err)
	default:
		d.ok("key", "the server logs in to hosts with %s: a host needs that line in authorized_keys to let it in", ssh.PublicFile(file))
	}
}

// knownHosts reads the file of hosts' keys, and looks for the git host's.
func (d *doctor) knownHosts() {
	file := filepath.Join(d.conf.Data, "known_hosts")
	if s := d.conf.Workers.SSH; s != nil && s.KnownHosts != "" {
		file = s.KnownHosts
	}
	if _, err := os.Stat(file); err != nil {
		d.note("known_hosts", "%s is not there yet; it is made with the first host", file)
		return
	}
	if err := remote.NewKnownHosts(file).Err(); err != nil {
		d.bad("known_hosts", "%v; correct the line or take it out", err)
		return
	}
	d.ok("known_hosts", "%s can be read", file)
}

// clock asks the kernel whether something keeps the clock right (adjtimex(2)). Tokens, signatures and schedules need
// it.
func (d *doctor) clock() {
	const unsynchronised = 5 // TIME_ERROR
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	switch {
	case err != nil:
		d.note("clock", "nobody can tell whether it is kept right: %v", err)
	case state == unsynchronised:
		d.note("clock", "nothing keeps it right as far as the kernel knows (%s); in a container that is the machine's work, else install chrony or systemd-timesyncd", plain.Time(time.Now()))
	default:
		d.ok("clock", "it is kept right")
	}
}

var damaged = pattern.New(`(?m)^jarvis_database_damaged 1$`)

var chatUp = pattern.New(`(?m)^jarvis_chat_up\{frontend="([^"]*)"\} ([01]|NaN)$`)

var databaseBytes = pattern.New(`(?m)^jarvis_database_bytes (\S+)$`)

// keeps says for how long things stay on record.
func keeps(c config.KeepConfig) string {
	if c == (config.KeepConfig{}) {
		return "nothing of it is ever removed (`keep` in jarvis.yaml)"
	}
	return "what is older than `keep` says is removed"
}

// server asks the running one.
func (d *doctor) server(ctx context.Context) {
	if d.t.lost != nil {
		d.bad("server", "it cannot be found: %v", d.t.lost)
		return
	}
	cl, err := d.t.client()
	if err != nil {
		d.bad("server", "%v", err)
		return
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	text, status, err := cl.Text(ctx, "/readyz")
	switch {
	case err != nil && errors.Is(err, web.ErrNoServer):
		d.bad("server", "%v, or `systemctl start jarvis`; `journalctl -u jarvis` says why it ended", err)
		return
	case err != nil:
		d.bad("socket", "%v", err)
		return
	case status != 200:
		d.bad("server", "it runs and is not ready: %s; its log says more", text)
	default:
		d.ok("server", "it runs, and its database takes writes")
	}
	if a, err := cl.Command(ctx, web.CommandRequest{Words: []string{"whoami"}}, ""); err != nil {
		d.bad("you", "%v", err)
	} else {
		d.ok("you", "%s", strings.Join(a.Lines, "; "))
	}
	if a, err := cl.Command(ctx, web.CommandRequest{Words: []string{"version"}}, ""); err == nil && !strings.Contains(strings.Join(a.Lines, " "), version) {
		d.bad("version", "the server is %q and this program %s; restart the server", strings.Join(a.Lines, " "), version)
	}
	text, err = linked(ctx, cl)
	if err != nil {
		d.bad("server", "%v", err)
		return
	}
	for _, m := range chatUp.FindAllStringSubmatch(text, -1) {
		switch m[2] {
		case "1":
			d.ok("chat", "%s has a link", m[1])
		case "NaN":
			d.ok("chat", "another node speaks on %s; `jarvis nodes` says which", m[1])
		default:
			d.bad("chat", "%s has no link; `jarvis config check --online` tries it, and the server's log says why", m[1])
		}
	}
	if m := databaseBytes.FindStringSubmatch(text); m != nil {
		if n, err := strconv.ParseFloat(m[1], 64); err == nil && n >= 0 {
			d.ok("record", "it takes %.1f MB; %s", n/1e6, keeps(d.conf.Keep))
		}
	}
	d.notices(text)
	if damaged.MatchString(text) {
		d.bad("database", "pages of it are broken; stop the server, keep a copy, and restore the backup (docs/howto/install.md)")
	}
}

var (
	noticesLate    = pattern.New(`(?m)^jarvis_notices_late_seconds (\S+)$`)
	noticesDropped = pattern.New(`(?m)^jarvis_notices_dropped (\S+)$`)
)

// notices looks at what webhooks and mail servers did not take.
func (d *doctor) notices(metrics string) {
	number := func(re *pattern.Pattern) float64 {
		if m := re.FindStringSubmatch(metrics); m != nil {
			if n, err := strconv.ParseFloat(m[1], 64); err == nil {
				return n
			}
		}
		return 0
	}
	if late := time.Duration(number(noticesLate)) * time.Second; late > 0 {
		d.bad("notices", "one for a webhook or a mail waits for %s: it is not taken, and is tried again; the server's log says why", command.Short(late))
	}
	if n := number(noticesDropped); n > 0 {
		d.bad("notices", "%.0f were given up in the last week: no webhook or mail server took them in two days; the server's log says of whom and why", n)
	}
}

// linked gives the server's metrics. A server that has just begun is still at the door of its networks, as doctor is
// often run after a restart: a link has ten seconds to come up.
func linked(ctx context.Context, cl *web.Client) (string, error) {
	for end := time.Now().Add(10 * time.Second); ; sleep(ctx, 250*time.Millisecond) {
		text, _, err := cl.Text(ctx, "/metrics")
		down := slices.ContainsFunc(chatUp.FindAllStringSubmatch(text, -1), func(m []string) bool { return m[2] == "0" })
		if err != nil || !down || ctx.Err() != nil || time.Now().After(end) {
			return text, err
		}
	}
}

// people looks at logins of this machine, and whether they can come to the socket.
func (d *doctor) people() {
	st, err := os.Stat(d.conf.Socket.Path)
	for _, p := range d.conf.People {
		if p.Local == "" {
			continue
		}
		u, uerr := user.Lookup(p.Local)
		if uerr != nil {
			u, uerr = user.LookupId(p.Local)
		}
		switch {
		case uerr != nil:
			d.bad("people", "%s has local: %s, and there is no such login on this machine", p.Name, p.Local)
		case err != nil: // without a server there is no socket to look at
		case !opens(u, st):
			d.bad("people", "%s (%s) may not open the socket %s; %s", p.Name, u.Username, d.conf.Socket.Path, letIn(d.conf.Socket, st, u.Username))
		default:
			d.ok("people", "%s (%s) may open the socket", p.Name, u.Username)
		}
	}
}

// opens reports whether a user may write to a file, by its mode alone.
func opens(u *user.User, st fs.FileInfo) bool {
	sys := st.Sys().(*syscall.Stat_t)
	groups, _ := u.GroupIds()
	switch mode := st.Mode().Perm(); {
	case u.Uid == "0" || u.Uid == strconv.Itoa(int(sys.Uid)):
		return true
	case slices.Contains(groups, strconv.Itoa(int(sys.Gid))):
		return mode&0o020 != 0
	default:
		return mode&0o002 != 0
	}
}

// letIn says how somebody comes to the socket: as a member of a group that is there for that, which is the package's or
// the one that the configuration names. Any other group, as root's or the server's own, may do more than open a socket.
func letIn(socket web.Socket, st fs.FileInfo, login string) string {
	group := groupOf(st)
	mine := group == "jarvis" || group == socket.Group && !powerful[group]
	if mine && st.Mode().Perm()&0o020 != 0 {
		return fmt.Sprintf("`usermod -aG %s %s`, and a new login", group, login)
	}
	return fmt.Sprintf("have the socket belong to a group of its own: `groupadd -f --system jarvis`, `socket: {group: jarvis, mode: \"0660\"}` in jarvis.yaml, a restart, then `usermod -aG jarvis %s`, and a new login", login)
}

// powerful are groups whose members may do what root may, or read what nobody should.
var powerful = map[string]bool{"root": true, "wheel": true, "sudo": true, "admin": true, "adm": true, "shadow": true, "disk": true, "docker": true, "lxd": true, "incus": true,
	"incus-admin": true, "libvirt": true, "kvm": true, "kmem": true, "mem": true, "sys": true, "staff": true, "systemd-journal": true, "podman": true, "ssh_keys": true, "tty": true, "input": true}

// groupOf gives the group's name, or its number when it has none.
func groupOf(st fs.FileInfo) string {
	gid := strconv.Itoa(int(st.Sys().(*syscall.Stat_t).Gid))
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}
