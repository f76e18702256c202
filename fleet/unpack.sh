# unpack.sh ROOT RUN tar|zstd < stream: unpack beside the place, then move each file into it.
root=$1 stage=.jarvis-$2
mkdir -p -- "$root" && cd -- "$root" || exit 1
root=$(pwd -P)
export root
trap 'rm -rf -- "$root/$stage"' EXIT
trap 'exit 1' HUP INT TERM PIPE
mkdir -m 700 -- "$stage" || exit 1
x=-p
help=$(tar --help 2> /dev/null)
case $help in *--xattrs-include*) x="$x --xattrs --xattrs-include=user.* --xattrs-include=security.capability" ;; esac
case $help in *--delay-directory-restore*) x="$x --delay-directory-restore" ;; esac # else what may not be written to can not be filled
set -f
said=$(case $3 in
zstd) zstd -qdc | tar $x -C "$stage" -xf - ;;
*) tar $x -C "$stage" -xf - ;;
esac 2>&1) || {
  free=$(df -P . 2> /dev/null | awk 'NR == 2 { print $4 }')
  [ "${free:-99}" -gt 16 ] || echo "no space is left in $root; nothing was changed" >&2
  printf '%s\n' "$said" >&2
  exit 1
}
set +f
cd -- "$stage" || exit 1
[ -f .jarvis-dirs ] || { echo 'the stream broke off; nothing was changed' >&2; exit 1; }
# What directories are to be like, kept now: moving files out of them changes their times.
[ -s .jarvis-dirs ] && { tar --no-recursion --null -T .jarvis-dirs -cf .jarvis-dirs.tar || exit 1; }
# A name that is a directory here and a file there, or the other way round, stops all before anything is moved.
find . -mindepth 1 -type d -exec sh -c 'cd -- "$root" && for d; do [ -d "$d" ] || mkdir -- "$d" || exit 1; done' sh {} + || exit 1
# All files of a directory by one mv. ({""} is what the inner find is to see as its own.)
find . -type d -exec sh -c '
for d; do
  find "$d" -mindepth 1 -maxdepth 1 ! -type d ! -path "./.jarvis-dirs*" -exec sh -c "d=\$1; shift; exec mv -f -- \"\$@\" \"\$root/\$d/\"" sh "$d" {""} + || exit 1
done' sh {} + || exit 1
[ ! -f .jarvis-dirs.tar ] || tar $x -C "$root" -xf .jarvis-dirs.tar
