# manifest.sh ROOT OWNED PLAIN [TOP…] < names: what of the named files is there? When none of TOP is, nothing is.
# First line: "same", or "owned", "plain" or "none", then "zstd" if the host has it. After owned and plain the listing: what stat
# says (of a time seven digits below the second, or a dash where the file system keeps none), "link NAME//TARGET" of each link,
# and, if two of the directories are one, "dir ID//NAME" of each.
# OWNED and PLAIN are the SHA-256 of the sorted listing we hope for, with owners and without. A name that ends in two slashes is
# of a directory that is not sent.
z=; command -v zstd > /dev/null 2>&1 && z=zstd
cd -- "$1" 2> /dev/null || { echo "none $z"; exit 0; }
export LC_ALL=C format='%.9Z %f %s %.7Y %n'
want=$3 what=plain
[ "$(id -u)" = 0 ] && format='%.9Z %f %s %.7Y %u %g %n' want=$2 what=owned
shift 3
[ $# = 0 ] || {
  for top; do
    if [ -e "$top" ] || [ -L "$top" ]; then set --; fi
  done
  [ $# = 0 ] || { echo "none $z"; exit 0; }
}
command -v sha256sum > /dev/null 2>&1 && stat --printf= . 2> /dev/null || { echo "none $z"; exit 0; }
list=$(xargs -0 sh -c 'stat --printf="$format\n" -- "$@"
find "$@" -maxdepth 0 "(" -type l -printf "link %p//%l\n" ")" -o "(" -type d -printf "dir %D:%i//%p\n" ")"' sh 2> /dev/null |
  sed -E '/^[0-9]+(\.0+)? [0-9a-f]/s/^[^ ]+ ([0-9a-f]{4} [0-9]+ -?[0-9]+)(\.0+)? /\1.- /
s/^[0-9]+\.[0-9]+ //
s/^(4[0-9a-f]{3}) [0-9]+ [^ ]+ /\1 - - /
/^[0-9a-f]{4} .*\/\/$/d' | sort)
files=$(printf '%s\n' "$list" | grep -v '^dir ')
have=$(printf %s "$files" | sha256sum)
if [ -n "$(printf '%s\n' "$list" | sed -n 's/^dir \([^/]*\).*/\1/p' | uniq -d)" ]; then
  files=$list
elif [ "${have%% *}" = "$want" ]; then
  echo "same $z"
  exit 0
fi
echo "$what $z"
printf '%s\n' "$files"
