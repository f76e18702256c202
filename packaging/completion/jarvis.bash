# bash completion for jarvis; made by `jarvis completion bash`
_jarvis() {
	local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words= hosts=
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "serve demo step config exec upload sync fetch lock completion deploy redeploy destroy approve deny plan status hosts history log show retry skip cancel undo steps run task check checks ack audit token whoami version --help --config --server" -- "$cur"))
		return
	fi
	case $verb in
	serve) words="--verbose --new-database" ;;
	demo) words="--keep" ;;
	step) words="--undo --plan --token" hosts=yes ;;
	config) words="check show" ;;
	exec) words="--host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --serial --stdin --dir --env --direct --tty" ;;
	upload) words="--host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --root --relative --no-preserve-uid --no-preserve-gid --compress" ;;
	sync) words="--host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --root --relative --no-preserve-uid --no-preserve-gid --compress --sync-cmd --arg --simple --no-upload --stdin --serial --shell" ;;
	fetch) words="--host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --to" ;;
	lock) words="--host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --root" ;;
	completion) words="bash zsh fish" ;;
	deploy) words="--json --no-wait" hosts=yes ;;
	redeploy) words="--json --no-wait" hosts=yes ;;
	destroy) words="--json --no-wait" hosts=yes ;;
	approve) words="--json --no-wait" hosts=yes ;;
	deny) words="--json --no-wait" hosts=yes ;;
	plan) words="--json --no-wait" hosts=yes ;;
	status) words="--json --no-wait" hosts=yes ;;
	hosts) words="--json --no-wait" hosts=yes ;;
	history) words="--json --no-wait" hosts=yes ;;
	log) words="--json --no-wait" hosts=yes ;;
	show) words="--json --no-wait" hosts=yes ;;
	retry) words="--json --no-wait" hosts=yes ;;
	skip) words="--json --no-wait" hosts=yes ;;
	cancel) words="--json --no-wait" hosts=yes ;;
	undo) words="--json --no-wait" hosts=yes ;;
	steps) words="--json --no-wait" hosts=yes ;;
	run) words="--json --no-wait" hosts=yes ;;
	task) words="--json --no-wait" hosts=yes ;;
	check) words="--json --no-wait" hosts=yes ;;
	checks) words="--json --no-wait" hosts=yes ;;
	ack) words="--json --no-wait" hosts=yes ;;
	audit) words="--json --no-wait" hosts=yes ;;
	token) words="--json --no-wait" hosts=yes ;;
	whoami) words="--json --no-wait" hosts=yes ;;
	version) words="--json --no-wait" hosts=yes ;;
	esac
	[ -z "$hosts" ] || words="$words $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
	COMPREPLY=($(compgen -W "$words" -- "$cur"; [ -z "$hosts" ] || compgen -f -- "$cur"))
}
complete -o filenames -F _jarvis jarvis
