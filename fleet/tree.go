package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Tree is files and directories to send, as they are on this machine now.
type Tree struct {
	Bytes   int64    // of all regular files
	Skipped []string // what is no file, directory or link: "run/sock is a socket, and was skipped"
	entries []treeEntry
	opts    TreeOptions
}

// TreeOptions say how local files are named and owned on the hosts.
type TreeOptions struct {
	// Relative names files as they are given, instead of by their whole path; of an absolute path, its last part.
	Relative bool
	// Alone names each file by its last part, however it is given, and sends what a link leads to.
	Alone bool
	// NoUID and NoGID leave the owner and the group to root, or to whoever logs in.
	NoUID, NoGID bool
}

type treeEntry struct {
	name  string // on the host: slashes, no leading one
	local string
	info  fs.FileInfo
	link  string // target of a symbolic link
	hard  int    // index of the first name of the same file, or -1
	holes bool   // it is sent as a sparse file
}

// base gives the name on the host of a path as somebody gave it.
func (t *Tree) base(p string) (string, error) {
	if !t.opts.Relative && !t.opts.Alone {
		abs, err := filepath.Abs(p)
		return filepath.ToSlash(abs), err
	}
	clean := filepath.Clean(p)
	if t.opts.Alone || filepath.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, ".."+string(filepath.Separator)) {
		abs, err := filepath.Abs(p)
		return filepath.Base(abs), err
	}
	return filepath.ToSlash(clean), nil
}

// Len counts the entries.
func (t *Tree) Len() int { return len(t.entries) }

func (e *treeEntry) owner() (uid, gid int) {
	if st, ok := e.info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return 0, 0
}

// stat writes an entry as the host's stat does, so that both can be compared: mode in hex, size, mtime in seconds with
// seven digits more, owner and group if they count, name. Size and time of a directory say nothing. Of a file whose
// time the host keeps to the second alone it writes a dash for the digits: such is coarse.
func (t *Tree) stat(e *treeEntry, owner, coarse bool) string {
	st, ok := e.info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	size, mtime := fmt.Sprint(e.info.Size()), mtimeOf(e.info, coarse)
	if e.info.IsDir() {
		size, mtime = "-", "-"
	}
	who := ""
	if owner {
		uid, gid := t.wanted(e)
		who = fmt.Sprintf("%d %d ", uid, gid)
	}
	return fmt.Sprintf("%x %s %s %s%s", st.Mode, size, mtime, who, e.asked())
}

// mtimeOf writes a time with seven digits after the second, as the host's stat does, or a dash for them.
func mtimeOf(info fs.FileInfo, coarse bool) string {
	if coarse {
		return fmt.Sprintf("%d.-", info.ModTime().Unix())
	}
	return mtimeText(info.ModTime(), 7)
}

// mtimeText writes a time as stat does, in seconds with up to nine digits more, which are cut and not rounded.
func mtimeText(t time.Time, digits int) string {
	sec, nano, sign := t.Unix(), t.Nanosecond(), ""
	if sec < 0 {
		sign = "-"
		if sec = -sec; nano > 0 {
			sec, nano = sec-1, 1e9-nano
		}
	}
	return fmt.Sprintf("%s%d.%s", sign, sec, fmt.Sprintf("%09d", nano)[:digits])
}

// asked is how a host is asked about an entry: a directory by its name and a slash, so that a link to one counts as
// one. No name begins with a dash.
func (e *treeEntry) asked() string {
	if e.info.IsDir() {
		return "./" + e.name + "/"
	}
	return "./" + e.name
}

// wanted gives the owner and the group on the host.
func (t *Tree) wanted(e *treeEntry) (uid, gid int) {
	uid, gid = e.owner()
	if t.opts.NoUID {
		uid = 0
	}
	if t.opts.NoGID {
		gid = 0
	}
	return uid, gid
}

// listed is an entry as a host lists it: what stat says, and of a link where it leads.
func (t *Tree) listed(e *treeEntry, owner, coarse bool) []string {
	lines := []string{t.stat(e, owner, coarse)}
	if e.info.Mode()&fs.ModeSymlink != 0 {
		lines = append(lines, "link "+e.asked()+"//"+e.link)
	}
	return lines
}

// digest is the SHA-256 of the lines by which a host lists the whole tree, sorted.
func (t *Tree) digest(owner bool) string {
	var all []string
	for i := range t.entries {
		all = append(all, t.listed(&t.entries[i], owner, false)...)
	}
	lines := strings.Split(strings.Join(all, "\n"), "\n") // of a name with a newline, each
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// names lists all names as a host is asked about them, each ended by a NUL: of the entries, and with two slashes the
// directories that they are in and that are not sent.
func (t *Tree) names() string {
	var b strings.Builder
	seen := map[string]bool{}
	for i := range t.entries {
		e := &t.entries[i]
		b.WriteString(e.asked() + "\x00")
		if e.info.IsDir() {
			seen[e.name] = true
		}
	}
	for i := range t.entries {
		for dir := path.Dir(t.entries[i].name); !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			b.WriteString("./" + dir + "//\x00")
		}
	}
	return b.String()
}

// apart refuses what would be one file on a host because of links to directories there. The listing has a line for each
// directory when two are one: "dir ID//NAME".
func (t *Tree) apart(listing string) error {
	ids := map[string]string{} // of directories that are there, by name
	for l := range strings.Lines(listing) {
		if rest, ok := strings.CutPrefix(l, "dir "); ok {
			id, name, _ := strings.Cut(strings.TrimSuffix(rest, "\n"), "//")
			ids[path.Clean(name)] = id
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var place func(name string) string
	place = func(name string) string {
		if id := ids[name]; id != "" || name == "." {
			return id
		}
		return place(path.Dir(name)) + "/" + path.Base(name)
	}
	first := map[string]string{}
	for i := range t.entries {
		e := &t.entries[i]
		if e.info.IsDir() && ids[e.name] != "" {
			continue
		}
		at := place(path.Dir(e.name)) + "/" + path.Base(e.name)
		if before, twice := first[at]; twice {
			return fmt.Errorf("%s and %s would both be one there, since a link leads from one directory to the other; nothing was changed", before, e.name)
		}
		first[at] = e.name
	}
	return nil
}

// blocked refuses what cannot take its place: a host lists a directory under the name of a file or a link.
func (t *Tree) blocked(listing string) error {
	dirs := map[string]bool{}
	for l := range strings.Lines(listing) {
		if _, name, ok := strings.Cut(l, " ./"); ok && l[0] == '4' {
			dirs[strings.TrimSuffix(name, "\n")] = true
		}
	}
	for i := range t.entries {
		if e := &t.entries[i]; !e.info.IsDir() && dirs[e.name] {
			return fmt.Errorf("%s is a directory there, and %s is not; nothing was changed: take the directory away, or send it under another name", e.name, e.local)
		}
	}
	return nil
}

// tops gives the names under which all others are, or nothing if they are many.
func (t *Tree) tops() []string {
	var tops []string
	for _, e := range t.entries {
		top, _, _ := strings.Cut(e.name, "/")
		if slices.Contains(tops, top) {
			continue
		}
		if len(tops) == 20 {
			return nil
		}
		tops = append(tops, top)
	}
	return tops
}

// within gives the deepest directory that all is in and that is not sent itself; "" is the top.
func (t *Tree) within() string {
	in := path.Dir(t.entries[0].name)
	for _, e := range t.entries {
		for in != "." && !strings.HasPrefix(e.name, in+"/") {
			in = path.Dir(in)
		}
	}
	return strings.TrimPrefix(in, ".")
}

// gnu is "gnu" when what is wanted has something that only GNU tar unpacks.
func (t *Tree) gnu(want []bool) string {
	for i, e := range t.entries {
		if want[i] && (e.info.IsDir() || e.holes) {
			return "gnu"
		}
	}
	return ""
}

// missing says which entries a host's listing lacks, or has otherwise.
func (t *Tree) missing(listing string, owner bool) []bool {
	there := map[string]bool{}
	for _, l := range strings.Split(listing, "\n") {
		there[l] = true
	}
	want := make([]bool, len(t.entries))
	for i := range t.entries {
		lists := func(coarse bool) bool {
			all := strings.Join(t.listed(&t.entries[i], owner, coarse), "\n")
			return !slices.ContainsFunc(strings.Split(all, "\n"), func(l string) bool { return !there[l] }) // of a name with a newline, each
		}
		want[i] = !lists(false) && !lists(true)
	}
	return want
}

// whole adds what the wanted entries need: the first name of a file with several, and the directories they are in,
// whose times change with what is moved into them.
func (t *Tree) whole(want []bool) {
	dirs := map[string]bool{}
	for i := range t.entries {
		e := &t.entries[i]
		if want[i] && e.hard >= 0 {
			want[e.hard] = true
		}
	}
	for i := range t.entries {
		if want[i] {
			dirs[path.Dir(t.entries[i].name)] = true
		}
	}
	for i := range t.entries {
		want[i] = want[i] || t.entries[i].info.IsDir() && dirs[t.entries[i].name]
	}
}

// sizeOf counts the bytes of the wanted files.
func (t *Tree) sizeOf(want []bool) (n int64) {
	for i, e := range t.entries {
		if want[i] && e.info.Mode().IsRegular() && e.hard < 0 {
			n += e.info.Size()
		}
	}
	return n
}
