package checks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"path/filepath"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/remote"
)

// pluginsDir is where plugins are brought, below the login directory; each version has a directory of its own.
const pluginsDir = ".jarvis/plugins"

// bring makes sure that a plugin is on a host, and gives its path there. What is there by its manifest is not sent
// again.
func (b *prober) bring(ctx context.Context, h *host, t remote.Target, plugin string) (string, error) {
	local := filepath.Join(b.conf().Plugins, plugin)
	content, err := os.ReadFile(local)
	if err != nil {
		return "", plain.Error(err)
	}
	sum := sha256.Sum256(content)
	dir := path.Join(pluginsDir, hex.EncodeToString(sum[:8]))
	file := path.Join(dir, plugin)
	b.mu.Lock()
	there := h.plugins[dir]
	b.mu.Unlock()
	if there {
		return file, nil
	}
	tree, err := fleet.ReadTree([]string{local}, fleet.TreeOptions{Alone: true, NoUID: true, NoGID: true})
	if err != nil {
		return "", err
	}
	f, err := fleet.Open(ctx, []fleet.Host{{Name: h.name, Target: t}}, fleet.Options{Connect: b.pool})
	if err != nil {
		return "", err
	}
	defer f.Close()
	for _, r := range f.Send(ctx, tree, fleet.SendOptions{Root: dir, Compress: "none"}) {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.plugins == nil {
		h.plugins = map[string]bool{}
	}
	h.plugins[dir] = true
	return file, nil
}

// lost notes that what was brought into a directory may not be there any more.
func (b *prober) lost(h *host, dir string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(h.plugins, dir)
}
