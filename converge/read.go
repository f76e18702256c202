package converge

import (
	"fmt"
	"strings"
)

// readers write the script that reads all items of a kind. What it does not answer for is not there: an empty reading.
var readers = map[string]func(items []string) string{
	"script": each(`out=$(sh -c "$i" < /dev/null; e=$?; printf .; exit $e); e=$?; answer script $e "$i" "${out%.}"`),
	"cat": each(`(
  reach "$i" 2> /dev/null; e=$?
  [ "$e" != 3 ] || answer cat 3 "$i" "$why"
  [ "$e" = 0 ] && [ -f "./$n" ] || exit 0
  size=$(($(wc -c < "./$n")))
  if [ "$size" -gt 1048576 ]; then answer cat 1 "$i" "it is larger than 1 MiB"; else
    out=$(cat -- "./$n" && printf .) || exit
    out=${out%.}
    if [ "${#out}" -eq "$size" ]; then answer cat 0 "$i" "$out"; else answer cat 2 "$i" "it holds NUL bytes"; fi
  fi
) || exit`),
	"stat": all(`stat -c '%f %U %G %s %u %g %n' -- "$@" 2> /dev/null | while read -r f u g s i j n; do answer stat 0 "$n" "$f $u $g $s $i $j"; done`),
	"sum":  all(`sha256sum -- "$@" 2> /dev/null | while read -r h n; do answer sum 0 "$n" "$h"; done`),
	"link": each(`if [ -L "$i" ]; then answer link 0 "$i" "$(readlink -- "$i")"; fi`),
	// Home and keys of a user. A NUL is no part of a line that sshd reads, and dropped.
	"keys": each(`h=$(getent passwd "$i" | cut -d: -f6); [ -z "$h" ] || answer keys 0 "$i" "$h
$([ ! -f "$h/.ssh/authorized_keys" ] || as "$i" cat -- "$h/.ssh/authorized_keys" 2> /dev/null | tr -d '\000')"`),
	// "installed VERSION", "held VERSION", "held" of what is not there, "rpm VERSION" for each that is there,
	// "provided" by another one, where there is none of that name.
	"package": all(`if command -v dpkg-query > /dev/null; then
  dpkg-query -W -f '${db:Status-Abbrev}|${Package}|${Architecture}|${Version}|${Provides}\n' 2> /dev/null |
  awk -F'|' -v native="$(dpkg --print-architecture)" '
    BEGIN { for (i = 2; i < ARGC; i++) { want[ARGV[i]]; ARGV[i] = "" } }
    { there = substr($1, 2, 2) == "i "; held = substr($1, 1, 1) == "h"; here = $3 == native || $3 == "all" }
    there || held {
      state = (held ? "held" : "installed") "|" (there ? $4 : "")
      if (here && $2 in want) have[$2] = state
      if (here && ($2 ":" native) in want) have[$2 ":" native] = state
      if (($2 ":" $3) in want) have[$2 ":" $3] = state
    }
    there && here { c = split($5, p, / *, */); for (i = 1; i <= c; i++) { sub(/[ (:].*/, "", p[i]); if (p[i] in want) provided[p[i]] } }
    END { for (n in have) print n "|" have[n]; for (n in provided) if (!(n in have)) print n "|provided|" }
  ' - "$@" | while IFS='|' read -r n s v; do
    if [ "$s" = provided ]; then
      apt-cache -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= policy -- "$n" 2> /dev/null | grep -q '^  Candidate: [^(]' && continue
    fi
    answer package 0 "$n" "$s $v"
  done
elif command -v rpm > /dev/null; then
  for i; do
    q=$i
    case $i in *:*) q=${i%%:*}.${i#*:} ;; esac
    if v=$(rpm -q --qf 'rpm %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n' -- "$q" 2> /dev/null); then answer package 0 "$i" "$v"
    elif rpm -q --whatprovides -- "$q" > /dev/null 2>&1; then
      # One that is called so is meant, where the lists that are here have one. dnf wants to write a log and locks: where nobody sees it.
      real=$(unshare --mount --propagation private sh -c 'mount -t tmpfs none /var/log && mkdir /var/log/c && ln -s /var/cache/dnf/* /var/log/c && rm -f /var/log/c/*.pid &&
        exec dnf -q -C --setopt=cachedir=/var/log/c repoquery --qf "%{name}" -- "$1"' sh "$q" 2> /dev/null) && [ -n "$real" ] && continue
      answer package 0 "$i" provided
    fi
  done
fi`),
	"manager": each(`for m in apt-get dnf yum; do if command -v $m > /dev/null; then answer manager 0 "$i" $m; break; fi; done`),
	// What dnf's versionlock keeps as it is.
	"locks": each(`for f in /etc/dnf/versionlock.toml /etc/dnf/plugins/versionlock.list; do
  if [ -r "$f" ]; then answer locks 0 "$i" "$(cat -- "$f")"; break; fi
done`),
	"service": all(`if [ -d /run/systemd/system ]; then
  for i; do
    e=$(systemctl is-enabled -- "$i" 2> /dev/null)
    # It is as those are that are enabled with it; an instance, or the unit behind another name, is none of ours.
    if [ "$e" = indirect ]; then
      also=$(systemctl cat -- "$i" 2> /dev/null | sed -n 's/^Also=//p')
      [ -z "$also" ] || { e=enabled; for u in $also; do systemctl -q is-enabled -- "$u" 2> /dev/null || e=disabled; done; }
    fi
    answer service 0 "$i" "Enabled=$e
$(systemctl show -p ActiveState -p Type -p RemainAfterExit -p NeedDaemonReload -- "$i" 2> /dev/null)"
  done
else
  for i; do
    [ -x "/etc/init.d/$i" ] || continue
    a=inactive e=disabled
    service "$i" status > /dev/null 2>&1 && a=active
    for l in /etc/rc[2-5].d/S[0-9][0-9]"$i"; do [ ! -e "$l" ] || e=enabled; done
    answer service 0 "$i" "Enabled=$e
ActiveState=$a"
  done
fi`),
	"facts":  each(readFacts),
	"cron":   each(`if out=$(crontab -l -u "$i" 2> /dev/null && printf .); then answer cron 0 "$i" "${out%.}"; fi`),
	"sysctl": each(`f=/proc/sys/$i; if [ -r "$f" ]; then answer sysctl 0 "$i" "$(cat "$f")"; fi`),
	// All that sets parameters at boot, in the order in which it is read: "NAME PATH LINE". Of files with one name the
	// first counts.
	"sysctls": each(`answer sysctls 0 "$i" "$(
for d in /etc/sysctl.d /run/sysctl.d /usr/local/lib/sysctl.d /usr/lib/sysctl.d /lib/sysctl.d; do
  for f in "$d"/*.conf; do [ ! -e "$f" ] || printf '%s %s\n' "${f##*/}" "$f"; done
done | sort -s -u -k 1,1 | while read -r n f; do
  [ ! -f "$f" ] || sed -n "s|^[[:space:]]*-\{0,1\}[[:space:]]*\([A-Za-z0-9].*=.*\)|$n $f \1|p" "$f" 2> /dev/null
done)"`),
	"owed":   each(owedDir + `answer owed 0 "$i" "$(for f in "$owed"/*; do [ ! -f "$f" ] || { cat -- "$f"; echo; }; done)"`),
	"mounts": each(`answer mounts 0 "$i" "$(cat /proc/1/mounts 2> /dev/null || cat /proc/self/mounts)"`),
	// "empty", or the commit, where it is from, and then the lines of what is edited.
	"git": each(`if [ -d "$i/.git" ]; then
  g() { as "$(stat -c %U -- "$i")" git -c safe.directory='*' --no-optional-locks -C "$i" "$@" 2> /dev/null; }
  answer git 0 "$i" "$(g rev-parse -q --verify HEAD) $(g config remote.origin.url)
$(g status --porcelain --untracked-files=no --ignore-submodules=untracked || echo 'git status fails')
$(g submodule status --recursive | grep '^[-+U]')"
elif [ -d "$i" ] && [ ! -L "$i" ] && [ -z "$(ls -A -- "$i" 2> /dev/null || echo x)" ]; then answer git 0 "$i" empty
fi`),
	"shadow": each(`s=$(getent shadow "$i") && answer shadow 0 "$i" "$(printf %s "$s" | cut -d: -f2)"`),
}

// each runs a script for every item, as $i.
func each(script string) func([]string) string {
	return func(items []string) string { return "for i in " + quoteAll(items) + "; do " + script + "; done\n" }
}

// all runs a script once, with the items as arguments.
func all(script string) func([]string) string {
	return func(items []string) string { return "set -- " + quoteAll(items) + "\n" + script + "\n" }
}

func quoteAll(items []string) string {
	q := make([]string, len(items))
	for i, s := range items {
		q[i] = quote(s)
	}
	return strings.Join(q, " ")
}

// quote writes a word that every POSIX shell reads as s.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// checkPath refuses what is no absolute path of ordinary characters.
func checkPath(p string) error {
	if !strings.HasPrefix(p, "/") || p == "/" || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "\n\\\x00") || strings.Contains(p, "/../") || strings.Contains(p, "//") {
		return fmt.Errorf("the path %q must be absolute and plain", p)
	}
	return nil
}

// checkName refuses what a user, group, package or unit cannot be called.
func checkName(what, name string) error {
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\n\\:/\x00") {
		return fmt.Errorf("%q is no name of a %s", name, what)
	}
	return nil
}
