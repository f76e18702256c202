package real

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// OldKernel gives the host an old kernel package, and one source of packages that has a newer: real packages and apt,
// but for what is in them, for a host here runs no kernel of its own.
func (h *Host) OldKernel(ctx context.Context) error {
	repo := filepath.Join(h.Root, "srv/repo")
	index := ""
	for _, v := range []string{"1", "2"} {
		image := "linux-image-6.1.0-" + v + "-lab"
		for name, depends := range map[string]string{image: "", "linux-image-amd64": image} {
			tree := filepath.Join(h.dir, "deb", name+v)
			control := fmt.Sprintf("Package: %s\nVersion: 6.1.%s-1\nArchitecture: all\nMaintainer: lab <lab@localhost>\nDescription: kernel of the lab\n", name, v)
			if depends != "" {
				control += "Depends: " + depends + "\n"
			}
			if err := errors.Join(os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755), os.MkdirAll(repo, 0o755), os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte(control), 0o644)); err != nil {
				return err
			}
			if depends == "" {
				if err := errors.Join(os.MkdirAll(filepath.Join(tree, "boot"), 0o755), os.WriteFile(filepath.Join(tree, "boot/vmlinuz-6.1.0-"+v+"-lab"), []byte("no kernel\n"), 0o644)); err != nil {
					return err
				}
			}
			deb := filepath.Join(repo, name+"_"+v+".deb")
			if err := run(ctx, "", "dpkg-deb", "--root-owner-group", "--build", tree, deb); err != nil {
				return err
			}
			b, err := os.ReadFile(deb)
			if err != nil {
				return err
			}
			index += fmt.Sprintf("%sFilename: ./%s\nSize: %d\nSHA256: %x\n\n", control, filepath.Base(deb), len(b), sha256.Sum256(b))
			if v == "1" && depends == "" {
				if err := run(ctx, "", "chroot", h.Root, "dpkg", "-i", "/srv/repo/"+filepath.Base(deb)); err != nil {
					return err
				}
			}
		}
	}
	if err := run(ctx, "", "chroot", h.Root, "dpkg", "-i", "/srv/repo/linux-image-amd64_1.deb"); err != nil {
		return err
	}
	lists, err := filepath.Glob(filepath.Join(h.Root, "etc/apt/sources.list*"))
	if err != nil {
		return err
	}
	for _, l := range lists {
		if err := os.RemoveAll(l); err != nil {
			return err
		}
	}
	return errors.Join(os.WriteFile(filepath.Join(repo, "Packages"), []byte(index), 0o644),
		os.WriteFile(filepath.Join(h.Root, "etc/apt/sources.list"), []byte("deb [trusted=yes] file:/srv/repo ./\n"), 0o644))
}
