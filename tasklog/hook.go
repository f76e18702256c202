package tasklog

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"
)

// MaxHook bounds a webhook's body. GitHub sends no more than 25 MB ("Payload cap" in its documentation of webhooks),
// the others less; none of it is kept.
const MaxHook = 25 << 20

// Hook answers the webhooks of git servers: who knows the secret of a repository has it fetched at once. It is nil when
// no repository has a secret, since there is nobody then to listen to.
//
// Signatures: X-Hub-Signature-256 or X-Hub-Signature with sha256=HEX of HMAC-SHA256 (GitHub), X-Gitea-Signature and
// X-Gogs-Signature with HEX of the same, and X-Gitlab-Token, which is the secret itself. SHA-1 counts for nothing. The
// body is not read unless such a signature is there, and is hashed as it comes: what is to be run is read from git.
func (l *Log) Hook() http.Handler {
	for _, r := range l.repos {
		if r.cfg.HookSecret != "" {
			return http.HandlerFunc(l.hook)
		}
	}
	return nil
}

// hook has those repositories fetched whose secret the request knows: by GitLab's token, or by a signature of its body.
func (l *Log) hook(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "a webhook is sent by POST", http.StatusMethodNotAllowed)
		return
	}
	signed := func(*Repo) bool { return false }
	if token := req.Header.Get("X-Gitlab-Token"); token != "" {
		signed = func(r *Repo) bool {
			return subtle.ConstantTimeCompare([]byte(token), []byte(r.cfg.HookSecret)) == 1
		}
	} else if sigs := signatures(req.Header); len(sigs) > 0 {
		macs, err := l.macs(http.MaxBytesReader(w, req.Body, MaxHook))
		if err != nil {
			unread(w, err)
			return
		}
		signed = func(r *Repo) bool {
			for _, sig := range sigs {
				if hmac.Equal(sig, macs[r].Sum(nil)) {
					return true
				}
			}
			return false
		}
	}
	var poked []string
	for _, r := range l.repos {
		if r.cfg.HookSecret != "" && signed(r) {
			r.Poke()
			poked = append(poked, r.cfg.Name)
		}
	}
	if len(poked) == 0 {
		http.Error(w, "no hook_secret of a repository of tasks fits this signature", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string][]string{"fetching": poked})
}

// signatures gives those of a request that can be one of ours.
func signatures(h http.Header) [][]byte {
	var out [][]byte
	add := func(text string) {
		if sig, err := hex.DecodeString(text); err == nil && len(sig) == sha256.Size {
			out = append(out, sig)
		}
	}
	for _, name := range []string{"X-Hub-Signature-256", "X-Hub-Signature"} {
		if text, ok := strings.CutPrefix(h.Get(name), "sha256="); ok {
			add(text)
		}
	}
	add(h.Get("X-Gitea-Signature"))
	add(h.Get("X-Gogs-Signature"))
	return out
}

// macs hashes a body for each repository with a secret.
func (l *Log) macs(body io.Reader) (map[*Repo]hash.Hash, error) {
	out := map[*Repo]hash.Hash{}
	var all []io.Writer
	for _, r := range l.repos {
		if r.cfg.HookSecret != "" {
			out[r] = hmac.New(sha256.New, []byte(r.cfg.HookSecret))
			all = append(all, out[r])
		}
	}
	_, err := io.Copy(io.MultiWriter(all...), body)
	return out, err
}

// unread says why a body was not read to its end.
func unread(w http.ResponseWriter, err error) {
	var long *http.MaxBytesError
	var own interface{ GetStatus() int } // of the server that we are part of
	switch {
	case errors.As(err, &long):
		http.Error(w, "the body has more than 25 MiB", http.StatusRequestEntityTooLarge)
	case errors.As(err, &own):
		http.Error(w, err.Error(), own.GetStatus())
	default:
		http.Error(w, "the request broke off", http.StatusBadRequest)
	}
}
