# manifest.sh ROOT OWNED PLAIN [TOP…] < names: what of the named files is there? When none of TOP is, nothing is.
# First line: "same", or "owned", "plain" or "none", then "zstd" if the host has it. After owned and plain the listing.
# OWNED and PLAIN are the SHA-256 of the listing we hope for, with owners and without.
z=; command -v zstd > /dev/null 2>&1 && z=zstd
cd -- "$1" 2> /dev/null || { echo "none $z"; exit 0; }
format='%f %s %Y %n' want=$3 what=plain
[ "$(id -u)" = 0 ] && format='%f %s %Y %u %g %n' want=$2 what=owned
shift 3
[ $# = 0 ] || {
  for top; do
    if [ -e "$top" ] || [ -L "$top" ]; then set --; fi
  done
  [ $# = 0 ] || { echo "none $z"; exit 0; }
}
command -v sha256sum > /dev/null 2>&1 && stat --printf= . 2> /dev/null || { echo "none $z"; exit 0; }
list=$(xargs -0 stat --printf="$format\n" -- 2> /dev/null | sed -E 's/^(4[0-9a-f]{3}) [0-9]+ [0-9]+ /\1 - - /')
have=$(printf %s "$list" | sha256sum)
[ "${have%% *}" = "$want" ] && { echo "same $z"; exit 0; }
echo "$what $z"
printf '%s\n' "$list"
