package real

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// systemScript gives libvirtd folders of its own where the machine's would be, the user that its qemu runs as, whom
// another package than libvirtd's makes, and no way to anything but loopback. There is no /dev/kvm: libvirtd would look
// at it again and again where it is there and does not work, as inside many a virtual machine.
const systemScript = `set -e
dir=$1; shift
ip link set lo up
mount -t sysfs sysfs /sys # that of its own network
for d in /run /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do mkdir -p $d; mount -t tmpfs tmpfs $d; done
mkdir -p /run/libvirt /etc/libvirt/qemu/networks
grep -v '^libvirt-qemu:' /etc/passwd >"$dir/passwd"; echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>"$dir/passwd"
grep -v '^libvirt-qemu:' /etc/group >"$dir/group"; echo 'libvirt-qemu:x:64055:' >>"$dir/group"
for f in passwd group; do chmod 644 "$dir/$f"; mount --bind "$dir/$f" /etc/$f; done
mkdir "$dir/dev" && mount -t tmpfs -o mode=755 tmpfs "$dir/dev" && mkdir "$dir/dev/net" "$dir/dev/pts" "$dir/dev/shm"
for d in null zero full random urandom tty net/tun; do : >"$dir/dev/$d"; mount --bind /dev/$d "$dir/dev/$d"; done
mount -t devpts -o newinstance,ptmxmode=0666,gid=5,mode=620 devpts "$dir/dev/pts" && ln -s pts/ptmx "$dir/dev/ptmx"
mount --rbind "$dir/dev" /dev
printf 'security_driver = "none"\ncgroup_controllers = [ ]\nstdio_handler = "file"\nnamespaces = [ ]\n' >/etc/libvirt/qemu.conf
printf 'unix_sock_dir = "%s/run"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n' "$dir" >/etc/libvirt/libvirtd.conf
"$@" & wait $!`

// SystemNetwork is the range of the network "default" of StartLibvirtSystem.
const SystemNetwork = "192.168.122."

// StartLibvirtSystem starts libvirtd as root, with libvirt's own network "default": a bridge, and DHCP by dnsmasq. It
// has network, mount and process namespaces of its own; the machine's bridges and firewall are not touched.
func StartLibvirtSystem(context.Context) (*Libvirt, error) {
	for program, pkg := range map[string]string{"dnsmasq": "dnsmasq-base", "iptables": "iptables", "dhclient": "isc-dhcp-client", "nsenter": "util-linux"} {
		if _, err := need(program, pkg); err != nil {
			return nil, err
		}
	}
	v, daemon, err := newLibvirt()
	if err != nil {
		return nil, err
	}
	v.uri, v.Socket = golibvirt.QEMUSystem, filepath.Join(v.dir, "run/libvirt-sock")
	if err := v.begin([]string{"--net", "--mount", "--pid", "--mount-proc"}, systemScript, v.dir, daemon, "--config", "/etc/libvirt/libvirtd.conf"); err != nil {
		return nil, err
	}
	l, err := v.Dial()
	if err == nil {
		_, err = l.NetworkCreateXML("<network><name>default</name><bridge name='virbr0' stp='off' delay='0'/><forward mode='nat'/><ip address='" + SystemNetwork + "1' netmask='255.255.255.0'><dhcp><range start='" + SystemNetwork + "2' end='" + SystemNetwork + "99'/></dhcp></ip></network>")
		_ = l.Disconnect()
	}
	if err != nil {
		v.Stop()
		return nil, fmt.Errorf("make the network default: %w", err)
	}
	return v, nil
}

// inside runs a program in its network.
func (v *Libvirt) inside(ctx context.Context, args ...string) error {
	return run(ctx, "", "nsenter", append([]string{"--net", "--target", fmt.Sprint(v.proc.cmd.Process.Pid)}, args...)...)
}

// Bridge makes a bridge of the hypervisor that libvirt knows nothing of.
func (v *Libvirt) Bridge(ctx context.Context, name string) error {
	return v.inside(ctx, "ip", "link", "add", name, "up", "type", "bridge")
}

// Ports lists the network cards in a bridge.
func (v *Libvirt) Ports(ctx context.Context, bridge string) (string, error) {
	list := filepath.Join(v.dir, "ports")
	if err := v.inside(ctx, "sh", "-c", "ip -br link show master "+bridge+" >"+list); err != nil {
		return "", err
	}
	b, err := os.ReadFile(list)
	return string(b), err
}

// AskAddress asks the network's DHCP for an address, as the system on the machine with that network card would.
func (v *Libvirt) AskAddress(ctx context.Context, mac string) error {
	return v.inside(ctx, "sh", "-c", `ip link add lab0 type veth peer name lab1 && ip link set lab0 master virbr0 up && ip link set lab1 address "$1" up &&
dhclient -1 -q -sf /bin/true -lf "$2/leases" -pf "$2/dhclient.pid" lab1 || exit 1
for i in $(seq 100); do [ -s "$2/dhclient.pid" ] && break; sleep 0.1; done; kill "$(cat "$2/dhclient.pid")"`, "sh", mac, v.dir)
}
