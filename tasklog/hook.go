package tasklog

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// maxHook bounds a webhook's body.
const maxHook = 5 << 20

// Hook answers the webhooks of git servers: who knows the secret of a repository has it fetched at once. The body counts
// for its signature only: what is to be run is read from git.
//
// Signatures: X-Hub-Signature-256 of GitHub (sha256=HEX of HMAC-SHA256), X-Gitea-Signature (HEX of the same), and
// X-Gitlab-Token (the secret itself).
func (l *Log) Hook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "a webhook is sent by POST", http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxHook))
		if err != nil {
			http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
			return
		}
		var poked []string
		for _, r := range l.repos {
			if secret := string(r.cfg.HookSecret); secret != "" && signedBy(secret, req.Header, body) {
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
	})
}

func signedBy(secret string, h http.Header, body []byte) bool {
	if t := h.Get("X-Gitlab-Token"); t != "" {
		return subtle.ConstantTimeCompare([]byte(t), []byte(secret)) == 1
	}
	sig, ok := strings.CutPrefix(h.Get("X-Hub-Signature-256"), "sha256=")
	if !ok {
		sig = h.Get("X-Gitea-Signature")
	}
	got, err := hex.DecodeString(sig)
	if err != nil || len(got) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil))
}
