package real

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// npm gives the folder with a package of the npm registry at that version, which stays in the user's cache. None of its
// scripts are run.
func npm(name, version string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "jarvis-lab", "npm", name+"-"+version)
	inside := filepath.Join(dir, "node_modules", name)
	if _, err := os.Stat(filepath.Join(inside, "package.json")); err == nil {
		return inside, nil
	}
	tool, err := need("npm", "nodejs npm")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), name+"-") // two tests may want it in the same moment
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(made) }()
	if out, err := exec.Command(tool, "install", "--prefix", made, "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", name+"@"+version).CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install %s@%s: %w: %s", name, version, err, out)
	}
	if err := os.Rename(made, dir); err != nil {
		if _, there := os.Stat(filepath.Join(inside, "package.json")); there != nil {
			return "", err
		}
	}
	return inside, nil
}
