package tasklog

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/jarvisops/jarvis/internal/gitcmd"
)

// parted is the URL of a repository in parts: scheme://who@rest.
func parted(repo string) (scheme, who, rest string) {
	scheme, rest, ok := strings.Cut(repo, "://")
	if !ok {
		return "", "", repo
	}
	end := strings.IndexByte(rest, '/')
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@')
	if at < 0 && strings.Contains(rest[:end], ":") { // of a password, perhaps, that has a slash itself; no URL, and yet a secret
		at = strings.LastIndexByte(rest, '@')
	}
	if at < 0 {
		return scheme, "", rest
	}
	return scheme, rest[:at], rest[at+1:]
}

func overHTTP(scheme string) bool {
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

// hideSecret takes the password out of a URL; over HTTP the name as well, for it may be a token.
func hideSecret(repo string) string {
	scheme, who, rest := parted(repo)
	user, _, secret := strings.Cut(who, ":")
	switch {
	case who != "" && overHTTP(scheme):
		return scheme + "://•••@" + rest
	case secret:
		return scheme + "://" + user + ":•••@" + rest
	}
	return repo
}

// withoutSecret gives a URL without who logs in over HTTP, and the login, which git is told in its environment: every
// user of this machine reads the arguments of git, and of the programs that it starts.
func withoutSecret(repo string) (clean string, login gitcmd.Login) {
	scheme, who, rest := parted(repo)
	if who == "" || !overHTTP(scheme) {
		return repo, gitcmd.Login{}
	}
	user, password, _ := strings.Cut(who, ":")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + rest, gitcmd.Login{At: scheme + "://" + host, User: decoded(user), Password: decoded(password)}
}

// decoded gives a part of a URL as it is meant. What cannot stand in a line of git's stays as it is.
func decoded(s string) string {
	d, err := url.PathUnescape(s)
	if err != nil || strings.ContainsFunc(d, unicode.IsControl) {
		return s
	}
	return d
}
