# systemd.sh ROOT NAME: runs inside new mount, pid, uts, ipc and cgroup namespaces. It gives ROOT what a manager of containers would:
# /proc, /sys, /dev, /run and the cgroup tree; then systemd is process 1.
set -e
mount --rbind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
# The machine's kernel is not this host's to change; but each boot has an id of its own, by which programs tell that there was one.
cat proc/sys/kernel/random/uuid >run/.boot_id
mount --rbind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind run/.boot_id proc/sys/kernel/random/boot_id
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
# Where the machine has version 1 of cgroups, /sys/fs/cgroup is not there to mount on.
mount -t cgroup2 cgroup2 sys/fs/cgroup 2>/dev/null || { mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup && mount -t cgroup2 cgroup2 sys/fs/cgroup; }
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for d in null zero full random urandom tty; do
	: >dev/$d
	mount --bind /dev/$d dev/$d
done
mkdir dev/pts dev/shm
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,gid=5,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
hostname "$2"
pivot_root . mnt
# Without the capabilities that reach the machine's clock and kernel. Mounts are shared inside, as systemd makes them where no manager
# started it: LoadCredential= makes its folder in a namespace of its own, from which it must come through.
exec chroot . /bin/sh -c 'umount -l /mnt; mount --make-rshared /; exec env -i container=lab LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-mknod,-syslog,-wake_alarm /lib/systemd/systemd'
