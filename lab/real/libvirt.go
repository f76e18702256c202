package real

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

// Libvirt is libvirtd in session mode as an unprivileged user, with qemu (emulated), and two storage pools: default,
// for the machines' disks, and images. It and its machines are in a process namespace of their own, and end with it.
type Libvirt struct {
	Socket string
	Images string // folder of the pool images

	dir  string
	uri  golibvirt.ConnectURI
	user string // whom it runs as; "" for root
	proc *proc
}

// libvirtUser is whom it runs as: no machine of a test has rights here.
const libvirtUser = "nobody"

// StartLibvirt starts it.
func StartLibvirt(ctx context.Context) (*Libvirt, error) {
	v, daemon, err := newLibvirt()
	if err != nil {
		return nil, err
	}
	v.uri, v.user, v.Socket = golibvirt.QEMUSession, libvirtUser, filepath.Join(v.dir, "run/libvirt/libvirt-sock")
	// Without this a virtlogd outlives each libvirtd.
	err = errors.Join(os.WriteFile(filepath.Join(v.dir, "cfg/libvirt/qemu.conf"), []byte("stdio_handler = \"file\"\n"), 0o644), v.knownQemu(false), own(v.dir, libvirtUser))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(v.dir))
	}
	// The shell is the namespace's first process, and reaps qemu processes, whose parents end at once.
	return v, v.begin([]string{"--mount", "--pid", "--mount-proc"}, `"$@" & wait $!`,
		"env", "HOME="+v.dir, "XDG_RUNTIME_DIR="+v.dir+"/run", "XDG_CONFIG_HOME="+v.dir+"/cfg", "XDG_CACHE_HOME="+v.dir+"/cache", "XDG_DATA_HOME="+v.dir+"/data",
		"setpriv", "--reuid="+libvirtUser, "--regid=nogroup", "--clear-groups", "--", daemon)
}

// newLibvirt makes the folders.
func newLibvirt() (v *Libvirt, daemon string, err error) {
	if os.Getuid() != 0 {
		return nil, "", errors.New("libvirtd in a namespace of its own needs root")
	}
	if daemon, err = need("libvirtd", "libvirt-daemon libvirt-daemon-driver-qemu"); err != nil {
		return nil, "", err
	}
	for program, pkg := range map[string]string{"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils"} {
		if _, err := need(program, pkg); err != nil {
			return nil, "", err
		}
	}
	// A short name: the path of a guest agent's socket must stay below 108 bytes.
	dir, err := os.MkdirTemp("", "lv-")
	if err != nil {
		return nil, "", err
	}
	err = os.Chmod(dir, 0o755)
	for _, sub := range []string{"run", "cfg/libvirt", "cache", "data", "images", "disks"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	return &Libvirt{dir: dir, Images: filepath.Join(dir, "images")}, daemon, err
}

// begin starts libvirtd in namespaces of its own, by a shell's script, and waits until it can be used.
func (v *Libvirt) begin(namespaces []string, script string, args ...string) error {
	var err error
	v.proc, err = start("", "unshare", append(append(namespaces, "--fork", "--kill-child", "--propagation", "private", "--", "/bin/sh", "-c", script, "sh"), args...)...)
	if err != nil {
		return errors.Join(err, os.RemoveAll(v.dir))
	}
	if err := v.proc.until("libvirtd", time.Minute, v.prepare); err != nil {
		v.Stop()
		return err
	}
	return v.knownQemu(true)
}

// knownQemu keeps what libvirtd learnt of qemu, in seconds of work, in the user's cache folder, and gives it to the
// next.
func (v *Libvirt) knownQemu(learnt bool) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	const sub = "libvirt/qemu/cache/capabilities"
	from, to := filepath.Join(cache, "jarvis-lab", sub), filepath.Join(v.dir, "cache", sub)
	if learnt {
		from, to = to, from
	}
	files, err := filepath.Glob(filepath.Join(from, "*.xml"))
	if err != nil {
		return err
	}
	for _, f := range files {
		name := filepath.Join(to, filepath.Base(f))
		if _, err := os.Stat(name); err == nil {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		// By rename: other tests read it meanwhile.
		part := fmt.Sprintf("%s.%d", name, time.Now().UnixNano())
		if err := errors.Join(os.MkdirAll(to, 0o755), os.WriteFile(part, b, 0o644)); err != nil {
			return err
		}
		if err := os.Rename(part, name); err != nil {
			return err
		}
	}
	return nil
}

// Dial connects to it.
func (v *Libvirt) Dial() (*golibvirt.Libvirt, error) {
	l := golibvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(v.Socket)))
	return l, l.ConnectToURI(v.uri)
}

// prepare makes the storage pools, and has libvirtd learn what its qemu can do.
func (v *Libvirt) prepare() error {
	l, err := v.Dial()
	if err != nil {
		return err
	}
	defer func() { _ = l.Disconnect() }()
	for name, sub := range map[string]string{"default": "disks", "images": "images"} {
		if _, err := l.StoragePoolLookupByName(name); err == nil {
			continue
		}
		_, err := l.StoragePoolCreateXML(fmt.Sprintf("<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>", name, filepath.Join(v.dir, sub)), 0)
		if err != nil {
			return fmt.Errorf("make the pool %s: %w", name, err)
		}
	}
	_, err = l.ConnectGetCapabilities() // has it look at qemu now, and not in the first test
	return err
}

// Blank puts an image without a system into the pool images: a machine of it starts, and does nothing.
func (v *Libvirt) Blank(ctx context.Context, name string) error {
	bin, err := need("qemu-img", "qemu-utils")
	if err != nil {
		return err
	}
	return run(ctx, v.user, bin, "create", "-q", "-f", "qcow2", filepath.Join(v.Images, name), "64M")
}

// Volumes lists what is in the pool of the machines' disks.
func (v *Libvirt) Volumes() ([]string, error) {
	list, err := os.ReadDir(filepath.Join(v.dir, "disks"))
	var out []string
	for _, f := range list {
		out = append(out, f.Name())
	}
	return out, err
}

// Stop pulls the plug of it and of its machines.
func (v *Libvirt) Stop() {
	v.proc.kill()
	_ = os.RemoveAll(v.dir)
}

//go:embed image.sh
var imageScript string

// Kernels are the versions of the package linux-image-cloud-amd64: that of the image, and the newer one in the image's
// own repository of packages.
type Kernels struct{ Old, New string }

// CloudImage puts a Debian cloud image of that name into the pool images. It is made once, in the user's cache folder.
func (v *Libvirt) CloudImage(ctx context.Context, name string) (Kernels, error) {
	var k Kernels
	dir, err := cloudImage(ctx)
	if err != nil {
		return k, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "kernels"))
	if err != nil {
		return k, err
	}
	if _, err := fmt.Sscan(string(b), &k.Old, &k.New); err != nil {
		return k, fmt.Errorf("read %s/kernels: %w", dir, err)
	}
	from, to := filepath.Join(dir, "disk.qcow2"), filepath.Join(v.Images, name)
	if err := os.Link(from, to); err == nil { // its folder is not for everybody, the file is
		return k, nil
	}
	return k, run(ctx, "", "cp", "--reflink=auto", from, to)
}

// cloudImage makes the image once and keeps it in the user's cache, for it takes long. Its folder is named for a
// version.
func cloudImage(ctx context.Context) (string, error) {
	for program, pkg := range map[string]string{"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "sfdisk": "fdisk", "qemu-img": "qemu-utils"} {
		if _, err := need(program, pkg); err != nil {
			return "", err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "jarvis-lab", "vm-bookworm-2")
	if _, err := os.Stat(filepath.Join(dir, "disk.qcow2")); err == nil {
		return dir, nil
	}
	sources, err := bookworm()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := run(ctx, "", "/bin/bash", "-c", imageScript, "image.sh", dir, sources); err != nil {
		return "", fmt.Errorf("make the machines' image: %w", err)
	}
	return dir, nil
}

// bookworm gives the file that says where Debian 12's packages are.
func bookworm() (string, error) {
	for _, sources := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		if b, err := os.ReadFile(sources); err == nil && strings.Contains(string(b), "bookworm") {
			return sources, nil
		}
	}
	return "", errors.New("neither /etc/apt/sources.list.d/debian.sources nor /etc/apt/sources.list names bookworm: the machines' image is Debian 12")
}
