#compdef jarvis
# zsh completion for jarvis; made by `jarvis completion zsh`
_jarvis() {
	local i verb= sub= after=0 first= flags= hosts= runs= files=
	local -a verbs more
	verbs=(
		'serve:Run the server\: chat, the socket, and every run that is under way.'
		'demo:Watch a deployment in a world on this machine; then the prompt is yours.'
		'agent:Do the steps of a silo that only this machine reaches\: dials a server, opens nothing.'
		'step:Run one step by hand\: the clipboard on stdin, the new one on stdout.'
		'config:Check or show the configuration.'
		'init:Write a first configuration\: asks, or takes flags.'
		'doctor:Say what is wrong with this installation on this machine, and what to do.'
		'reload:Have the server read its configuration again.'
		'backup:Write the record and its keys into one sealed file, while the server runs.'
		'restore:Make a data folder from a backup, or check one.'
		'exec:Run a command on many hosts at once.'
		'upload:Send files to many hosts at once.'
		'sync:Send files and run a tool there that puts them in place.'
		'fetch:Bring files of hosts here.'
		'lock:Lock hosts against every other exec, sync and upload.'
		'completion:Print a shell'\''s completion.'
		'deploy:deploys the host, or the cluster of hosts, that the clipboard describes; with a time, begins then.'
		'redeploy:moves a host'\''s services away, deletes its machine, deploys it again and moves them back; with a time, begins then.'
		'destroy:deletes a host'\''s machine and what points at it; refuses while services point at it.'
		'forget:takes a host off the record, with its runs; touches no machine, and refuses while one is the host'\''s.'
		'import:puts hosts that are there already on record, from a list, known_hosts or an Ansible inventory; contacts none.'
		'adopt:takes a machine that is there already for the host'\''s, once a second person agrees.'
		'approve:lets go ahead what somebody else asked for, and what waits for a second person.'
		'deny:refuses what waits for a second person; the one who asked may take it back so.'
		'plan:says what deploy, redeploy or destroy would do, and does nothing; of a HOST on record alone, what redeploy would do.'
		'status:says where a host stands; without a name, lists what is under way.'
		'hosts:lists the hosts on record by name, 200 at a time.'
		'history:lists the runs of a host, newest first.'
		'log:shows what a host'\''s last run did, line by line.'
		'show:shows a host'\''s clipboard, secrets masked.'
		'retry:goes on at the failed stage, or at an earlier one; does the later stages of a host that is ready again.'
		'skip:goes on after the stage that failed or waits for a person; with at, only when that is the one.'
		'cancel:stops a run and says what it leaves standing; gives up an undo that is stuck, once a second person agrees.'
		'undo:takes back what a host'\''s last run did, last step first.'
		'hold:has nobody deploy, redeploy, retry, undo or destroy a host until `release`; what is under way goes on.'
		'release:ends a `hold`, whoever said it.'
		'drift:compares a host with what its deployment left, now; without a name, says what the looks by the clock found.'
		'steps:lists the steps that exist here, and the pipelines.'
		'run:runs one command on hosts of the record; its words reach it as they are, no shell reads them.'
		'task:lists the reviewed tasks in git; fetches them now; runs again, or calls done, what failed or has no known outcome.'
		'check:shows, runs, acknowledges, silences and defines the scheduled checks of hosts.'
		'checks:lists what is wrong with the hosts now; with a name, how that check or host stands.'
		'ack:says that you know of a problem\: nothing more is said of it until it ends, or the time is over; with was, only while it is no worse than that.'
		'nodes:lists the servers that share this record\: whether each lives, what it has in hand, and what it does for all.'
		'drain:has a server begin nothing any more, before it is stopped\: its runs go on at the others from their next step on.'
		'audit:shows the newest commands\: who, from where, what, and what came of it.'
		'token:makes, lists and revokes your tokens for the HTTP API; with silo, an admin makes one for an agent.'
		'page:gives a link that signs you in to my pages; lists and ends where you are signed in.'
		'whoami:says who I take you for, and what you may do.'
		'help:lists what you may say, or explains one command.'
		'version:says which version runs.'
	)
	for ((i = 2; i < CURRENT; i++)); do
		case $words[i] in
		--config | --server) ((++i)) ;;
		-*) ;;
		*)
			if [[ -z $verb ]]; then
				verb=$words[i]
			else
				[ $((after++)) -gt 0 ] || sub=$words[i]
			fi
			;;
		esac
	done
	case $verb in
	'')
		first="serve demo agent step config init doctor reload backup restore exec upload sync fetch lock completion deploy redeploy destroy forget import adopt approve deny plan status hosts history log show retry skip cancel undo hold release drift steps run task check checks ack nodes drain audit token page whoami help version" flags="--help --version --config --server" hosts= runs= files=
		;;
	serve)
		first="" flags="--verbose --new-database" hosts= runs= files=yes
		;;
	demo)
		first="" flags="--keep --world" hosts= runs= files=yes
		;;
	agent)
		first="" flags="--check --verbose" hosts= runs= files=yes
		;;
	step)
		first="" flags="--undo --plan --token" hosts= runs= files=yes
		;;
	config)
		first="check show" flags="" hosts= runs= files=
		[ "$sub" != check ] || flags="--online"
		[ "$sub" != show ] || flags=""
		;;
	init)
		first="" flags="--dir --drop-in --yes --set --secret" hosts= runs= files=yes
		;;
	doctor)
		first="" flags="" hosts= runs= files=yes
		;;
	reload)
		first="" flags="" hosts= runs= files=yes
		;;
	backup)
		first="" flags="--recipient --passphrase-file --replace" hosts= runs= files=yes
		;;
	restore)
		first="" flags="--check --database --identity --passphrase-file" hosts= runs= files=yes
		;;
	exec)
		first="" flags="--host --read-stdin --direct --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --verbose --json --group --serial --stdin --dir --root --shell --env --tty" hosts= runs= files=yes
		;;
	upload)
		first="" flags="--host --read-stdin --direct --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --verbose --json --group --root --relative --no-preserve-uid --no-preserve-gid --compress --dry-run" hosts= runs= files=yes
		;;
	sync)
		first="" flags="--host --read-stdin --direct --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --verbose --json --group --root --relative --no-preserve-uid --no-preserve-gid --compress --sync-cmd --arg --simple --no-upload --stdin --serial --shell" hosts= runs= files=yes
		;;
	fetch)
		first="" flags="--host --read-stdin --direct --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --verbose --json --group --to --force" hosts= runs= files=yes
		;;
	lock)
		first="" flags="--host --read-stdin --direct --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --verbose --json --group --root" hosts= runs= files=yes
		;;
	completion)
		first="bash zsh fish" flags="" hosts= runs= files=
		;;
	deploy)
		first="" flags="--json --no-wait --timeout --dry-run" hosts= runs= files=yes
		;;
	redeploy)
		first="" flags="--json --no-wait --timeout --dry-run" hosts=yes runs= files=yes
		;;
	destroy)
		first="" flags="--json --no-wait --timeout --dry-run" hosts=yes runs= files=yes
		;;
	forget)
		first="" flags="--json" hosts=yes runs= files=
		;;
	import)
		first="" flags="--format --dry-run --json" hosts= runs= files=yes
		;;
	adopt)
		first="" flags="--json --no-wait --timeout" hosts=yes runs= files=
		;;
	approve)
		first="" flags="--json --no-wait --timeout" hosts= runs=yes files=
		;;
	deny)
		first="" flags="--json --no-wait --timeout" hosts=yes runs=yes files=
		;;
	plan)
		first="redeploy destroy" flags="--json" hosts=yes runs= files=yes
		;;
	status)
		first="" flags="--json" hosts=yes runs=yes files=
		;;
	hosts)
		first="like" flags="--json" hosts= runs= files=
		;;
	history)
		first="" flags="--json" hosts=yes runs= files=
		;;
	log)
		first="" flags="--json --follow --timeout" hosts=yes runs= files=
		;;
	show)
		first="" flags="--json" hosts=yes runs= files=
		;;
	retry)
		first="" flags="--json --no-wait --timeout --from" hosts=yes runs= files=
		;;
	skip)
		first="" flags="--json --no-wait --timeout" hosts=yes runs= files=
		;;
	cancel)
		first="" flags="--json --no-wait --timeout" hosts=yes runs= files=
		;;
	undo)
		first="" flags="--json --no-wait --timeout" hosts=yes runs= files=
		;;
	hold)
		first="" flags="--json" hosts=yes runs= files=
		;;
	release)
		first="" flags="--json" hosts=yes runs= files=
		;;
	drift)
		first="" flags="--json" hosts=yes runs= files=
		;;
	steps)
		first="" flags="--json" hosts= runs= files=
		;;
	run)
		first="" flags="--json" hosts=yes runs= files=
		;;
	task)
		first="list show run retry done" flags="--json" hosts= runs= files=
		;;
	check)
		first="list show history metrics report stats run result ack unack silence unsilence downtimes actions defined define undefine" flags="--json --into --from --replace --dry-run" hosts=yes runs= files=yes
		;;
	checks)
		first="" flags="--json" hosts=yes runs= files=
		;;
	ack)
		first="" flags="--json" hosts=yes runs= files=
		;;
	nodes)
		first="" flags="--json" hosts= runs= files=
		;;
	drain)
		first="" flags="--json" hosts= runs= files=
		;;
	audit)
		first="" flags="--json" hosts= runs= files=
		;;
	token)
		first="list new revoke" flags="--json" hosts= runs= files=
		;;
	page)
		first="link list end" flags="--json" hosts= runs= files=
		;;
	whoami)
		first="" flags="--json" hosts= runs= files=
		;;
	help)
		first="" flags="--json" hosts= runs= files=
		;;
	version)
		first="" flags="--json" hosts= runs= files=
		;;
	esac
	if [[ $words[CURRENT-1] == --config ]]; then
		_files
		return
	fi
	if [[ $words[CURRENT] == -* ]]; then
		compadd -- ${=flags}
		return
	fi
	if [[ -z $verb ]]; then
		_describe verb verbs
		return
	fi
	[ "$after" -gt 0 ] || more=(${=first})
	[ -z "$hosts" ] || more+=(${(f)"$(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"})
	[ -z "$runs" ] || more+=(${(f)"$(jarvis status 2>/dev/null | sed -n 's/.*Run \([0-9][0-9]*\),.*/\1/p')"})
	compadd -a more
	[ -z "$files" ] || _files
}
_jarvis "$@"
