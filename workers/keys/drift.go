package keys

import (
	"context"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// driftDeployKey says where the host's key is not the one that it reads its repositories with.
func (w *Worker) driftDeployKey(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, err
	}
	key := c.Get("root_pubkey")
	var out []pipeline.Difference
	add := func(where, have string) {
		out = append(out, pipeline.Difference{What: "the deploy key of " + in.FQDN + " " + where, Want: "root's key", Have: have})
	}
	if w.cfg.Gitolite.Admin != "" {
		co, err := w.checkout(ctx, in)
		if err != nil {
			return nil, err
		}
		co.close()
		if withoutComment(co.key) != withoutComment(key) {
			add("at gitolite, "+w.user(in)+",", gone(co.key))
		}
	}
	repos, err := w.repos(c)
	if err != nil {
		return nil, err
	}
	bare := withoutComment(key)
	for _, repo := range repos {
		have, err := w.deployKeys(ctx, repo, in)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(have, func(k deployKey) bool { return strings.HasPrefix(k.Key, bare) && k.ReadOnly }) {
			found := ""
			if len(have) > 0 {
				found = have[0].Key
			}
			add("of "+repo+" at GitHub", gone(found))
		}
	}
	return out, nil
}

// gone says what stands in a key's place.
func gone(have string) string {
	if have == "" {
		return "gone"
	}
	return "another key"
}
