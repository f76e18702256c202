# bash completion for jarvis; made by `jarvis completion bash`
_jarvis() {
	local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]}
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "serve demo step config completion deploy redeploy destroy approve deny plan status hosts history log show retry skip cancel undo steps run audit token whoami version --help --config --server" -- "$cur"))
		return
	fi
	case $verb in
	serve) COMPREPLY=($(compgen -W "--verbose $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	demo) COMPREPLY=($(compgen -W "--keep $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	step) COMPREPLY=($(compgen -W "--undo --plan --token $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	config) COMPREPLY=($(compgen -W "check show $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	completion) COMPREPLY=($(compgen -W " $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	deploy) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	redeploy) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	destroy) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	approve) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	deny) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	plan) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	status) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	hosts) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	history) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	log) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	show) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	retry) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	skip) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	cancel) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	undo) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	steps) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	run) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	audit) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	token) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	whoami) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	version) COMPREPLY=($(compgen -W "--json --no-wait $(jarvis hosts 2>/dev/null | cut -d: -f1 | cut -d. -f1)" -- "$cur"; compgen -f -- "$cur")) ;;
	esac
}
complete -o filenames -F _jarvis jarvis
