# Ends all processes that carry a mark in their environment: TERM, and after two seconds KILL. Signals over SSH (RFC 4254 section 6.9)
# are sent too, but OpenSSH takes none for root, and none arrives after sudo.
# With "plain": and the sessions of our own connection in which nothing carries a mark of ours. A host that takes no
# environment from us runs a plain line without one.
# The mark comes as its name and its value apart: sudo writes what it runs into SUDO_COMMAND, and we would find ourselves by it.
# Each line tells that it is under way: who waits gives up a host that says nothing.
echo begins
mark="$1=$2"
all() { sed -n 's/^\([0-9]*\) (.*) [A-Za-z] \([0-9]*\) [0-9]* \([0-9]*\) .*/\1 \2 \3/p' /proc/[0-9]*/stat 2>/dev/null; }
marked() { grep -ls "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
sessions=
if [ "$3" = plain ]; then
	sessions=$(all | awk -v me=$$ -v ours=" $(marked JARVIS_RUN= | tr '\n' ' ') " '
		{ parent[$1] = $2; session[$1] = $3; if (index(ours, " " $1 " ")) known[$3] = 1 }
		END {
			server = parent[session[me]]
			for (p in parent) if (server > 1 && parent[p] == server && session[p] == p && p != session[me] && !(p in known)) print p
		}' | tr '\n' ' ')
fi
find_all() {
	marked "$mark"
	[ -n "$sessions" ] && all | awk -v these=" $sessions " 'index(these, " " $3 " ") { print $1 }'
}
p=$(find_all)
[ -n "$p" ] || { sleep 0.2; p=$(find_all); }
[ -n "$p" ] || exit 0
kill -TERM $p 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do
	sleep 0.2
	echo waits
	p=$(find_all)
	[ -n "$p" ] || exit 0
done
for i in 1 2 3 4 5; do # a shell whose child was killed before it has begun another by then
	kill -KILL $p 2>/dev/null
	echo kills
	sleep 0.1
	p=$(find_all)
	[ -n "$p" ] || exit 0
done
