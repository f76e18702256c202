# host.sh ROOT NAME: runs inside the new namespaces, builds /proc /sys /dev /run /tmp, pivots into ROOT, starts sshd.
mount --rbind "$1" "$1" && cd "$1" || exit 9
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs -o mode=1777 tmpfs tmp; mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do : > dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/pts dev/shm run/sshd; mount -t devpts -o newinstance,ptmxmode=0666,gid=5,mode=620 devpts dev/pts; ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
hostname "$2"
pivot_root . mnt && exec chroot . /bin/sh -c 'umount -l /mnt; mount -a 2>/dev/null; exec /usr/bin/tini -g -- /usr/sbin/sshd -D -e'
