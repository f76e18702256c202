package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
)

// filesystem is one entry of the clipboard's `filesystems`.
type filesystem struct {
	Device  string `yaml:"device"`
	Mount   string `yaml:"mount"`
	Type    string `yaml:"type"`
	Options string `yaml:"options"`
}

// Words of fstab(5) hold no spaces; what we do not take could only be a mistake.
var (
	fstabDevice  = pattern.New(`^(/[A-Za-z0-9/._@:+-]+|(UUID|LABEL|PARTUUID|PARTLABEL)=[A-Za-z0-9._-]+|tmpfs|[A-Za-z0-9.-]+:/[A-Za-z0-9/._-]*)$`)
	fstabType    = pattern.New(`^[a-z0-9._]+$`)
	fstabOptions = pattern.New(`^[A-Za-z0-9_.=:/,%-]+$`)
)

// line writes the entry for fstab. nofail: a device that is missing at boot must not keep the host from coming up.
func (f filesystem) line() (string, error) {
	if f.Options == "" {
		f.Options = "defaults"
	}
	if f.Mount != "none" {
		if err := clipboard.CheckMount(f.Mount); err != nil {
			return "", err
		}
	}
	switch {
	case !fstabDevice.MatchString(f.Device):
		return "", fmt.Errorf("device %q is not one: /dev/…, UUID=…, LABEL=…, host:/path or tmpfs", f.Device)
	case !fstabType.MatchString(f.Type):
		return "", fmt.Errorf("type %q is not one: ext4, xfs, nfs, tmpfs, swap, …", f.Type)
	case !fstabOptions.MatchString(f.Options):
		return "", fmt.Errorf("options %q are not a list as in noatime,ro", f.Options)
	}
	if f.Type != "swap" && !strings.Contains(","+f.Options+",", ",nofail,") {
		f.Options += ",nofail"
	}
	pass := "0"
	if strings.HasPrefix(f.Type, "ext") {
		pass = "2"
	}
	return strings.Join([]string{f.Device, f.Mount, f.Type, f.Options, "0", pass}, "\t"), nil
}

// mountScript puts our lines, given as arguments, into fstab: below a mark, in place of the lines for the same mount
// point. The new file is verified, aside, and everything in it mounted, before it takes the old one's place.
const mountScript = `set -e
new=/etc/fstab.jarvis
touch /etc/fstab
cp -p /etc/fstab "$new"
for l in "$@"; do
  m=$(printf '%s\n' "$l" | cut -f 2)
  if [ "$m" = none ]; then d=$(printf '%s\n' "$l" | cut -f 1); key=1; want=$d; else key=2; want=$m; fi
  awk -v key="$key" -v want="$want" '/^[[:space:]]*#/ || $key != want' "$new" > "$new.2"
  printf '%s\n' "$l" >> "$new.2"
  mv "$new.2" "$new"
done
chmod 644 "$new"
for l in "$@"; do
  m=$(printf '%s\n' "$l" | cut -f 2)
  [ "$m" = none ] || mkdir -p "$m"
done
if ! findmnt --verify --tab-file "$new" > "$new.log" 2>&1; then
  sed -n '/\[E\]/p' "$new.log" >&2
  [ -s "$new.log" ] || echo "findmnt is missing" >&2
  rm -f "$new" "$new.log"
  exit 3
fi
rm -f "$new.log"
changed=no
mounted=
for l in "$@"; do
  d=$(printf '%s\n' "$l" | cut -f 1); m=$(printf '%s\n' "$l" | cut -f 2); t=$(printf '%s\n' "$l" | cut -f 3)
  if [ "$t" = swap ]; then
    swapon --show=NAME --noheadings | grep -qx "$d" || { swapon "$d" >&2; changed=yes; }
    continue
  fi
  mountpoint -q "$m" && continue
  # Mounted by the new file before it is fstab: what cannot be mounted never gets there.
  if ! mount -T "$new" "$m" >&2; then
    for u in $mounted; do umount "$u"; done
    rm -f "$new"
    exit 4
  fi
  mounted="$m $mounted"; changed=yes
done
if cmp -s "$new" /etc/fstab; then rm -f "$new"; else sync; mv "$new" /etc/fstab; changed=yes; fi
echo "$changed"`

// filesystems reads the clipboard's, each with its line for fstab.
func filesystems(c *clipboard.Clipboard) (list []filesystem, lines []string, err error) {
	if !c.Has("filesystems") {
		return nil, nil, nil
	}
	if err := c.Decode("filesystems", &list); err != nil {
		return nil, nil, pipeline.Permanent(err)
	}
	for i, f := range list {
		l, err := f.line()
		if err != nil {
			return nil, nil, pipeline.Permanentf("filesystems, entry %d: %v", i+1, err)
		}
		lines = append(lines, l)
	}
	return list, lines, nil
}

// mountedScript prints which of its arguments are not mounted, and then what the first boot said of its disks (package
// cloudinit).
const mountedScript = `none=
for m in "$@"; do mountpoint -q "$m" || none="$none $m"; done
[ -n "$none" ] || exit 0
echo "$none"
grep '^jarvis: ' /var/log/cloud-init-output.log 2>/dev/null | tail -n 5 || true`

// ofFirstBoot lists where the first boot is to have mounted disks of the machine.
func ofFirstBoot(c *clipboard.Clipboard) ([]string, error) {
	var disks []struct {
		Mount string `yaml:"mount"`
	}
	if err := c.Decode("disks", &disks); err != nil && !errors.Is(err, clipboard.ErrMissing) {
		return nil, pipeline.Permanent(err)
	}
	var out []string
	for _, d := range disks {
		if d.Mount != "" {
			out = append(out, d.Mount)
		}
	}
	return out, nil
}

// seeDisks makes sure that the first boot did what it was told.
func (w *Worker) seeDisks(ctx context.Context, c *clipboard.Clipboard) error {
	disks, err := ofFirstBoot(c)
	if err != nil || len(disks) == 0 {
		return err
	}
	out, err := w.output(ctx, c, "look whether the disks are mounted", mountedScript, disks...)
	if err != nil || strings.TrimSpace(out) == "" {
		return err
	}
	missing, why, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if why = strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(why, "jarvis: ", ""), "\n", "; ")); why == "" {
		why = "cloud-init says nothing of it in /var/log/cloud-init-output.log"
	}
	return pipeline.Permanentf("the first boot did not mount %s (%s); mount it by hand, and retry", missing, why)
}

// mountFilesystems leaves fstab as it was when a filesystem cannot be mounted: else the next boot would hang.
func (w *Worker) mountFilesystems() pipeline.Step {
	return pipeline.Step{
		Name:    "ssh:mount_filesystems",
		Doc:     "mounts the clipboard's `filesystems` and writes them to fstab, which is verified before it is used; sees that the first boot mounted `disks`",
		Needs:   []string{"ipaddress", "hostkeys", "login?", "ssh_port?", "filesystems?", "disks?"},
		Timeout: 15 * time.Minute,
		Resume:  pipeline.Again,
		Drift:   w.driftMounts,
		Plan: func(_ context.Context, c *clipboard.Clipboard) (string, error) {
			_, lines, err := filesystems(c)
			if err != nil || len(lines) == 0 {
				return "would find nothing to do: the clipboard names no filesystems", err
			}
			return "would mount " + strings.ReplaceAll(strings.Join(lines, "; "), "\t", " "), nil
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			_, lines, err := filesystems(c)
			if err != nil {
				return err
			}
			if err := w.seeDisks(ctx, c); err != nil {
				return err
			}
			if len(lines) == 0 {
				pipeline.Progress(ctx, "nothing to do: the clipboard names no filesystems")
				return nil
			}
			out, err := w.output(ctx, c, "mount the filesystems", mountScript, lines...)
			if err != nil {
				if _, _, waits := pipeline.AsWait(err); waits || ctx.Err() != nil {
					return err
				}
				return pipeline.Permanent(errors.New(err.Error() + "; fstab is as it was"))
			}
			if strings.TrimSpace(out) == "no" {
				pipeline.Progress(ctx, "nothing to do: all is mounted, and in fstab")
			} else {
				pipeline.Progress(ctx, fmt.Sprintf("mounted, and in fstab: %d", len(lines)))
			}
			return nil
		},
	}
}
