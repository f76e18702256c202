#compdef jarvis
# zsh completion for jarvis; made by `jarvis completion zsh`
_jarvis() {
	local -a verbs hosts
	verbs=(
		'serve:Run the server\: chat, the socket, and every run that is under way.'
		'demo:Watch a deployment in a world on this machine; then the prompt is yours.'
		'step:Run one step by hand\: the clipboard on stdin, the new one on stdout.'
		'config:Check or show the configuration.'
		'exec:Run a command on many hosts at once.'
		'upload:Send files to many hosts at once.'
		'sync:Send files and run a tool there that puts them in place.'
		'fetch:Bring files of hosts here.'
		'lock:Lock hosts against every other exec, sync and upload.'
		'completion:Print a shell'\''s completion.'
		'deploy:deploys the host, or the cluster of hosts, that the clipboard describes.'
		'redeploy:moves a host'\''s services away, deletes its machine, deploys it anew and moves them back.'
		'destroy:deletes a host'\''s machine and what points at it; refuses while services point at it.'
		'approve:lets go ahead what somebody else asked for, and what waits for a second person.'
		'deny:refuses what waits for a second person; the one who asked may take it back so.'
		'plan:says what deploy, redeploy or destroy would do, and does nothing.'
		'status:says where a host stands; without a name, lists what is under way.'
		'hosts:lists the hosts on record by name, 200 at a time.'
		'history:lists the runs of a host, newest first.'
		'log:shows what a host'\''s last run did, line by line.'
		'show:shows a host'\''s clipboard, secrets masked.'
		'retry:goes on at the failed stage, or at an earlier one.'
		'skip:goes on behind the stage that failed or waits for a person.'
		'cancel:stops a run and says what it leaves standing.'
		'undo:takes back what a host'\''s last run did, last step first.'
		'steps:lists the steps that exist here, and the pipelines.'
		'run:runs one command on hosts of the record; its words reach it as they are, no shell reads them.'
		'task:lists the reviewed tasks in git; fetches them now; runs again, or calls done, what failed or has no known outcome.'
		'check:shows, runs, acknowledges, silences and defines the scheduled checks of hosts.'
		'checks:lists what is wrong with the hosts now; with a name, how that check or host stands.'
		'ack:says that you know of a problem\: nothing more is said of it until it ends, or the time is over.'
		'audit:shows the newest commands\: who, from where, what, and what came of it.'
		'token:makes, lists and revokes your tokens for the HTTP API.'
		'whoami:says who I take you for, and what you may do.'
		'version:says which version runs.'
	)
	if (( CURRENT == 2 )); then
		_describe verb verbs
		return
	fi
	case $words[2] in
	serve) compadd -- --verbose --new-database ;;
	demo) compadd -- --keep ;;
	config) compadd -- check show ;;
	exec) compadd -- --host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --serial --stdin --dir --env --direct --tty ;;
	upload) compadd -- --host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --root --relative --no-preserve-uid --no-preserve-gid --compress ;;
	sync) compadd -- --host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --root --relative --no-preserve-uid --no-preserve-gid --compress --sync-cmd --arg --simple --no-upload --stdin --serial --shell ;;
	fetch) compadd -- --host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --to ;;
	lock) compadd -- --host --read-stdin --user --sudo --password --key --host-key --no-conn-fail --no-lock --no-lock-fail --lock-file --threads --conn-timeout --send-timeout --recv-timeout --keep-alive --quiet --json --group --root ;;
	completion) compadd -- bash zsh fish ;;
	*) hosts=(${(f)"$(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"}); compadd -a hosts; _files ;;
	esac
}
_jarvis "$@"
