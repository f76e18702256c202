# fish completion for jarvis; made by `jarvis completion fish`
function __jarvis_words
	set -l value no
	set -l typed (commandline -opc)
	for w in $typed[2..-1]
		if test $value = yes
			set value no
			continue
		end
		switch $w
			case --config --server
				set value yes
			case '-*'
			case '*'
				echo $w
		end
	end
end
function __jarvis_after -a verb more
	set -l w (__jarvis_words)
	test (count $w) -gt 0; and test "$w[1]" = "$verb"; or return 1
	test -z "$more"; or test (count $w) -eq (math $more + 1)
end
function __jarvis_sub -a verb sub
	set -l w (__jarvis_words)
	test (count $w) -gt 1; and test "$w[1] $w[2]" = "$verb $sub"
end
complete -c jarvis -f
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -l help -s h -d 'Show context-sensitive help.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -l version -d 'Say the version of this program.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -l config -r -F -d 'Configuration file (default: JARVIS_CONFIG, ./jarvis.yaml, then /etc/jarvis/jarvis.yaml).'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -l server -r -d 'Address of a server elsewhere, as in https://jarvis.example.org (default: JARVIS_SERVER); its token is taken from JARVIS_TOKEN.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a serve -d 'Run the server: chat, the socket, and every run that is under way.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a demo -d 'Watch a deployment in a world on this machine; then the prompt is yours.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a agent -d 'Do the steps of a silo that only this machine reaches: dials a server, opens nothing.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a step -d 'Run one step by hand: the clipboard on stdin, the new one on stdout.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a config -d 'Check or show the configuration.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a init -d 'Write a first configuration: asks, or takes flags.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a doctor -d 'Say what is wrong with this installation on this machine, and what to do.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a reload -d 'Have the server read its configuration again.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a backup -d 'Write the record and its keys into one sealed file, while the server runs.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a restore -d 'Make a data folder from a backup, or check one.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a exec -d 'Run a command on many hosts at once.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a upload -d 'Send files to many hosts at once.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a sync -d 'Send files and run a tool there that puts them in place.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a fetch -d 'Bring files of hosts here.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a lock -d 'Lock hosts against every other exec, sync and upload.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a completion -d 'Print a shell\'s completion.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a deploy -d 'deploys the host, or the cluster of hosts, that the clipboard describes; with a time, begins then.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a redeploy -d 'moves a host\'s services away, deletes its machine, deploys it anew and moves them back; with a time, begins then.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a destroy -d 'deletes a host\'s machine and what points at it; refuses while services point at it.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a forget -d 'takes a host off the record, with its runs; touches no machine, and refuses while one is the host\'s.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a import -d 'puts hosts that are there already on record, from a list, known_hosts or an Ansible inventory; contacts none.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a adopt -d 'takes a machine that is there already for the host\'s, once a second person agrees.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a approve -d 'lets go ahead what somebody else asked for, and what waits for a second person.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a deny -d 'refuses what waits for a second person; the one who asked may take it back so.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a plan -d 'says what deploy, redeploy or destroy would do, and does nothing; of a HOST on record alone, what redeploy would do.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a status -d 'says where a host stands; without a name, lists what is under way.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a hosts -d 'lists the hosts on record by name, 200 at a time.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a history -d 'lists the runs of a host, newest first.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a log -d 'shows what a host\'s last run did, line by line.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a show -d 'shows a host\'s clipboard, secrets masked.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a retry -d 'goes on at the failed stage, or at an earlier one; does the later stages of a host that is ready again.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a skip -d 'goes on behind the stage that failed or waits for a person; with at, only when that is the one.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a cancel -d 'stops a run and says what it leaves standing; gives up an undo that is stuck, once a second person agrees.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a undo -d 'takes back what a host\'s last run did, last step first.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a hold -d 'has nobody deploy, redeploy, retry, undo or destroy a host until `release`; what is under way goes on.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a release -d 'ends a `hold`, whoever said it.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a drift -d 'compares a host with what its deployment left, now; without a name, says what the looks by the clock found.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a steps -d 'lists the steps that exist here, and the pipelines.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a run -d 'runs one command on hosts of the record; its words reach it as they are, no shell reads them.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a task -d 'lists the reviewed tasks in git; fetches them now; runs again, or calls done, what failed or has no known outcome.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a check -d 'shows, runs, acknowledges, silences and defines the scheduled checks of hosts.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a checks -d 'lists what is wrong with the hosts now; with a name, how that check or host stands.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a ack -d 'says that you know of a problem: nothing more is said of it until it ends, or the time is over; with was, only while it is no worse than that.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a nodes -d 'lists the servers that share this record: whether each lives, what it has in hand, and what it does for all.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a drain -d 'has a server begin nothing any more, before it is stopped: its runs go on at the others from their next step on.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a audit -d 'shows the newest commands: who, from where, what, and what came of it.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a token -d 'makes, lists and revokes your tokens for the HTTP API; with silo, an admin makes one for an agent.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a page -d 'gives a link that signs you in to my pages; lists and ends where you are signed in.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a whoami -d 'says who I take you for, and what you may do.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a help -d 'lists what you may say, or explains one command.'
complete -c jarvis -n 'test (count (__jarvis_words)) -eq 0' -a version -d 'says which version runs.'
complete -c jarvis -n '__jarvis_after serve' -l verbose -s v -d 'Log more.'
complete -c jarvis -n '__jarvis_after serve' -l new-database -d 'Begin a new database although files of an earlier one are in the data folder.'
complete -c jarvis -n '__jarvis_after serve' -F
complete -c jarvis -n '__jarvis_after demo' -l keep -d 'Keep the data folder and say where it is.'
complete -c jarvis -n '__jarvis_after demo' -l world -r -d 'Bring up the world alone, write a jarvis.yaml and a clipboard for it into DIR, and stay; docs/tutorial.md goes on from there.'
complete -c jarvis -n '__jarvis_after demo' -F
complete -c jarvis -n '__jarvis_after agent' -l check -d 'Only try the line and the token, say what works, and end.'
complete -c jarvis -n '__jarvis_after agent' -l verbose -s v -d 'Log more.'
complete -c jarvis -n '__jarvis_after agent' -F
complete -c jarvis -n '__jarvis_after step' -l undo -d 'Take the step back instead.'
complete -c jarvis -n '__jarvis_after step' -l plan -d 'Only say what it would do.'
complete -c jarvis -n '__jarvis_after step' -l token -r -d 'Tag of what the step makes; give the same one again to adopt it. Empty: one for this host alone.'
complete -c jarvis -n '__jarvis_after step' -F
complete -c jarvis -n '__jarvis_after config 0' -a check -d 'Say all that is wrong in the configuration: file, line, key, what is allowed.'
complete -c jarvis -n '__jarvis_sub config check' -l online -d 'Also try what it names: logins, zones, channels, keys, repositories. Nothing is changed.'
complete -c jarvis -n '__jarvis_after config 0' -a show -d 'Print the configuration in force, secrets masked.'
complete -c jarvis -n '__jarvis_after init' -l dir -r -d 'Folder for jarvis.yaml and its credentials, as in /etc/jarvis.'
complete -c jarvis -n '__jarvis_after init' -l drop-in -r -d 'Where the service\'s credentials are named (default for /etc/jarvis: the unit\'s own folder in /etc/systemd/system; else beside jarvis.yaml).'
complete -c jarvis -n '__jarvis_after init' -l yes -s y -d 'Ask nothing: what no flag says is as by default.'
complete -c jarvis -n '__jarvis_after init' -l set -r -d 'Answer a question, as in --set chat=irc; --help lists them.'
complete -c jarvis -n '__jarvis_after init' -l secret -r -d 'Take a secret from a file, as in --secret irc_password=pw.txt.'
complete -c jarvis -n '__jarvis_after init' -F
complete -c jarvis -n '__jarvis_after doctor' -F
complete -c jarvis -n '__jarvis_after reload' -F
complete -c jarvis -n '__jarvis_after backup' -l recipient -s r -r -d 'Seal it to this age1… key; may be said several times.'
complete -c jarvis -n '__jarvis_after backup' -l passphrase-file -r -d 'Seal it with the passphrase in this file instead of asking for one.'
complete -c jarvis -n '__jarvis_after backup' -l replace -d 'Replace a file that is there.'
complete -c jarvis -n '__jarvis_after backup' -F
complete -c jarvis -n '__jarvis_after restore' -l check -d 'Read all of the backup, say what it holds, and write nothing.'
complete -c jarvis -n '__jarvis_after restore' -l database -r -d 'Put the record into this PostgreSQL database, which must be empty, and only the files into DIR.'
complete -c jarvis -n '__jarvis_after restore' -l identity -s i -r -d 'File of the age key that opens it, as age-keygen makes one.'
complete -c jarvis -n '__jarvis_after restore' -l passphrase-file -r -d 'Open it with the passphrase in this file instead of asking for it.'
complete -c jarvis -n '__jarvis_after restore' -F
complete -c jarvis -n '__jarvis_after exec' -l host -s o -r -d '[user@]host[:port], as web[1-20] or db{a,b} too; @web is a cluster on record; a word with a slash is a file of hosts. May be given again.'
complete -c jarvis -n '__jarvis_after exec' -l read-stdin -s s -d 'Read hosts from stdin.'
complete -c jarvis -n '__jarvis_after exec' -l direct -d 'Connect from here and ask no server: names mean what ~/.ssh/config says.'
complete -c jarvis -n '__jarvis_after exec' -l user -s u -r -d 'Log in as this user.'
complete -c jarvis -n '__jarvis_after exec' -l sudo -s x -d 'Work as root, by sudo; with --password it is given to sudo too.'
complete -c jarvis -n '__jarvis_after exec' -l password -s p -d 'Ask for a password once, and use it everywhere.'
complete -c jarvis -n '__jarvis_after exec' -l key -s k -r -d 'Log in with this key.'
complete -c jarvis -n '__jarvis_after exec' -l host-key -r -d 'What to do with a host of which no key is known: strict refuses it, accept-new writes its key to known_hosts.'
complete -c jarvis -n '__jarvis_after exec' -l no-conn-fail -s w -d 'Go on without hosts that can not be reached.'
complete -c jarvis -n '__jarvis_after exec' -l no-lock -s y -d 'Do not lock the hosts.'
complete -c jarvis -n '__jarvis_after exec' -l no-lock-fail -s t -d 'Only warn when the lock is held by somebody else.'
complete -c jarvis -n '__jarvis_after exec' -l lock-file -r -d 'Lock this file or directory, and nothing else (default: / or what --root says, and shared what is above it).'
complete -c jarvis -n '__jarvis_after exec' -l threads -s d -r -d 'Handshakes at once.'
complete -c jarvis -n '__jarvis_after exec' -l conn-timeout -s c -r -d 'Time to connect and log in (default: ConnectTimeout of ~/.ssh/config, or 10s).'
complete -c jarvis -n '__jarvis_after exec' -l send-timeout -s j -r -d 'Time that a host may take nothing while it should.'
complete -c jarvis -n '__jarvis_after exec' -l recv-timeout -s z -r -d 'Time that a command may take; 0: any.'
complete -c jarvis -n '__jarvis_after exec' -l keep-alive -s a -r -d 'Ask hosts so often whether they are there.'
complete -c jarvis -n '__jarvis_after exec' -l quiet -s q -d 'Print the lines without host names.'
complete -c jarvis -n '__jarvis_after exec' -l json -d 'Print one JSON object a line.'
complete -c jarvis -n '__jarvis_after exec' -l group -d 'Print each host\'s output at once when it has ended; what is equal is printed once.'
complete -c jarvis -n '__jarvis_after exec' -l serial -s l -d 'One host after the other.'
complete -c jarvis -n '__jarvis_after exec' -l stdin -s i -r -d 'Give this file (- or /dev/stdin: what comes in) to the command on every host.'
complete -c jarvis -n '__jarvis_after exec' -l dir -r -d 'Working directory on the hosts.'
complete -c jarvis -n '__jarvis_after exec' -l env -r -d 'Set in the command\'s environment; whoever lists processes there can read it.'
complete -c jarvis -n '__jarvis_after exec' -l tty -d 'Give the command a terminal.'
complete -c jarvis -n '__jarvis_after exec' -F
complete -c jarvis -n '__jarvis_after upload' -l host -s o -r -d '[user@]host[:port], as web[1-20] or db{a,b} too; @web is a cluster on record; a word with a slash is a file of hosts. May be given again.'
complete -c jarvis -n '__jarvis_after upload' -l read-stdin -s s -d 'Read hosts from stdin.'
complete -c jarvis -n '__jarvis_after upload' -l direct -d 'Connect from here and ask no server: names mean what ~/.ssh/config says.'
complete -c jarvis -n '__jarvis_after upload' -l user -s u -r -d 'Log in as this user.'
complete -c jarvis -n '__jarvis_after upload' -l sudo -s x -d 'Work as root, by sudo; with --password it is given to sudo too.'
complete -c jarvis -n '__jarvis_after upload' -l password -s p -d 'Ask for a password once, and use it everywhere.'
complete -c jarvis -n '__jarvis_after upload' -l key -s k -r -d 'Log in with this key.'
complete -c jarvis -n '__jarvis_after upload' -l host-key -r -d 'What to do with a host of which no key is known: strict refuses it, accept-new writes its key to known_hosts.'
complete -c jarvis -n '__jarvis_after upload' -l no-conn-fail -s w -d 'Go on without hosts that can not be reached.'
complete -c jarvis -n '__jarvis_after upload' -l no-lock -s y -d 'Do not lock the hosts.'
complete -c jarvis -n '__jarvis_after upload' -l no-lock-fail -s t -d 'Only warn when the lock is held by somebody else.'
complete -c jarvis -n '__jarvis_after upload' -l lock-file -r -d 'Lock this file or directory, and nothing else (default: / or what --root says, and shared what is above it).'
complete -c jarvis -n '__jarvis_after upload' -l threads -s d -r -d 'Handshakes at once.'
complete -c jarvis -n '__jarvis_after upload' -l conn-timeout -s c -r -d 'Time to connect and log in (default: ConnectTimeout of ~/.ssh/config, or 10s).'
complete -c jarvis -n '__jarvis_after upload' -l send-timeout -s j -r -d 'Time that a host may take nothing while it should.'
complete -c jarvis -n '__jarvis_after upload' -l recv-timeout -s z -r -d 'Time that a command may take; 0: any.'
complete -c jarvis -n '__jarvis_after upload' -l keep-alive -s a -r -d 'Ask hosts so often whether they are there.'
complete -c jarvis -n '__jarvis_after upload' -l quiet -s q -d 'Print the lines without host names.'
complete -c jarvis -n '__jarvis_after upload' -l json -d 'Print one JSON object a line.'
complete -c jarvis -n '__jarvis_after upload' -l group -d 'Print each host\'s output at once when it has ended; what is equal is printed once.'
complete -c jarvis -n '__jarvis_after upload' -l root -s r -r -d 'Directory on the hosts; ~/ is the home of the login (default: /var/run/orgalorg/RUN, a new one each time).'
complete -c jarvis -n '__jarvis_after upload' -l relative -s e -d 'Name files as they are given, not by their whole path.'
complete -c jarvis -n '__jarvis_after upload' -l no-preserve-uid -d 'Let files belong to root, or to whoever logs in.'
complete -c jarvis -n '__jarvis_after upload' -l no-preserve-gid -d 'The same for their group.'
complete -c jarvis -n '__jarvis_after upload' -l compress -r -d 'zstd, none, or auto: zstd when all hosts have it and none is on this machine.'
complete -c jarvis -n '__jarvis_after upload' -F
complete -c jarvis -n '__jarvis_after sync' -l host -s o -r -d '[user@]host[:port], as web[1-20] or db{a,b} too; @web is a cluster on record; a word with a slash is a file of hosts. May be given again.'
complete -c jarvis -n '__jarvis_after sync' -l read-stdin -s s -d 'Read hosts from stdin.'
complete -c jarvis -n '__jarvis_after sync' -l direct -d 'Connect from here and ask no server: names mean what ~/.ssh/config says.'
complete -c jarvis -n '__jarvis_after sync' -l user -s u -r -d 'Log in as this user.'
complete -c jarvis -n '__jarvis_after sync' -l sudo -s x -d 'Work as root, by sudo; with --password it is given to sudo too.'
complete -c jarvis -n '__jarvis_after sync' -l password -s p -d 'Ask for a password once, and use it everywhere.'
complete -c jarvis -n '__jarvis_after sync' -l key -s k -r -d 'Log in with this key.'
complete -c jarvis -n '__jarvis_after sync' -l host-key -r -d 'What to do with a host of which no key is known: strict refuses it, accept-new writes its key to known_hosts.'
complete -c jarvis -n '__jarvis_after sync' -l no-conn-fail -s w -d 'Go on without hosts that can not be reached.'
complete -c jarvis -n '__jarvis_after sync' -l no-lock -s y -d 'Do not lock the hosts.'
complete -c jarvis -n '__jarvis_after sync' -l no-lock-fail -s t -d 'Only warn when the lock is held by somebody else.'
complete -c jarvis -n '__jarvis_after sync' -l lock-file -r -d 'Lock this file or directory, and nothing else (default: / or what --root says, and shared what is above it).'
complete -c jarvis -n '__jarvis_after sync' -l threads -s d -r -d 'Handshakes at once.'
complete -c jarvis -n '__jarvis_after sync' -l conn-timeout -s c -r -d 'Time to connect and log in (default: ConnectTimeout of ~/.ssh/config, or 10s).'
complete -c jarvis -n '__jarvis_after sync' -l send-timeout -s j -r -d 'Time that a host may take nothing while it should.'
complete -c jarvis -n '__jarvis_after sync' -l recv-timeout -s z -r -d 'Time that a command may take; 0: any.'
complete -c jarvis -n '__jarvis_after sync' -l keep-alive -s a -r -d 'Ask hosts so often whether they are there.'
complete -c jarvis -n '__jarvis_after sync' -l quiet -s q -d 'Print the lines without host names.'
complete -c jarvis -n '__jarvis_after sync' -l json -d 'Print one JSON object a line.'
complete -c jarvis -n '__jarvis_after sync' -l group -d 'Print each host\'s output at once when it has ended; what is equal is printed once.'
complete -c jarvis -n '__jarvis_after sync' -l root -s r -r -d 'Directory on the hosts; ~/ is the home of the login (default: /var/run/orgalorg/RUN, a new one each time).'
complete -c jarvis -n '__jarvis_after sync' -l relative -s e -d 'Name files as they are given, not by their whole path.'
complete -c jarvis -n '__jarvis_after sync' -l no-preserve-uid -d 'Let files belong to root, or to whoever logs in.'
complete -c jarvis -n '__jarvis_after sync' -l no-preserve-gid -d 'The same for their group.'
complete -c jarvis -n '__jarvis_after sync' -l compress -r -d 'zstd, none, or auto: zstd when all hosts have it and none is on this machine.'
complete -c jarvis -n '__jarvis_after sync' -l sync-cmd -s n -r -d 'Tool to run on the hosts when the files are there.'
complete -c jarvis -n '__jarvis_after sync' -l arg -s g -r -d 'Argument for the tool. May be given again.'
complete -c jarvis -n '__jarvis_after sync' -l simple -s m -d 'The tool does not speak the sync protocol.'
complete -c jarvis -n '__jarvis_after sync' -l no-upload -d 'Send no files; run the tool only, in --root, which must be there.'
complete -c jarvis -n '__jarvis_after sync' -l stdin -s i -r -d 'Give this file to the tool; with --simple.'
complete -c jarvis -n '__jarvis_after sync' -l serial -s l -d 'The tool runs on one host after the other; with --simple.'
complete -c jarvis -n '__jarvis_after sync' -l shell -r -d 'Shell that runs the tool; {} is the command.'
complete -c jarvis -n '__jarvis_after sync' -F
complete -c jarvis -n '__jarvis_after fetch' -l host -s o -r -d '[user@]host[:port], as web[1-20] or db{a,b} too; @web is a cluster on record; a word with a slash is a file of hosts. May be given again.'
complete -c jarvis -n '__jarvis_after fetch' -l read-stdin -s s -d 'Read hosts from stdin.'
complete -c jarvis -n '__jarvis_after fetch' -l direct -d 'Connect from here and ask no server: names mean what ~/.ssh/config says.'
complete -c jarvis -n '__jarvis_after fetch' -l user -s u -r -d 'Log in as this user.'
complete -c jarvis -n '__jarvis_after fetch' -l sudo -s x -d 'Work as root, by sudo; with --password it is given to sudo too.'
complete -c jarvis -n '__jarvis_after fetch' -l password -s p -d 'Ask for a password once, and use it everywhere.'
complete -c jarvis -n '__jarvis_after fetch' -l key -s k -r -d 'Log in with this key.'
complete -c jarvis -n '__jarvis_after fetch' -l host-key -r -d 'What to do with a host of which no key is known: strict refuses it, accept-new writes its key to known_hosts.'
complete -c jarvis -n '__jarvis_after fetch' -l no-conn-fail -s w -d 'Go on without hosts that can not be reached.'
complete -c jarvis -n '__jarvis_after fetch' -l no-lock -s y -d 'Do not lock the hosts.'
complete -c jarvis -n '__jarvis_after fetch' -l no-lock-fail -s t -d 'Only warn when the lock is held by somebody else.'
complete -c jarvis -n '__jarvis_after fetch' -l lock-file -r -d 'Lock this file or directory, and nothing else (default: / or what --root says, and shared what is above it).'
complete -c jarvis -n '__jarvis_after fetch' -l threads -s d -r -d 'Handshakes at once.'
complete -c jarvis -n '__jarvis_after fetch' -l conn-timeout -s c -r -d 'Time to connect and log in (default: ConnectTimeout of ~/.ssh/config, or 10s).'
complete -c jarvis -n '__jarvis_after fetch' -l send-timeout -s j -r -d 'Time that a host may take nothing while it should.'
complete -c jarvis -n '__jarvis_after fetch' -l recv-timeout -s z -r -d 'Time that a command may take; 0: any.'
complete -c jarvis -n '__jarvis_after fetch' -l keep-alive -s a -r -d 'Ask hosts so often whether they are there.'
complete -c jarvis -n '__jarvis_after fetch' -l quiet -s q -d 'Print the lines without host names.'
complete -c jarvis -n '__jarvis_after fetch' -l json -d 'Print one JSON object a line.'
complete -c jarvis -n '__jarvis_after fetch' -l group -d 'Print each host\'s output at once when it has ended; what is equal is printed once.'
complete -c jarvis -n '__jarvis_after fetch' -l to -s r -r -d 'Directory here; with several hosts each gets one below it.'
complete -c jarvis -n '__jarvis_after fetch' -l force -s f -d 'Replace what is here under the same name and differs.'
complete -c jarvis -n '__jarvis_after fetch' -F
complete -c jarvis -n '__jarvis_after lock' -l host -s o -r -d '[user@]host[:port], as web[1-20] or db{a,b} too; @web is a cluster on record; a word with a slash is a file of hosts. May be given again.'
complete -c jarvis -n '__jarvis_after lock' -l read-stdin -s s -d 'Read hosts from stdin.'
complete -c jarvis -n '__jarvis_after lock' -l direct -d 'Connect from here and ask no server: names mean what ~/.ssh/config says.'
complete -c jarvis -n '__jarvis_after lock' -l user -s u -r -d 'Log in as this user.'
complete -c jarvis -n '__jarvis_after lock' -l sudo -s x -d 'Work as root, by sudo; with --password it is given to sudo too.'
complete -c jarvis -n '__jarvis_after lock' -l password -s p -d 'Ask for a password once, and use it everywhere.'
complete -c jarvis -n '__jarvis_after lock' -l key -s k -r -d 'Log in with this key.'
complete -c jarvis -n '__jarvis_after lock' -l host-key -r -d 'What to do with a host of which no key is known: strict refuses it, accept-new writes its key to known_hosts.'
complete -c jarvis -n '__jarvis_after lock' -l no-conn-fail -s w -d 'Go on without hosts that can not be reached.'
complete -c jarvis -n '__jarvis_after lock' -l no-lock -s y -d 'Do not lock the hosts.'
complete -c jarvis -n '__jarvis_after lock' -l no-lock-fail -s t -d 'Only warn when the lock is held by somebody else.'
complete -c jarvis -n '__jarvis_after lock' -l lock-file -r -d 'Lock this file or directory, and nothing else (default: / or what --root says, and shared what is above it).'
complete -c jarvis -n '__jarvis_after lock' -l threads -s d -r -d 'Handshakes at once.'
complete -c jarvis -n '__jarvis_after lock' -l conn-timeout -s c -r -d 'Time to connect and log in (default: ConnectTimeout of ~/.ssh/config, or 10s).'
complete -c jarvis -n '__jarvis_after lock' -l send-timeout -s j -r -d 'Time that a host may take nothing while it should.'
complete -c jarvis -n '__jarvis_after lock' -l recv-timeout -s z -r -d 'Time that a command may take; 0: any.'
complete -c jarvis -n '__jarvis_after lock' -l keep-alive -s a -r -d 'Ask hosts so often whether they are there.'
complete -c jarvis -n '__jarvis_after lock' -l quiet -s q -d 'Print the lines without host names.'
complete -c jarvis -n '__jarvis_after lock' -l json -d 'Print one JSON object a line.'
complete -c jarvis -n '__jarvis_after lock' -l group -d 'Print each host\'s output at once when it has ended; what is equal is printed once.'
complete -c jarvis -n '__jarvis_after lock' -l root -s r -r -d 'Lock this directory alone, as sync and upload with the same --root do; others may work elsewhere on the host, but not on the whole of it.'
complete -c jarvis -n '__jarvis_after lock' -F
complete -c jarvis -n '__jarvis_after completion 0' -a 'bash zsh fish'
complete -c jarvis -n '__jarvis_after deploy' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after deploy' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after deploy' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after deploy' -l dry-run -d 'Do nothing, and say what would be done: as plan does.'
complete -c jarvis -n '__jarvis_after deploy' -F
complete -c jarvis -n '__jarvis_after redeploy' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after redeploy' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after redeploy' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after redeploy' -l dry-run -d 'Do nothing, and say what would be done: as plan does.'
complete -c jarvis -n '__jarvis_after redeploy' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after redeploy' -F
complete -c jarvis -n '__jarvis_after destroy' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after destroy' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after destroy' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after destroy' -l dry-run -d 'Do nothing, and say what would be done: as plan does.'
complete -c jarvis -n '__jarvis_after destroy' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after destroy' -F
complete -c jarvis -n '__jarvis_after forget' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after forget' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after import' -l format -r -d 'Format of the file: list, known_hosts, ini or yaml (default: as it looks).'
complete -c jarvis -n '__jarvis_after import' -l dry-run -d 'Say what would be done, and do none of it.'
complete -c jarvis -n '__jarvis_after import' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after adopt' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after adopt' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after adopt' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after adopt' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after approve' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after approve' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after approve' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after approve' -a "(jarvis status 2>/dev/null | sed -n 's/.*Run \\([0-9][0-9]*\\),.*/\\1/p')"
complete -c jarvis -n '__jarvis_after deny' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after deny' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after deny' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after deny' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after deny' -a "(jarvis status 2>/dev/null | sed -n 's/.*Run \\([0-9][0-9]*\\),.*/\\1/p')"
complete -c jarvis -n '__jarvis_after plan' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after plan 0' -a 'redeploy destroy'
complete -c jarvis -n '__jarvis_after plan' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after plan' -F
complete -c jarvis -n '__jarvis_after status' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after status' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after status' -a "(jarvis status 2>/dev/null | sed -n 's/.*Run \\([0-9][0-9]*\\),.*/\\1/p')"
complete -c jarvis -n '__jarvis_after hosts' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after hosts 0' -a 'like'
complete -c jarvis -n '__jarvis_after history' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after history' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after log' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after log' -l follow -s f -d 'From the first line on, and go on with what comes until the run ends. Ctrl-C ends this, not the run.'
complete -c jarvis -n '__jarvis_after log' -l timeout -r -d 'With -f: follow no longer than this, as in 5m; the run goes on, and the exit code is 5.'
complete -c jarvis -n '__jarvis_after log' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after show' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after show' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after retry' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after retry' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after retry' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after retry' -l from -r -d 'Stage to go on at, by its number or step: as in retry HOST from STAGE.'
complete -c jarvis -n '__jarvis_after retry' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after skip' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after skip' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after skip' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after skip' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after cancel' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after cancel' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after cancel' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after cancel' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after undo' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after undo' -l no-wait -d 'Do not wait for the run to end. Exit code 5 when it waits for a second person.'
complete -c jarvis -n '__jarvis_after undo' -l timeout -r -d 'Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests.'
complete -c jarvis -n '__jarvis_after undo' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after hold' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after hold' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after release' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after release' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after drift' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after drift' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after steps' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after run' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after run' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after task' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after task 0' -a 'list show run retry done'
complete -c jarvis -n '__jarvis_after check' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after check 0' -a 'list show history metrics stats run ack unack silence unsilence downtimes actions defined define undefine'
complete -c jarvis -n '__jarvis_after check' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after checks' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after checks' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after ack' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after ack' -a "(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)"
complete -c jarvis -n '__jarvis_after nodes' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after drain' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after audit' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after token' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after token 0' -a 'list new revoke'
complete -c jarvis -n '__jarvis_after page' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after page 0' -a 'list end'
complete -c jarvis -n '__jarvis_after whoami' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after help' -l json -d 'Print the answer as JSON.'
complete -c jarvis -n '__jarvis_after version' -l json -d 'Print the answer as JSON.'
