package keys

import (
	"context"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// removeDeployKey is for hosts that are destroyed.
func (w *Worker) removeDeployKey() pipeline.Step {
	return pipeline.Step{
		Name:    "keys:remove_deploy_key",
		Doc:     "takes the host's key from the git host",
		Needs:   []string{"hostname", "fqdn?", "repos?", "deploy_key_removed?"},
		Gives:   []string{"deploy_key_removed"},
		Timeout: 10 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			in, err := c.Instance()
			if err != nil {
				return pipeline.Permanent(err)
			}
			var did []string
			if w.cfg.Gitolite.Admin != "" {
				changed, err := w.gitolite(ctx, c, in, func(string) (string, error) { return "", nil })
				if err != nil {
					return err
				}
				if changed {
					did = append(did, "gitolite has no key of "+w.user(in)+" any more")
				}
			}
			lines, err := w.github(ctx, c, in, "")
			if err != nil {
				return err
			}
			if did = append(did, lines...); len(did) == 0 {
				pipeline.Progress(ctx, "nothing to do: the git host has no key of it")
				return nil
			}
			pipeline.Progress(ctx, strings.Join(did, "; "))
			return c.Set("deploy_key_removed", "yes")
		},
		Undo: func(_ context.Context, c *clipboard.Clipboard) error {
			if c.Has("deploy_key_removed") {
				return pipeline.Stays("its deploy key stays removed from the git host")
			}
			return nil
		},
	}
}
