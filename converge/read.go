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
	"stat": all(`stat -c '%f %U %G %s %n' -- "$@" 2> /dev/null | while read -r f u g s n; do answer stat 0 "$n" "$f $u $g $s"; done`),
	"sum":  all(`sha256sum -- "$@" 2> /dev/null | while read -r h n; do answer sum 0 "$n" "$h"; done`),
	"link": each(`if [ -L "$i" ]; then answer link 0 "$i" "$(readlink -- "$i")"; fi`),
	// Home and keys of a user. A NUL is no part of a line that sshd reads, and dropped.
	"keys": each(`h=$(getent passwd "$i" | cut -d: -f6); [ -z "$h" ] || answer keys 0 "$i" "$h
$([ ! -f "$h/.ssh/authorized_keys" ] || as "$i" cat -- "$h/.ssh/authorized_keys" 2> /dev/null | tr -d '\000')"`),
	"package": all(`if command -v dpkg-query > /dev/null; then
  dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' -- "$@" 2> /dev/null | while read -r s n v; do
    case $s in ii|hi) answer package 0 "$n" "$v" ;; esac
  done
elif command -v rpm > /dev/null; then
  for i; do v=$(rpm -q --qf '%{VERSION}-%{RELEASE}' -- "$i" 2> /dev/null) && answer package 0 "$i" "$v"; done
fi`),
	"manager": each(`for m in apt-get dnf yum; do if command -v $m > /dev/null; then answer manager 0 "$i" $m; break; fi; done`),
	"service": all(`if [ -d /run/systemd/system ]; then
  for i; do answer service 0 "$i" "systemd $(systemctl is-active -- "$i" 2> /dev/null) $(systemctl is-enabled -- "$i" 2> /dev/null)"; done
else
  for i; do
    [ -x "/etc/init.d/$i" ] || continue
    a=inactive e=disabled
    service "$i" status > /dev/null 2>&1 && a=active
    for l in /etc/rc[2-5].d/S[0-9][0-9]"$i"; do [ ! -e "$l" ] || e=enabled; done
    answer service 0 "$i" "sysv $a $e"
  done
fi`),
	"cron":   each(`if out=$(crontab -l -u "$i" 2> /dev/null && printf .); then answer cron 0 "$i" "${out%.}"; fi`),
	"sysctl": each(`f=/proc/sys/$(printf %s "$i" | tr . /); if [ -r "$f" ]; then answer sysctl 0 "$i" "$(cat "$f")"; fi`),
	"owed":   each(owedDir + `answer owed 0 "$i" "$(for f in "$owed"/*; do [ ! -f "$f" ] || { cat -- "$f"; echo; }; done)"`),
	"mounts": each(`answer mounts 0 "$i" "$(cat /proc/1/mounts 2> /dev/null || cat /proc/self/mounts)"`),
	"git": each(`if [ -d "$i/.git" ]; then
  g() { as "$(stat -c %U -- "$i")" git -c safe.directory='*' -C "$i" "$@"; }
  answer git 0 "$i" "$(g rev-parse HEAD 2> /dev/null) $(g config remote.origin.url)"
fi`),
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

// checkName refuses what a user, group, package or unit can not be called.
func checkName(what, name string) error {
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\n\\:/\x00") {
		return fmt.Errorf("%q is no name of a %s", name, what)
	}
	return nil
}
