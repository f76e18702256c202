package keys

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// updateDeployKey notes the key that was there before, for Undo to put back.
func (w *Worker) updateDeployKey() pipeline.Step {
	return pipeline.Step{
		Name:    "keys:update_deploy_key",
		Doc:     "lets root's key of the host read its repositories: gitolite by commit and push, GitHub by its API",
		Needs:   []string{"hostname", "fqdn?", "root_pubkey", "repos?", "deploy_key_before?"},
		Gives:   []string{"deploy_key_before"},
		Timeout: 10 * time.Minute,
		Resume:  pipeline.Again,
		Drift:   w.driftDeployKey,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			in, err := c.Instance()
			if err != nil {
				return pipeline.Permanent(err)
			}
			key := c.Get("root_pubkey")
			if err := clipboard.CheckPublicKey(key); err != nil {
				return pipeline.Permanentf("root_pubkey: %v", err)
			}
			var did []string
			if w.cfg.Gitolite.Admin != "" {
				key := signed(key, in)
				changed, err := w.gitolite(ctx, c, in, func(before string) (string, error) {
					if !c.Has("deploy_key_before") {
						// What Undo needs, on record before anything changes.
						if before == "" {
							before = "none"
						}
						if err := errors.Join(c.Set("deploy_key_before", before), pipeline.Keep(ctx, c)); err != nil {
							return "", err
						}
					}
					return key, nil
				})
				if err != nil {
					return err
				}
				if changed {
					did = append(did, "gitolite has the key of "+w.user(in))
				}
			}
			lines, err := w.github(ctx, c, in, key)
			if err != nil {
				return err
			}
			if did = append(did, lines...); len(did) == 0 {
				did = []string{"nothing to do: the git host has the key"}
			}
			pipeline.Progress(ctx, strings.Join(did, "; "))
			return nil
		},
		Undo: func(ctx context.Context, c *clipboard.Clipboard) error {
			in, err := c.Instance()
			if err != nil {
				return pipeline.Permanent(err)
			}
			key := c.Get("root_pubkey")
			if before := c.Get("deploy_key_before"); before != "" && w.cfg.Gitolite.Admin != "" {
				_, err := w.gitolite(ctx, c, in, func(now string) (string, error) {
					switch {
					case now != key && now != signed(key, in):
						return now, nil // somebody else's by now, or back already
					case before == "none":
						return "", nil
					}
					return before, nil
				})
				if errors.Is(err, errForeign) {
					err = nil // somebody else's by now: what was ours is gone already
				}
				if err != nil {
					return err
				}
			}
			if key != "" {
				if _, err := w.github(ctx, c, in, ""); err != nil {
					return err
				}
			}
			pipeline.Progress(ctx, "took the key of "+in.Hostname+" from the git host")
			return c.Delete("deploy_key_before")
		},
	}
}
