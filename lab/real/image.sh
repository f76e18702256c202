# image.sh OUT SOURCES: makes OUT/disk.qcow2, a Debian cloud image with the older cloud kernel, and the newer one in its own
# repository of packages. It boots by its own GRUB, which is put into place by hand: no loop device, no mount.
set -eu
out=$1 sources=$2
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root repo=$work/repo
mkdir -p "$repo"
chmod 755 "$work" && chmod 777 "$repo"

# The two newest versions that there are. Where a mirror has only one, there is nothing to upgrade to, and the test cannot be.
versions=$(apt-cache madison linux-image-cloud-amd64 | awk '{print $3}' | sort -uV)
old=$(echo "$versions" | head -1) new=$(echo "$versions" | tail -1)
[ "$old" != "$new" ] || { echo "apt knows one version of linux-image-cloud-amd64 only ($new); the sources need bookworm and bookworm-security, and apt-get update" >&2; exit 1; }
image=$(apt-cache show "linux-image-cloud-amd64=$new" | sed -n 's/^Depends: \(linux-image-[^ ]*\).*/\1/p')
(cd "$repo" && apt-get -q download "linux-image-cloud-amd64=$new" "$image")
for f in "$repo"/*.deb; do
	dpkg-deb -f "$f"
	printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$f")" "$(stat -c %s "$f")" "$(sha256sum "$f" | cut -d' ' -f1)"
done >"$repo/Packages"

# A small initrd (MODULES=list) is made and unpacked quickly under emulation. Timers that would work in the background are off.
cat >"$work/essential" <<'X'
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/initramfs-tools/hooks" "$1/etc/default"
printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n' >"$1/etc/initramfs-tools/conf.d/lab"
cat >"$1/etc/initramfs-tools/hooks/lab" <<'H'
#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk virtio_net virtio_rng ext4 crc32c_generic crc32c_intel
H
chmod 755 "$1/etc/initramfs-tools/hooks/lab"
X
cat >"$work/customize" <<'X'
printf 'datasource_list: [ NoCloud, None ]\napt: {preserve_sources_list: true}\n' >"$1/etc/cloud/cloud.cfg.d/90_lab.cfg"
echo 'LABEL=root / ext4 defaults,discard 0 1' >"$1/etc/fstab"
echo LANG=C.UTF-8 >"$1/etc/default/locale"
printf 'GRUB_TIMEOUT=0\nGRUB_DISABLE_OS_PROBER=true\nGRUB_TERMINAL=serial\nGRUB_CMDLINE_LINUX="console=ttyS0 net.ifnames=0"\nGRUB_CMDLINE_LINUX_DEFAULT=quiet\n' >"$1/etc/default/grub"
chmod -x "$1"/etc/grub.d/05_* "$1"/etc/grub.d/20_* "$1"/etc/grub.d/30_* "$1"/etc/grub.d/4*
rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id"
: >"$1/etc/machine-id"
chroot "$1" systemctl -q enable systemd-networkd systemd-resolved ssh
for u in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer man-db.timer; do ln -sf /dev/null "$1/etc/systemd/system/$u"; done
X
chmod 755 "$work/essential" "$work/customize"
mmdebstrap --quiet --variant=minbase \
	--include="linux-image-cloud-amd64=$old,systemd-sysv,udev,dbus,cloud-init,cloud-guest-utils,fdisk,openssh-server,netplan.io,iproute2,ca-certificates,python3,sudo,kmod,initramfs-tools,zstd,e2fsprogs,systemd-resolved,libpam-systemd,locales,cron,rsync,qemu-guest-agent,less,procps,gpgv,grub2-common,grub-pc-bin" \
	--aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--essential-hook="$work/essential \"\$1\"" --customize-hook="$work/customize \"\$1\"" \
	bookworm "$root" "$sources"
rm -rf "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
mkdir -p "$root/var/lib/lab-repo" "$root/boot/grub"
cp "$repo"/* "$root/var/lib/lab-repo/"
echo 'deb [trusted=yes] file:/var/lib/lab-repo ./' >"$root/etc/apt/sources.list"

# GRUB: the first configuration by hand, as there is no disk to probe here; the guest's own update-grub writes the next.
kernel=$(basename "$root"/boot/vmlinuz-*) version=${kernel#vmlinuz-}
cat >"$root/boot/grub/grub.cfg" <<X
set timeout=0
insmod part_gpt
insmod ext2
search --no-floppy --set=root --label root
linux /boot/vmlinuz-$version root=LABEL=root ro console=ttyS0 net.ifnames=0 quiet
initrd /boot/initrd.img-$version
boot
X
mkdir -p "$root/boot/grub/i386-pc"
cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/boot/grub/i386-pc/"
chroot "$root" grub-mkimage -O i386-pc -o /boot/grub/i386-pc/core.img -p '(hd0,gpt2)/boot/grub' biosdisk part_gpt ext2

# The disk: 1 MB for GRUB's core.img from sector 2048, the root file system from sector 4096.
disk=$work/disk.img size=2048
truncate -s "${size}M" "$disk"
sectors=$((size * 2048 - 6144))
printf 'label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\nstart=4096, size=%d, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4\n' $sectors | sfdisk -q "$disk"
mke2fs -q -t ext4 -L root -m 0 -E offset=$((4096 * 512)),lazy_itable_init=1,nodiscard -d "$root" "$disk" $((sectors / 2))k
# What grub-bios-setup does: the boot sector holds where core.img begins, and core.img's first sector where its rest is.
le() { printf "%0${2}x" "$1" | sed 's/../& /g' | awk '{for (i = NF; i > 0; i--) printf "\\x%s", $i}'; }
poke() { printf "$(le "$2" "$3")" | dd of="$4" bs=1 seek="$1" conv=notrunc status=none; } # OFFSET VALUE HEXDIGITS FILE
cp "$root/usr/lib/grub/i386-pc/boot.img" "$work/boot"
poke 92 2048 16 "$work/boot"
printf '\x90\x90' | dd of="$work/boot" bs=1 seek=102 conv=notrunc status=none # boot from the drive that the BIOS names
dd if="$work/boot" of="$disk" bs=440 count=1 conv=notrunc status=none
cp "$root/boot/grub/i386-pc/core.img" "$work/core"
rest=$((($(stat -c %s "$work/core") + 511) / 512 - 1))
poke 500 2049 16 "$work/core"
poke 508 "$rest" 4 "$work/core"
dd if="$work/core" of="$disk" bs=512 seek=2048 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 "$disk" "$work/disk.qcow2"
chmod 644 "$work/disk.qcow2"
echo "$old $new" >"$out/kernels"
mv "$work/disk.qcow2" "$out/disk.qcow2"
