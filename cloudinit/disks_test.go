package cloudinit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// loop gives a loop device on a new file of that size.
func loop(t *testing.T, size string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	run(t, "truncate", "-s", size, file)
	dev := run(t, "losetup", "-f", "--show", file)
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup -d %s: %v: %s", dev, err, out)
		}
	})
	return dev
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// machine is a mount namespace with an fstab of its own.
type machine struct {
	fstab, dir string
	before     string   // what a shell does first, in the namespace
	env        []string // beside that of the test
}

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{fstab: filepath.Join(t.TempDir(), "fstab"), dir: t.TempDir()}
	if err := os.WriteFile(m.fstab, []byte("UUID=0 / ext4 defaults 0 1\n# /dev/x "+m.dir+"/a ext4\nproc /proc proc defaults 0 0"), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

// boots runs what bootcmd would, and then a check in the same namespace.
func (m machine) boots(t *testing.T, check string, disks ...Disk) string {
	t.Helper()
	command := mountDisks(disks)[3:] // without cloud-init-per
	args := append([]string{"--mount", "--propagation", "private", "--", "sh", "-c", `set -e; mount --bind "$1" /etc/fstab; eval "$3"; check=$2; shift 3; set +e; "$@"; echo "it ends with $?"; eval "$check"`, "sh", m.fstab, check, m.before}, command...)
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Env = append(append(os.Environ(), "JARVIS_DISK_WAIT=0"), m.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func (m machine) has(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(m.fstab)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wants(t *testing.T, got string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("%q is not in:\n%s", w, got)
		}
	}
}

// TestFirstBootMountsItsDisks: empty disks become file systems, the outer mount first, and are mounted by fstab, which
// has their UUIDs. The next boot has nothing to do.
func TestFirstBootMountsItsDisks(t *testing.T) {
	m := newMachine(t)
	a, b := loop(t, "40M"), loop(t, "30M")
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(b, link); err != nil {
		t.Fatal(err)
	}
	disks := []Disk{{m.dir + "/srv/inner", []string{"path:/dev/nowhere", "path:" + link}}, {m.dir + "/srv", []string{"path:" + a}}}
	out := m.boots(t, "findmnt -n -o SOURCE,FSTYPE "+m.dir+"/srv; findmnt -n -o SOURCE,FSTYPE "+m.dir+"/srv/inner; touch "+m.dir+"/srv/inner/file", disks...)
	wants(t, out, a+" ext4\n", b+" ext4\n", "it ends with 0")
	fstab := m.has(t)
	wants(t, fstab, "proc /proc proc defaults 0 0\nUUID="+run(t, "blkid", "-p", "-o", "value", "-s", "UUID", a)+"\t"+m.dir+"/srv\text4\tdefaults,nofail\t0\t2\n", "UUID="+run(t, "blkid", "-p", "-o", "value", "-s", "UUID", b)+"\t"+m.dir+"/srv/inner\text4\t")

	out = m.boots(t, "ls "+m.dir+"/srv/inner", disks...)
	wants(t, out, "it ends with 0", "\nfile\n")
	if strings.Contains(out, "becomes") || m.has(t) != fstab {
		t.Errorf("the second boot said %s and left %s", out, m.has(t))
	}
}

// TestWhatHoldsAnythingIsNeverFormatted: a disk of an earlier machine is given to this one, or a wrong one is found.
func TestWhatHoldsAnythingIsNeverFormatted(t *testing.T) {
	for name, c := range map[string]struct {
		make string // what is on it, by a shell
		want []string
	}{
		"a file system with data":        {`mkfs.ext4 -q -U 11111111-2222-3333-4444-555555555555 "$1"`, []string{"it ends with 0", "UUID=11111111-2222-3333-4444-555555555555"}},
		"a partition table":              {`echo 2048,4096 | sfdisk -q "$1"`, []string{"it ends with 1", "holds no file system", "it stays as it is"}},
		"an encrypted disk":              {`printf 'LUKS\272\276\000\001aes\000' | dd of="$1" conv=notrunc 2>/dev/null`, []string{"it ends with 1", "it stays as it is"}},
		"swap":                           {`mkswap "$1" >/dev/null`, []string{"it ends with 1", "holds no file system (swap)"}},
		"bytes that blkid does not know": {`printf secret | dd of="$1" bs=1 seek=900000 conv=notrunc 2>/dev/null`, []string{"it ends with 1", "holds no file system (unknown)"}},
		"nothing, so that it is seen when it is formatted": {`true`, []string{"it ends with 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, dev := newMachine(t), loop(t, "20M")
			run(t, "sh", "-c", c.make, "sh", dev)
			before := run(t, "sha256sum", dev)
			out := m.boots(t, "cat /etc/fstab; echo; umount "+m.dir+"/a 2>/dev/null; true", Disk{m.dir + "/a", []string{"path:" + dev}})
			wants(t, out, c.want...)
			if strings.Contains(out, "becomes ext4") != (c.make == "true") {
				t.Errorf("it was formatted, or not: %s", out)
			}
			if ok := strings.Contains(out, "it ends with 0"); !ok && run(t, "sha256sum", dev) != before {
				t.Error("the disk has changed")
			}
		})
	}
}

// TestADiskThatIsNotThere is said, keeps no other disk from being mounted, and no host from coming up.
func TestADiskThatIsNotThere(t *testing.T) {
	m, dev := newMachine(t), loop(t, "20M")
	out := m.boots(t, "findmnt -n -o SOURCE "+m.dir+"/b", Disk{m.dir + "/a", []string{"path:/dev/nowhere", "scsi:99", "nvme:sdz"}}, Disk{m.dir + "/b", []string{"path:" + dev}})
	wants(t, out, "jarvis: "+m.dir+"/a is not mounted: its disk (path:/dev/nowhere scsi:99 nvme:sdz) is not there", "it ends with 1", dev)
	if strings.Contains(strings.ReplaceAll(m.has(t), "# /dev/x "+m.dir+"/a", ""), m.dir+"/a") {
		t.Errorf("fstab has it all the same: %s", m.has(t))
	}
}

// nvme answers Linux's NVME_IOCTL_ADMIN_CMD (linux/nvme_ioctl.h) as EC2's disks do: opcode 6 (Identify), controller
// (cdw10 is 1), 4096 bytes to addr; the name stands from byte 3072 on, padded with spaces.
const nvme = `
import ctypes, fcntl, struct
def ioctl(f, op, arg):
    opcode, _, _, _, _, _, _, addr, _, size, cdw10 = struct.unpack("<BBHIIIQQIII", arg[:44])
    if op != 0xC0484E41 or len(arg) != 72 or (opcode, size, cdw10) != (6, 4096, 1):
        raise OSError(22, "not what Linux takes")
    name = {"/dev/nvme0n1": b"/dev/xvda", "/dev/nvme1n1": b"sdg", "/dev/nvme2n1": b"/dev/sdf"}[f.name]
    ctypes.memmove(addr + 3072, name.ljust(32), 32)
    return 0
fcntl.ioctl = ioctl
`

// TestDisksAreFoundByTheirPlace: on EC2 by what an NVMe disk tells of itself, whatever its number is; on vSphere by the
// SCSI target, and not when there are two of it.
func TestDisksAreFoundByTheirPlace(t *testing.T) {
	patch := t.TempDir()
	if err := os.WriteFile(filepath.Join(patch, "sitecustomize.py"), []byte(nvme), 0o644); err != nil {
		t.Fatal(err)
	}
	root, first, second := loop(t, "20M"), loop(t, "20M"), loop(t, "20M")
	m := newMachine(t)
	m.env = []string{"PYTHONPATH=" + patch}
	// A /dev and a /sys/block of its own, in which the disks have other names.
	tree := t.TempDir()
	m.before = "mkdir " + tree + "/dev " + tree + "/block; cp -a /dev/null /dev/zero /dev/urandom " + tree + "/dev; cp -aL " + root + " " + tree + "/dev/nvme0n1; cp -aL " + first + " " + tree + "/dev/nvme1n1; cp -aL " + second + " " + tree + "/dev/nvme2n1\n" +
		"for d in a:2:0:0:0 b:2:0:9:0 c:2:0:10:0 d:3:0:10:0; do mkdir -p " + tree + "/at/${d#*:} " + tree + "/block/sd${d%%:*}; ln -s " + tree + "/at/${d#*:} " + tree + "/block/sd${d%%:*}/device; done\n" +
		"cp -aL " + root + " " + tree + "/dev/sda; cp -aL " + first + " " + tree + "/dev/sdb; cp -aL " + second + " " + tree + "/dev/sdc; cp -aL " + second + " " + tree + "/dev/sdd\n" +
		"mount --bind " + tree + "/block /sys/block; mount --bind " + tree + "/dev /dev"
	out := m.boots(t, "cat /proc/mounts", Disk{m.dir + "/f", []string{"path:/dev/xvdf", "nvme:sdf"}}, Disk{m.dir + "/g", []string{"path:/dev/xvdg", "nvme:sdg"}}, Disk{m.dir + "/h", []string{"nvme:sdh"}})
	wants(t, out, "/dev/nvme2n1 "+m.dir+"/f ext4", "/dev/nvme1n1 "+m.dir+"/g ext4", m.dir+"/h is not mounted", "it ends with 1")

	m.before, m.dir = "mount --bind "+tree+"/block /sys/block; mount --bind "+tree+"/dev /dev", t.TempDir()
	out = m.boots(t, "cat /proc/mounts", Disk{m.dir + "/nine", []string{"scsi:9"}}, Disk{m.dir + "/ten", []string{"scsi:10"}}, Disk{m.dir + "/eleven", []string{"scsi:11"}})
	wants(t, out, "/dev/sdb "+m.dir+"/nine ext4", m.dir+"/ten is not mounted: its disk (scsi:10) is not there, or there is more than one", m.dir+"/eleven is not mounted")
}
