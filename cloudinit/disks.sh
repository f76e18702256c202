# Jarvis made this: it gives further disks a file system, once, and mounts them. Each argument is a disk: the place to
# mount it, and the ways to find it. What holds anything is never formatted: a file system is mounted as it is, all else is
# left alone, and said.
PATH=/usr/sbin:/sbin:/usr/bin:/bin
say() { echo "jarvis: $*" >&2; }

# The name that EC2 knows a disk by stands in what the disk tells of itself (NVMe's Identify Controller, byte 3072 on).
nvme_name() {
  python3 - "$1" <<'PY'
import ctypes, fcntl, struct, sys
data = ctypes.create_string_buffer(4096)
ask = struct.pack("<BBHIIIQQ10I", 6, 0, 0, 0, 0, 0, 0, ctypes.addressof(data), 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0)
with open(sys.argv[1], "rb") as disk:
    fcntl.ioctl(disk, 0xC0484E41, ask)
print(data.raw[3072:3104].split(b"\0")[0].decode("ascii", "replace").strip().replace("/dev/", ""))
PY
}

find_disk() {
  found=
  for how in "$@"; do
    case $how in
    path:*) d=$(readlink -f "${how#path:}") && [ -b "$d" ] && found="$d" ;;
    scsi:*) for d in /sys/block/sd*; do
        case $(readlink -f "$d/device") in */*:0:"${how#scsi:}":0) found="$found /dev/${d##*/}" ;; esac
      done ;;
    nvme:*) for d in /dev/nvme*n1; do
        [ -b "$d" ] && [ "$(nvme_name "$d" 2>/dev/null)" = "${how#nvme:}" ] && found="$found $d"
      done ;;
    esac
    [ -z "$found" ] || break
  done
  # shellcheck disable=SC2086
  set -- $found
  [ $# = 1 ] && echo "$1"
}

is_blank() {
  blkid -p "$1" >/dev/null 2>&1
  [ $? = 2 ] || return
  [ "$(head -c 1048576 "$1" | wc -c)" -gt 0 ] && [ "$(head -c 1048576 "$1" | tr -d '\000' | wc -c)" -eq 0 ]
}

mount_disk() {
  at=$1
  shift
  if awk -v at="$at" '$1 !~ /^#/ && $2 == at { found = 1 } END { exit !found }' /etc/fstab; then
    mountpoint -q "$at" || { mkdir -p "$at" && mount "$at" && mountpoint -q "$at"; }
    return
  fi
  left=${JARVIS_DISK_WAIT:-60}
  until disk=$(find_disk "$@"); do
    [ "$left" -gt 0 ] || { say "$at is not mounted: its disk ($*) is not there, or there is more than one"; return 1; }
    left=$((left - 1))
    sleep 1
  done
  if is_blank "$disk"; then
    say "$disk is empty: it becomes ext4 for $at"
    mkfs.ext4 -q "$disk" || return
  fi
  usage=$(blkid -p -o value -s USAGE "$disk")
  uuid=$(blkid -p -o value -s UUID "$disk")
  kind=$(blkid -p -o value -s TYPE "$disk")
  if [ "$usage" != filesystem ] || [ -z "$uuid" ]; then
    say "$at is not mounted: $disk is not empty and holds no file system (${kind:-unknown}); it stays as it is"
    return 1
  fi
  mkdir -p "$at" || return
  [ -z "$(tail -c 1 /etc/fstab)" ] || echo >> /etc/fstab
  printf 'UUID=%s\t%s\t%s\tdefaults,nofail\t0\t2\n' "$uuid" "$at" "$kind" >> /etc/fstab
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
  # Not by fstab's line: with nofail mount says that it did what it could not.
  mount -t "$kind" "$disk" "$at" && say "$at is $disk ($kind)"
}

command -v udevadm >/dev/null && udevadm settle
failed=0
for one in "$@"; do
  # shellcheck disable=SC2086
  mount_disk $one || failed=1
done
exit $failed
