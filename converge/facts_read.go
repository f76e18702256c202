package converge

// readFacts is for the host: POSIX sh and what busybox has. Each fact is an answer of the kind "fact"; what is not
// there is not answered, what is there and cannot be read is an answer with an exit code. Files come as they are:
// parseFacts reads them.
const readFacts = `# SECONDS COMMAND…: ended after that, where the host has what does it.
limit() { if timeout "$1" true 2> /dev/null; then timeout "$@"; else shift; "$@"; fi; }
(
PATH=$PATH:/usr/sbin:/sbin
tell() { [ -z "$2" ] || answer fact 0 "$1" "$2"; }
show() {
  for f in "$2" ${3-}; do
    [ -e "$f" ] || continue
    if out=$(cat -- "$f" 2>&1); then tell "$1" "$out"; else answer fact 1 "$1" "$out"; fi
    return
  done
}
there() { command -v "$1" > /dev/null 2>&1; }
tell uname "$(uname -n; uname -s; uname -r; uname -v; uname -m)"
tell fqdn "$(if there hostname; then limit 5 hostname -f; else limit 5 getent hosts "$(uname -n)" | awk '{ print $2; exit }'; fi 2> /dev/null)"
tell user "$(id -un 2> /dev/null || id -u)"
show machine-id /etc/machine-id
show os-release /etc/os-release /usr/lib/os-release
show redhat-release /etc/redhat-release
show online /sys/devices/system/cpu/online
tell cpus "$(grep -c '^processor' /proc/cpuinfo 2> /dev/null)"
tell model "$(sed -n 's/^model name[[:space:]]*: *//p' /proc/cpuinfo 2> /dev/null | head -n 1)"
grep -q '^flags.* hypervisor' /proc/cpuinfo 2> /dev/null && tell hypervisor yes
tell meminfo "$(sed -n '/^\(Mem\|Swap\)Total:/p' /proc/meminfo 2> /dev/null)"
tell links "$(for d in /sys/class/net/*/; do
  d=${d%/} mac= mtu=
  [ -r "$d/address" ] && read -r mac < "$d/address"
  [ -r "$d/mtu" ] && read -r mtu < "$d/mtu"
  [ ! -d "$d" ] || echo "${d##*/} ${mtu:-0} $mac"
done
[ -d /sys/class/net ] || sed -n '/:/s/^ *\([^:]*\):.*/\1 0/p' /proc/net/dev 2> /dev/null)"
if there ip; then
  if out=$(ip -o addr show 2>&1); then tell ip "$out"; else answer fact 1 ip "ip addr: $out"; fi
else
  tell fib "$(awk '/[|]--/ { a = $2 } /32 host LOCAL/ { print a }' /proc/net/fib_trie 2> /dev/null | sort -u)"
  show inet6 /proc/net/if_inet6
fi
tell route "$(awk '$2 == "00000000" || $3 == "00000000"' /proc/net/route 2> /dev/null)"
tell route6 "$(awk '$1 ~ /^0+$/ && $2 == "00" && $10 != "lo"' /proc/net/ipv6_route 2> /dev/null)"
mounts=/proc/1/mounts
[ -r "$mounts" ] && cat "$mounts" > /dev/null 2>&1 || mounts=/proc/self/mounts
show mounts "$mounts"
tell sizes "$(while read -r d m t _; do
  case $d:$t in
  /dev/*:* | *:overlay | *:tmpfs | *:zfs) s=$(stat -f -c '%b %S' -- "$(printf %b "$m")") && echo "$s $m" ;;
  esac
done < "$mounts" 2> /dev/null)"
there systemd-detect-virt && tell detect "$(systemd-detect-virt 2> /dev/null)"
tell container "$(cat /run/systemd/container 2> /dev/null || tr '\000' '\n' < /proc/1/environ 2> /dev/null | sed -n 's/^container=//p')"
[ ! -e /.dockerenv ] || tell docker yes
[ ! -e /run/.containerenv ] || tell podman yes
show xen /sys/hypervisor/type
show vendor /sys/class/dmi/id/sys_vendor
show product /sys/class/dmi/id/product_name
[ ! -d /run/systemd/system ] || tell systemd yes
[ ! -d /run/openrc ] || tell openrc yes
show comm /proc/1/comm
for m in apt-get dnf yum zypper apk pacman opkg; do
  if there $m; then tell manager $m; break; fi
done
show selinux /sys/fs/selinux/enforce
tell localtime "$(readlink /etc/localtime 2> /dev/null)"
show timezone /etc/timezone
:
)
(
own() { answer own "$@"; }
[ -n "$i" ] && [ -d "$i" ] || exit 0
if ! into "$i" 2> /dev/null || ! trusted; then own 1 "$i" "the folder $i belongs to somebody else than root, or others may write there: nothing in it is run${why:+ ($why)}"; exit 0; fi
for f in *; do
  [ -f "./$f" ] || continue
  case $f in *~ | *.bak | *.rpmsave | *.rpmnew | *.dpkg-*) continue ;; esac
  set -- $(stat -c '%u %a' -- "./$f")
  if { [ "$1" != 0 ] && [ "$1" != "$(id -u)" ]; } || [ "$((0$2 & 022))" != 0 ] || [ -L "./$f" ]; then
    own 1 "$i/$f" "$i/$f is a link, belongs to somebody else than root, or others may write it: it is not run"
    continue
  fi
  if [ -n "${open-}" ] && [ -x "./$f" ]; then
    own 1 "$i/$f" "$i/$f is a program, which cannot be kept from writing here (that needs root and unshare); TrustReads runs it all the same"
    continue
  fi
  if [ -x "./$f" ]; then out=$(limit 60 "./$f" < /dev/null; e=$?; printf .; exit $e); e=$?; else out=$(cat -- "./$f"; e=$?; printf .; exit $e); e=$?; fi
  out=${out%.}
  if [ "$e" != 0 ]; then answer failed "$e" "$i/$f" ""
  elif [ "${#out}" -gt 1048576 ]; then own 1 "$i/$f" "$i/$f says more than 1 MiB"
  else own 0 "${f%.*}" "$out"; fi
done
:
)`
