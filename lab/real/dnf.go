package real

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// rpmMacros has rpm keep its database where Fedora and RHEL have it; Debian's would keep one for each user.
const rpmMacros = "%_dbpath /usr/lib/sysimage/rpm\n"

// away are the programs by which a host is known as a Debian.
var away = []string{"apt", "apt-cache", "apt-config", "apt-get", "apt-mark", "dpkg", "dpkg-deb", "dpkg-query", "dpkg-split", "dpkg-divert", "dpkg-statoverride", "dpkg-trigger"}

// dnfBase makes the root file system of hosts whose packages are rpm's and dnf's. Debian has both programs; what of
// Debian's own there is, is taken out. There is no distribution's repository: rpmbuild and createrepo_c make one on the
// host.
func dnfBase(ctx context.Context) (string, error) {
	return debian(ctx, "bookworm-dnf-1", "systemd-sysv,dbus,procps,rpm,dnf,dnf-plugins-core,createrepo-c,busybox", func(dir string) error {
		err := furnish(dir)
		for _, name := range away {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, "usr/bin", name)))
		}
		for name, text := range map[string]string{
			"etc/rpm/macros":             rpmMacros,
			"etc/dnf/dnf.conf":           "[main]\ngpgcheck=0\nbest=True\nclean_requirements_on_remove=True\n", // as on RHEL, but for keys
			"etc/dnf/plugins/local.conf": "[main]\nenabled = false\n",                                          // Debian's wants keys that it does not bring
			"etc/dnf/vars/releasever":    "9\n",
			"etc/os-release":             "NAME=\"Lab Linux\"\nID=lab\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"9.4\"\nPRETTY_NAME=\"Lab Linux 9.4\"\n",
		} {
			name = filepath.Join(dir, name)
			if link, lerr := os.Readlink(name); lerr == nil && link != "" {
				err = errors.Join(err, os.Remove(name))
			}
			err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644))
		}
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, "usr/lib/sysimage/rpm"), 0o755))
		return errors.Join(err, run(ctx, "", "chroot", dir, "rpm", "--initdb"))
	})
}

// StartDnfHost boots a host as StartSystemdHost does, whose packages are rpm's and dnf's.
func StartDnfHost(ctx context.Context, name string) (*SystemdHost, error) {
	lower, err := dnfBase(ctx)
	if err != nil {
		return nil, fmt.Errorf("the root file system of a host with dnf: %w", err)
	}
	return startSystemd(ctx, name, lower)
}
