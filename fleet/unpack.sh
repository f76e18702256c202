# unpack.sh ROOT RUN tar|zstd WITHIN [gnu] < stream: unpack beside the place, then move what is new, and each file, into it.
# WITHIN is the deepest directory below ROOT that all is in. With gnu the stream has directories or sparse files.
# In the stream, tree/ is what was sent; after it come left, the files of it that are not to be put into place, if there are any, and
# dirs, its directories. All of it is unpacked below in/, so no name in it is one of ours; and what it says is somebody's word: no
# name in left and dirs may lead out of tree.
root=$1 name=.jarvis-$2 help=$(tar --help 2> /dev/null)
[ -z "$5" ] || tar --no-recursion --null -T /dev/null -cf - > /dev/null 2>&1 || {
  echo 'there is no GNU tar on this host; nothing was changed' >&2
  exit 1
}
# Directories that are made for this go again if nothing comes of it.
d=$root placed=
until [ -z "$d" ] || [ -e "$d" ] || [ -L "$d" ]; do
  case $d in */*) d=${d%/*} ;; *) d=. ;; esac
done
top=$(cd -- "${d:-/}" 2> /dev/null && pwd -P) || placed=1
mkdir -p -- "$root" && cd -- "$root" || exit 1
root=$(pwd -P)
unmake() {
  [ -z "$placed" ] || return 0
  made=$root
  while [ "$made" != "$top" ] && rmdir -- "$made" 2> /dev/null; do made=${made%/*}; done
}
# Who may not write there, as a plain user in / or anybody in a read-only one, unpacks further down.
base=$root rest=$4
while [ ! -w "$base" ] && [ -n "$rest" ] && [ -d "${base%/}/${rest%%/*}" ]; do
  base=${base%/}/${rest%%/*}
  case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
done
cd -- "$base" && base=$(pwd -P) || exit 1
stage=${base%/}/$name near=$name.near # near: the same on another file system
gone='rm -rf -- "$@" 2> /dev/null || { chmod -R u+rwx -- "$@"; rm -rf -- "$@"; }'
trap '[ ! -s "$stage/near" ] || xargs -0 sh -c "$gone" sh < "$stage/near"; sh -c "$gone" sh "$stage"; unmake' EXIT
trap 'exit 1' HUP INT TERM PIPE
# What a host that went down in the middle, a day ago or more, was left with. What is ours has a file that says so.
for old in .jarvis-[0-9]*; do
  [ ! -f "$old/of-jarvis" ] || [ -L "$old" ] || find "$old" -prune -type d -mtime +0 -exec rm -rf {} +
done
why=$(LC_ALL=C mkdir -m 700 -- "$stage" 2>&1) || {
  case $why in *': Permission denied') why="$base may not be written to by $(id -un 2> /dev/null || id -u)" ;; esac
  printf '%s\n' "$why" >&2
  exit 1
}
: > "$stage/of-jarvis" && mkdir -- "$stage/in" || exit 1
in=$stage/in
x=-p
case $help in *--xattrs-include*) x="$x --xattrs --xattrs-include=user.* --xattrs-include=security.capability --xattrs-include=system.posix_acl_*" ;; esac
attrs=${x#-p}
case $help in *--delay-directory-restore*) x="$x --delay-directory-restore" ;; esac # else what may not be written to cannot be filled
keep=
case $help in *--keep-directory-symlink*) keep=--keep-directory-symlink ;; esac
full='free() { df -P$1 . 2> /dev/null | awk "NR == 2 && \$2 > 0 { print \$4 }"; }
full() {
  free=$(free) inodes=$(free i)
  if [ "${free:-99}" -le 16 ]; then echo "no space is left in $1; nothing was changed" >&2
  elif [ "$inodes" = 0 ]; then echo "no inodes are left in $1; nothing was changed" >&2; fi
}'
eval "$full"
set -f
said=$(case $3 in
zstd) zstd -qdc | tar $x -C "$in" -xf - ;;
*) tar $x -C "$in" -xf - ;;
esac 2>&1) || {
  full "$root"
  printf '%s\n' "$said" >&2
  exit 1
}
[ -f "$in/dirs" ] || { echo 'the stream broke off; nothing was changed' >&2; exit 1; }
for f in tree left dirs; do
  [ ! -L "$in/$f" ] || { echo "$f is a link in the stream; nothing was changed" >&2; exit 1; }
done
mkdir -p -- "$in/tree" && cd -- "$in/tree" && tree=$(pwd -P) || exit 1
export tree
within='for f; do
  d=$f
  [ "$what" = dirs ] || case $f in */*) d=${f%/*} ;; *) d=. ;; esac
  [ "$d" != . ] || continue
  cd -P -- "$tree/$d" 2> /dev/null && [ "$PWD" = "$tree/$d" ] || {
    echo "$f leads out of what was sent; nothing was changed" >&2
    exit 255
  }
done'
for what in dirs left; do
  [ ! -s "$in/$what" ] || what=$what xargs -0 sh -c "$within" sh < "$in/$what" || exit 1
done
# What changed while it was read is not put into place.
[ ! -s "$in/left" ] || xargs -0 rm -f -- < "$in/left" || exit 1
# What directories are to be like, kept now: moving files out of them changes their times.
[ ! -s "$in/dirs" ] || tar $attrs --no-recursion --null -T "$in/dirs" -cf "$stage/dirs.tar" || exit 1
find . -type d -print0 > "$stage/all" || exit 1
# Is a place on another file system than the stage? Then mv(1) would remove the old file and copy the new one, which a full
# disk leaves half there. By number it shows but for mounts of the same one: those are in mountinfo, or behind a link.
here=$(stat -L -c %d -- "$stage" 2> /dev/null) &&
  [ "$(cd -- "$root" && xargs -0 stat -L -c %d -- < "$stage/all" 2> /dev/null | sort -u)" = "$here" ] && [ -r /proc/self/mountinfo ] || : > "$stage/far"
[ ! -r /proc/self/mountinfo ] || while read -r a a a a at a; do
  case $at in "${root%/}"/?*) ;; *) continue ;; esac
  case $at in *\\*) at=$(printf '%b' "$at") ;; esac # a space is \040 there
  at=${at#"${root%/}"/}
  if [ -d "$at" ] && [ ! -L "$at" ]; then
    : > "$stage/far"
  elif [ -e "$at" ] || [ -L "$at" ]; then
    echo "cannot replace ${root%/}/$at, where something is mounted; nothing was changed" >&2
    exit 1
  fi
done < /proc/self/mountinfo
me=$(id -u)
export me base root stage in near x attrs full
# Directories that are on both sides are walked, parents first; what is in them moves, a directory that is new there as a
# whole, by rename(2). A link to a directory is that directory. The first walk looks only: a name that is a directory on one
# side alone stops all before anything is moved. The second copies what goes to another file system beside its place there.
for step in look copy move; do
  [ $step != copy ] || [ -f "$stage/far" ] || continue
  xargs -0 sh -c '
step=$1; shift
eval "$full"
put() {
  case $step in
  copy) said=$(cp -a -- "$@" "$root/$d/$near/" 2>&1 && rm -rf -- "$@" 2>&1) || {
    (cd -- "$root/$d" && full "$root${d#.}")
    printf "%s\n" "$said" >&2
    return 1
  } ;;
  move) mv -f -- "$@" "$root/$d/" || {
    echo "some of the files may be in place, and others not" >&2
    return 1
  } ;;
  look) [ -w "$root/$d" ] || {
    echo "cannot write in $root${d#.}; nothing was changed" >&2
    return 1
  } ;;
  esac
}
# beside makes a place on the file system of a directory, unless rename(2) reaches it.
beside() {
  [ ! -d "$root/$d/$near" ] || return 0 # two links may lead to one directory
  printf "%s\\0" "$root/$d/$near" >> "$stage/near"
  if ln -- "$stage/of-jarvis" "$root/$d/$near" 2> /dev/null; then
    rm -f -- "$root/$d/$near"
    reached=1
  else
    mkdir -m 700 -- "$root/$d/$near" || exit 255
  fi
}
for d; do
  [ -d "$d" ] && [ -d "$root/$d" ] || continue
  from=$d
  case $step in
  look) [ ! -L "$root/$d" ] || : > "$stage/far" ;;
  copy)
    [ "$d" != . ] || [ "$base" != "$root" ] || continue
    reached= ;;
  move)
    [ -w "$d" ] || chmod u+w -- "$d" || exit 255
    [ ! -d "$root/$d/$near" ] || from=$root/$d/$near
    # Through a link tar does not say what the directory is to be like.
    like=
    [ ! -L "$root/$d" ] || ! grep -qzxF -- "${d#./}" "$in/dirs" || { like=$stage/like.tar && tar $attrs --no-recursion -C "$d" -cf "$like" . || exit 255; } ;;
  esac
  set --
  for f in "$from"/* "$from"/.[!.]* "$from"/..?*; do
    to=$root/$d/${f##*/}
    if [ -d "$f" ] && [ ! -L "$f" ]; then
      [ ! -d "$to" ] || continue
      if [ -e "$to" ] || [ -L "$to" ]; then
        echo "cannot overwrite non-directory $to with directory; nothing was changed" >&2
        exit 255
      fi
      [ $step != move ] || [ -w "$f" ] || chmod u+w -- "$f" || exit 255 # moving it changes its ".."
    elif [ ! -e "$f" ] && [ ! -L "$f" ]; then
      continue # the pattern itself
    elif [ -d "$to" ] && { [ ! -L "$to" ] || [ ! -L "$f" ]; }; then
      echo "cannot overwrite directory $to with non-directory; nothing was changed" >&2
      exit 255
    elif [ $step = look ] && [ -k "$root/$d" ] && [ -e "$to" ] && [ "$me" != 0 ] && [ ! -O "$to" ] && [ ! -O "$root/$d" ]; then
      echo "$to belongs to somebody else; nothing was changed" >&2
      exit 255
    fi
    if [ $step = copy ]; then
      [ $# -gt 0 ] || beside
      [ -z "$reached" ] || break
    fi
    set -- "$@" "$f"
    [ $# -lt 200 ] || { put "$@" || exit 255; set --; }
  done
  [ $# = 0 ] || put "$@" || exit 255
  [ $step = move ] || continue
  [ "$from" = "$d" ] || rmdir -- "$from"
  [ -z "$like" ] || tar $x -C "$root/$d" -xf "$like" || exit 255
done' sh $step < "$stage/all" || exit 1
done
placed=1
[ ! -f "$stage/dirs.tar" ] || tar $x $keep -C "$root" -xf "$stage/dirs.tar"
