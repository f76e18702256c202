# unpack.sh ROOT RUN tar|zstd < stream: unpack beside the place, then move what is new, and each file, into it.
root=$1 stage=.jarvis-$2
mkdir -p -- "$root" && cd -- "$root" || exit 1
root=$(pwd -P)
export root
trap 'rm -rf -- "$root/$stage" 2> /dev/null || { chmod -R u+rwx -- "$root/$stage"; rm -rf -- "$root/$stage"; }' EXIT
trap 'exit 1' HUP INT TERM PIPE
# What a host that went down in the middle, a day ago or more, was left with.
for old in .jarvis-[0-9]*; do
  [ ! -d "$old" ] || find "$old" -prune -type d -mtime +0 -exec rm -rf {} +
done
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
cd -- "$stage" || exit 1
[ -f .jarvis-dirs ] || { echo 'the stream broke off; nothing was changed' >&2; exit 1; }
# What directories are to be like, kept now: moving files out of them changes their times.
[ ! -s .jarvis-dirs ] || tar --no-recursion --null -T .jarvis-dirs -cf .jarvis-dirs.tar || exit 1
find . -type d -print0 > .jarvis-all || exit 1
# Directories that are on both sides are walked, parents first; what is in them moves, a directory that is new there as a
# whole, by rename(2). The first walk looks only: a name that is a directory on one side alone stops all before anything
# is moved.
for step in look move; do
  xargs -0 sh -c '
step=$1; shift
for d; do
  [ -d "$d" ] && [ -d "$root/$d" ] || continue
  [ $step = look ] || [ -w "$d" ] || chmod u+w -- "$d" || exit 255
  set --
  for f in "$d"/* "$d"/.[!.]* "$d"/..?*; do
    case $f in ./.jarvis-*) continue ;; esac
    if [ -d "$f" ] && [ ! -L "$f" ]; then
      [ ! -d "$root/$f" ] || continue
      if [ -e "$root/$f" ] || [ -L "$root/$f" ]; then
        echo "cannot overwrite non-directory $root/${f#./} with directory; nothing was changed" >&2
        exit 255
      fi
      [ $step = look ] || [ -w "$f" ] || chmod u+w -- "$f" || exit 255 # moving it changes its ".."
    elif [ ! -e "$f" ] && [ ! -L "$f" ]; then
      continue # the pattern itself
    elif [ -d "$root/$f" ] && [ ! -L "$root/$f" ]; then
      echo "cannot overwrite directory $root/${f#./} with non-directory; nothing was changed" >&2
      exit 255
    fi
    [ $step = move ] || continue
    set -- "$@" "$f"
    [ $# -lt 200 ] || { mv -f -- "$@" "$root/$d/" || exit 255; set --; }
  done
  [ $# = 0 ] || mv -f -- "$@" "$root/$d/" || exit 255
done' sh $step < .jarvis-all || exit 1
done
[ ! -f .jarvis-dirs.tar ] || tar $x -C "$root" -xf .jarvis-dirs.tar
