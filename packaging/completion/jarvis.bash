# bash completion for jarvis; made by `jarvis completion bash`
_jarvis() {
	local cur=${COMP_WORDS[COMP_CWORD]} i verb= sub= after=0 first= flags= hosts= runs= files= words=
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--config | --server) ((++i)) ;;
		-*) ;;
		*)
			if [ -z "$verb" ]; then
				verb=${COMP_WORDS[i]}
			else
				[ $((after++)) -gt 0 ] || sub=${COMP_WORDS[i]}
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
	case $cur in
	-*)
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
		return
		;;
	esac
	[ "$after" -gt 0 ] || words=$first
	[ -z "$hosts" ] || words="$words $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
	[ -z "$runs" ] || words="$words $(jarvis status 2>/dev/null | sed -n 's/.*Run \([0-9][0-9]*\),.*/\1/p')"
	[ "${COMP_WORDS[COMP_CWORD - 1]}" != --config ] || words= files=yes
	COMPREPLY=($(compgen -W "$words" -- "$cur"; [ -z "$files" ] || compgen -f -- "$cur"))
}
complete -o filenames -F _jarvis jarvis
