package converge

import "strings"

// A script of root's that names a path below a folder of somebody else's goes where that one leads it: they can put a
// link there, at any moment, to a place that only root may change. So a script comes to a folder step by step, and
// stays in it; from there on it uses names without a slash, and none of them through a link. A link on the way is
// followed only where nobody but root, or whoever we are, can have put it.

// walk is for scripts. `into DIR` goes to a folder, and makes what is missing when $make is set; `reach FILE` goes to
// the folder where a file is, and sets $n to its name there. Both give 3 and set $why when a link must not be followed.
const walk = `make= links=0 why=
refuse() { why=$1; echo "$1" >&2; return 3; }
# Nobody but root and us can put anything into the folder where we are.
trusted() {
  set -- $(stat -c '%u %a' .)
  { [ "$1" = 0 ] || [ "$1" = "$(id -u)" ]; } && [ "$((0$2 & 022))" = 0 ]
}
# Sets $to to where a link leads.
follow() {
  trusted || refuse "$(pwd -P)/$1 is a link that somebody else than root can have put there, and is not followed" || return
  links=$((links + 1))
  [ "$links" -le 40 ] || refuse "$(pwd -P)/$1 is one of too many links" || return
  to=$(readlink -- "./$1")
}
into() {
  cd / || return
  left=$1
  while [ -n "$left" ]; do
    c=${left%%/*}
    case $left in */*) left=${left#*/} ;; *) left= ;; esac
    case $c in
    '' | .) continue ;;
    ..) cd -P .. || return; continue ;;
    esac
    if [ -L "./$c" ]; then
      follow "$c" || return
      case $to in /*) cd / ;; esac
      left=$to/$left
      continue
    fi
    [ -z "$make" ] || [ -e "./$c" ] || mkdir -- "./$c" || return
    at=$(stat -c '%d:%i' -- "./$c" 2> /dev/null) || { echo "there is no $c in $(pwd -P)" >&2; return 1; }
    cd -P -- "./$c" || return
    [ "$(stat -c '%d:%i' .)" = "$at" ] || refuse "the folder $c became another one just now" || return
  done
}
reach() {
  links=0
  into "${1%/*}" || return
  n=${1##*/}
  while [ -L "./$n" ]; do
    follow "$n" || return
    n=${to##*/}
    case $to in
    /*) into "${to%/*}" || return ;;
    */*) into "$(pwd -P)/${to%/*}" || return ;;
    esac
  done
}
`

// folderOf gives the script that goes to the folder where a path is, and the path's name there.
func folderOf(path string) (script, name string) {
	i := strings.LastIndexByte(path, '/')
	return walk + "into " + quote(path[:i]) + " || exit\n", quote("./" + path[i+1:])
}

// replace gives a script that puts a file or link, made by a script as `new`, under the name $n of the folder where it
// is: by rename(2), so that it is whole at any moment. It is made in a folder that is ours alone: in that of somebody
// else they could put a link under our hands.
func replace(build string) string {
	return `w=$(mktemp -d ./.converge.XXXXXX) && cd -P -- "$w" || exit
trap 'cd .. && rm -rf -- "$w"' EXIT
case $(stat -c '%u %a' .) in "$(id -u) 700" | "$(id -u) 2700") ;; *) echo "the folder $w became another one just now" >&2; exit 1 ;; esac
` + build + `
mv -fT -- new "../$n"`
}

// become is for scripts: `as USER COMMAND…` runs it as somebody. What is theirs they may change under root's hands: so
// nothing of root's works on it.
const become = `as() {
  who=$(id -un -- "$1" 2> /dev/null) || who=$1 # it may be a number
  shift
  if [ "$(id -u)" = "$(id -u -- "$who")" ]; then "$@"; else runuser -u "$who" -- "$@"; fi
}
`
