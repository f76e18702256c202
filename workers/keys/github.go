package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
)

// deployKey is GitHub's (https://docs.github.com/en/rest/deploy-keys/deploy-keys).
type deployKey struct {
	ID       int64  `json:"id,omitempty"`
	Title    string `json:"title"`
	Key      string `json:"key"`
	ReadOnly bool   `json:"read_only"`
}

var repoName = pattern.New(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$`) // not . or ..

// github makes key the one that the host reads the clipboard's repositories with; "" takes its keys away. It says what
// it did, nothing when all was right.
func (w *Worker) github(ctx context.Context, c *clipboard.Clipboard, in clipboard.Instance, key string) ([]string, error) {
	repos, err := w.repos(c)
	if err != nil {
		return nil, err
	}
	bare := withoutComment(key)
	var did []string
	for _, repo := range repos {
		have, err := w.deployKeys(ctx, repo, in)
		if err != nil {
			return did, err
		}
		there := false
		for _, k := range have {
			if bare != "" && strings.HasPrefix(k.Key, bare) && k.ReadOnly {
				there = true
				continue
			}
			if err := w.callGitHub(ctx, "DELETE", fmt.Sprintf("/repos/%s/keys/%d", repo, k.ID), nil, nil); err != nil {
				return did, err
			}
			if bare == "" {
				did = append(did, repo+" has no key of the host any more")
			}
		}
		if bare != "" && !there {
			if err := w.callGitHub(ctx, "POST", "/repos/"+repo+"/keys", deployKey{Title: title(in), Key: bare, ReadOnly: true}, nil); err != nil {
				return did, err
			}
			did = append(did, repo+" has the host's key")
		}
	}
	return did, nil
}

// repos lists the clipboard's repositories; none when GitHub is not configured.
func (w *Worker) repos(c *clipboard.Clipboard) ([]string, error) {
	if w.cfg.GitHub.Token == "" || !c.Has("repos") {
		return nil, nil
	}
	repos, err := c.Strings("repos")
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	for _, repo := range repos {
		if !repoName.MatchString(repo) {
			return nil, pipeline.Permanentf("repos holds %q; it must be like owner/name", repo)
		}
	}
	return repos, nil
}

// title is that of the host's deploy keys.
func title(in clipboard.Instance) string { return "jarvis: root@" + in.FQDN }

// withoutComment gives a key as GitHub keeps it.
func withoutComment(key string) string {
	if f := strings.Fields(key); len(f) >= 2 {
		return f[0] + " " + f[1]
	}
	return key
}

// deployKeys lists the host's deploy keys of a repository.
func (w *Worker) deployKeys(ctx context.Context, repo string, in clipboard.Instance) ([]deployKey, error) {
	var ours []deployKey
	for page := 1; ; page++ {
		var some []deployKey
		if err := w.callGitHub(ctx, "GET", fmt.Sprintf("/repos/%s/keys?per_page=%d&page=%d", repo, pageSize, page), nil, &some); err != nil {
			return nil, err
		}
		n := len(some)
		if ours = append(ours, slices.DeleteFunc(some, func(k deployKey) bool { return k.Title != title(in) })...); n < pageSize {
			return ours, nil
		}
	}
}

// pageSize is the most that GitHub lists at once.
const pageSize = 100

// passes reports whether GitHub refuses only for now: it is busy, or there were too many requests, which may be a 403:
// with Retry-After, with no request left, or with that in its message
// (https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#rate-limit-errors).
func passes(resp *http.Response, message string) bool {
	if resp.StatusCode == http.StatusForbidden {
		return resp.Header.Get("Retry-After") != "" || resp.Header.Get("X-Ratelimit-Remaining") == "0" || strings.Contains(message, "secondary rate limit")
	}
	return resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
}

// callGitHub tells what may pass, as too many requests, from what GitHub refuses for good. To delete what is gone is no
// error.
func (w *Worker) callGitHub(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(w.cfg.GitHub.URL, "/")+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+string(w.cfg.GitHub.Token))
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	resp, err := w.http.Do(req)
	if err != nil {
		return fmt.Errorf("GitHub does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("read GitHub's answer: %w", err)
	}
	var refused struct {
		Message string
		Errors  []struct{ Message string }
	}
	_ = json.Unmarshal(b, &refused) // a list, or no JSON at all: then there is no message
	if len(refused.Errors) > 0 {
		refused.Message += ": " + refused.Errors[0].Message
	}
	switch {
	case method == "DELETE" && resp.StatusCode == http.StatusNotFound:
		return nil
	case passes(resp, refused.Message):
		return fmt.Errorf("GitHub says %s", strings.TrimSuffix(resp.Status+": "+refused.Message, ": "))
	case resp.StatusCode >= 400:
		return pipeline.Permanentf("GitHub refused %s %s: %s (%s)", method, path, refused.Message, resp.Status)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			return fmt.Errorf("GitHub's answer is not what its API says: %w", err)
		}
	}
	return nil
}
