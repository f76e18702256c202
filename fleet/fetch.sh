# fetch.sh PATH… > stream: packs files and directories, each by its last part. A PATH that is not there and has *, ? or [ is a
# pattern; nothing else in it means anything to this shell. Ends with 1 when tar warns, with 2 when it could not read all (the last
# line then says as whom it read), with 3 when nothing is packed, and with 4 when that is because the login may not (shut.sh).
IFS= several=
[ $# = 1 ] || several=1
here=$(pwd) || here=.
nl='
'
for p; do
  shift
  if [ -e "$p" ] || [ -L "$p" ]; then
    set -- "$@" "$p"
    continue
  fi
  case $p in *[*?[]*) ;; *) ! shut "$p" || exit 4; printf '%s: no such file\n' "$p" >&2; exit 3 ;; esac
  found=
  for f in $p; do
    case $f in */. | */..) continue ;; esac
    [ -e "$f" ] || [ -L "$f" ] || continue
    found=1
    set -- "$@" "$f"
  done
  [ "$found" ] || { ! shut "$p" || exit 4; printf '%s: no file there has such a name\n' "$p" >&2; exit 3; }
done
gnu=
case $(tar --help 2>&1) in *--sparse*) gnu=1 ;; esac
seen=$nl last=
for p; do
  shift
  while :; do
    case $p in ?*/) p=${p%/} ;; *) break ;; esac
  done
  case $p in /*) ;; *) p=$here/$p ;; esac
  if [ "$several" ]; then
    case $seen in *"$nl$p$nl"*) continue ;; esac
    seen=$seen$p$nl
  fi
  d=${p%/*} b=${p##*/}
  if [ "${d:=/}" != "$last" ]; then
    [ -z "$last" ] || [ "$gnu" ] || { echo 'there is no GNU tar, so all must be in one directory' >&2; exit 3; }
    last=$d
    set -- "$@" -C "$d"
  fi
  set -- "$@" "./$b"
done
export LC_ALL=C # what it says is read
tar -c ${gnu:+-S} -f - "$@"
how=$?
[ $how -le 128 ] || kill -$((how - 128)) $$
[ $how = 0 ] || [ "$gnu" ] || how=2 # others have no status for a warning
[ $how -lt 2 ] || printf '\nit was read as %s\n' "$(id -un 2> /dev/null || id -u)" >&2
exit $how
