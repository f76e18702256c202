package real

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// debian makes a root file system with these packages once, in the user's cache folder; whoever changes what is in it
// changes its name. finish does what is left to do.
func debian(ctx context.Context, name, packages string, finish func(dir string) error) (string, error) {
	bin, err := need("mmdebstrap", "mmdebstrap")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "jarvis-lab", name)
	if _, err := os.Stat(filepath.Join(dir, ".done")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Whole or not there: tests of several packages may make it at once.
	work, err := os.MkdirTemp(filepath.Dir(dir), name+".")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.Chmod(work, 0o755); err != nil {
		return "", err
	}
	args := []string{"--quiet", "--variant=minbase", "--include=" + packages, `--aptopt=Acquire::Languages "none"`, "bookworm", work}
	if sources, err := bookworm(); err == nil {
		args = append(args, sources)
	}
	if err := run(ctx, "", bin, args...); err != nil {
		return "", fmt.Errorf("make the hosts' base system: %w", err)
	}
	if err := errors.Join(finish(work), os.WriteFile(filepath.Join(work, ".done"), nil, 0o644)); err != nil {
		return "", fmt.Errorf("finish the hosts' base system: %w", err)
	}
	if err := os.Rename(work, dir); err != nil {
		if _, done := os.Stat(filepath.Join(dir, ".done")); done != nil {
			return "", err
		}
	}
	return dir, nil
}

// overlay mounts dir/root, which has what is in lower and keeps what is written in dir.
func overlay(lower, dir string) error {
	for _, sub := range []string{"up", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	opts := "lowerdir=" + lower + ",upperdir=" + filepath.Join(dir, "up") + ",workdir=" + filepath.Join(dir, "work")
	if err := syscall.Mount("overlay", filepath.Join(dir, "root"), "overlay", 0, opts); err != nil {
		return fmt.Errorf("mount the host's root: %w", err)
	}
	return nil
}

// removeOverlay unmounts dir/root, in which processes may still be ending, and removes dir.
func removeOverlay(dir string) error {
	var err error
	for range 100 {
		if err = syscall.Unmount(filepath.Join(dir, "root"), 0); err == nil || errors.Is(err, syscall.EINVAL) {
			return os.RemoveAll(dir)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
