# shut PATH [NAME]: is PATH, a pattern or not, not there because of a directory on the way to it that the login may not enter, or, where
# a pattern looks in it, may not read? Then it says so, by NAME. ls knows why a link leads nowhere.
shut() (
  IFS= way= rest=$1
  case $1 in /*) ;; *) rest=./$1 ;; esac
  while :; do
    case $rest in */*) ;; *) exit 1 ;; esac
    way=$way${rest%%/*}/ rest=${rest#*/} may=entered
    for d in $way; do
      if [ -d "$d" ]; then
        if [ -x "$d" ]; then
          case ${rest%%/*} in *[*?[]*) ;; *) continue ;; esac
          [ ! -r "$d" ] || continue
          may=read
        fi
      else
        case $(LC_ALL=C ls -d -- "$d" 2>&1) in *': Permission denied') ;; *) continue ;; esac
      fi
      d=${d%/}
      printf '%s: %s may not be %s by %s\n' "${2:-$1}" "${d:-/}" $may "$(id -un 2> /dev/null || id -u)" >&2
      exit 0
    done
  done
)
