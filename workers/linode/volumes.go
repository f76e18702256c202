package linode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/linode/linodego"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// A machine's further disks are Volumes (https://techdocs.akamai.com/linode-api/reference/post-volume). They are made
// for it while it is off, before its first boot, and carry its token and owner; they go before it does. One that
// somebody detached is not the machine's any more, and stays: what we detach to delete it carries the tag `going`
// first.

// Limits of Linode: a Volume has 10 to 16384 GB, and a machine eight disks, two of which it is made with.
const (
	minVolume, maxVolume = 10, 16384 // GB
	maxVolumes           = 6
)

// going is the tag of Volumes that are being deleted.
const going = "jarvis-going"

// volumeLabel is that of the i-th further disk of a run's machine: 1 to 32 letters, digits, - and _, one in the
// account.
func volumeLabel(token string, i int) string {
	if label := fmt.Sprintf("%s-%d", token, i+1); provider.IsToken(token) && len(label) <= 32 {
		return label
	}
	sum := sha256.Sum256([]byte(token))
	return fmt.Sprintf("jarvis-%s-%d", hex.EncodeToString(sum[:8]), i+1)
}

// diskAt is what a Volume's filesystem_path says, known before there is one.
func diskAt(_ provider.Spec, i int, mark provider.Mark) []string {
	return []string{"path:/dev/disk/by-id/scsi-0Linode_Volume_" + volumeLabel(mark.Token, i)}
}

// volumesOf makes sure that Linode can make the disks there.
func volumesOf(s provider.Spec, place linodego.Region) error {
	has := func(c string) bool { return slices.Contains(place.Capabilities, c) }
	switch {
	case len(s.Disks) == 0:
		return nil
	case len(s.Disks) > maxVolumes:
		return pipeline.Permanentf("disks: a machine at Linode takes %d beside its own, and the clipboard has %d", maxVolumes, len(s.Disks))
	case !has(linodego.CapabilityBlockStorage):
		return pipeline.Permanentf("disks: Linode has no Volumes in %s (%s)", place.Label, place.ID)
	}
	for _, d := range s.Disks {
		switch {
		case d.Size.GB() < minVolume || d.Size.GB() > maxVolume:
			return pipeline.Permanentf("disks: %s is asked for, and at Linode a disk has %d to %d GB", d.Size, minVolume, maxVolume)
		case d.Encrypted && !has(linodego.CapabilityBlockStorageEncryption):
			return pipeline.Permanentf("disks: Linode does not encrypt Volumes in %s (%s)", place.Label, place.ID)
		}
	}
	return nil
}

// finish gives the machine its Volumes, and boots it when it has them all.
func (w *Worker) finish(ctx context.Context, s provider.Spec, m provider.Machine, mark provider.Mark) error {
	if len(s.Disks) == 0 {
		return nil
	}
	id, err := number(m.ID)
	if err != nil {
		return err
	}
	var labels []map[string]string
	for i := range s.Disks {
		labels = append(labels, map[string]string{"label": volumeLabel(mark.Token, i)})
	}
	have, err := w.volumes(ctx, map[string]any{"+or": labels}, false)
	if err != nil {
		return err
	}
	all := true
	for i, d := range s.Disks {
		n := slices.IndexFunc(have, func(v linodego.Volume) bool { return v.Label == volumeLabel(mark.Token, i) })
		if n < 0 {
			err = w.makeVolume(ctx, i, d, id, s.Tags, mark)
		} else {
			err = w.putVolume(ctx, have[n], id, mark)
		}
		if err != nil {
			return err
		}
		all = all && n >= 0 && attached(have[n], id) && have[n].Status == linodego.VolumeActive
	}
	if !all {
		return pipeline.Wait(provider.Pause(ctx), "Linode is making its disks")
	}
	switch now, err := w.get(ctx, m.ID); {
	case err != nil:
		return err
	case now.State == provider.Running:
		return nil
	case now.State != provider.Stopped:
		return pipeline.Wait(provider.Pause(ctx), "the machine is "+now.Doing)
	}
	pipeline.Progress(ctx, "booting it with its disks")
	return w.call(ctx, "boot the machine", func(ctx context.Context) error { return w.client.BootInstance(ctx, id, 0) })
}

func attached(v linodego.Volume, id int) bool { return v.LinodeID != nil && *v.LinodeID == id }

// makeVolume makes and attaches the i-th disk. A Wait: an earlier try made it, and Linode does not show it yet.
func (w *Worker) makeVolume(ctx context.Context, i int, d provider.Disk, id int, tags map[string]string, mark provider.Mark) error {
	opts := linodego.VolumeCreateOptions{Label: volumeLabel(mark.Token, i), LinodeID: id, Size: int(d.Size.GB()), Tags: append([]string{mark.Token, mark.Owner}, words(tags)...)}
	if d.Encrypted {
		opts.Encryption = "enabled"
	}
	pipeline.Progress(ctx, fmt.Sprintf("making a disk of %s", d.Size))
	err := w.call(ctx, "make the disk "+opts.Label, func(ctx context.Context) error {
		_, err := w.client.CreateVolume(ctx, opts)
		return err
	})
	if errors.Is(err, provider.ErrTaken) { // an earlier try's, whose answer was lost
		return pipeline.Wait(2*time.Second, "Linode has the disk "+opts.Label+", and does not show it yet")
	}
	return err
}

// putVolume makes sure that a Volume of an earlier try is where it belongs. What is not of this run is not touched.
func (w *Worker) putVolume(ctx context.Context, v linodego.Volume, id int, mark provider.Mark) error {
	switch {
	case !slices.Contains(v.Tags, mark.Token) || slices.Contains(v.Tags, going), v.LinodeID != nil && *v.LinodeID != id:
		return pipeline.Permanentf("Linode has a Volume %s (%d), made %s, that this run did not make for this machine: nothing is touched; if it is not needed, delete it there", v.Label, v.ID, day(v.Created))
	case v.LinodeID == nil && v.Status == linodego.VolumeActive:
		return w.call(ctx, "attach the disk "+v.Label, func(ctx context.Context) error {
			_, err := w.client.AttachVolume(ctx, v.ID, &linodego.VolumeAttachOptions{LinodeID: id})
			return err
		})
	}
	return nil
}

func day(t *time.Time) string {
	if t == nil {
		return "some day"
	}
	return plain.Time(*t)
}

// volumes lists those that a filter finds. What a token may not see is an error, or, when quiet, not there.
func (w *Worker) volumes(ctx context.Context, filter any, quiet bool) (list []linodego.Volume, err error) {
	text, err := json.Marshal(filter)
	if err != nil {
		return nil, fmt.Errorf("write the filter: %w", err)
	}
	err = w.call(ctx, "look for its disks", func(ctx context.Context) error {
		list, err = w.client.ListVolumes(ctx, &linodego.ListOptions{Filter: string(text)})
		if quiet && linodego.ErrHasStatus(err, http.StatusUnauthorized, http.StatusForbidden) {
			return nil
		}
		return err
	})
	return list, err
}

// withOwner lists the Volumes that we made for machines of an owner. A token that may not see Volumes has made none.
func (w *Worker) withOwner(ctx context.Context, owner string) ([]linodego.Volume, error) {
	if owner == "" {
		return nil, nil
	}
	list, err := w.volumes(ctx, map[string]string{"tags": owner}, true)
	return slices.DeleteFunc(list, func(v linodego.Volume) bool {
		m, _ := provider.MarkOf(v.Tags)
		return m.Owner != owner || m.Token == ""
	}), err
}

// remove deletes the machine's Volumes, and then the machine: as long as there is one, the next try knows of the rest.
func (w *Worker) remove(ctx context.Context, id string) error {
	n, err := number(id)
	if err != nil {
		return err
	}
	m, err := w.get(ctx, id)
	if err != nil {
		return err
	}
	list, err := w.withOwner(ctx, m.Owner)
	if err != nil {
		return err
	}
	left := ""
	for _, v := range list {
		switch {
		case attached(v, n):
			left = v.Label
			err = w.detach(ctx, v)
		case v.LinodeID == nil && slices.Contains(v.Tags, going):
			err = w.call(ctx, "delete the disk "+v.Label, func(ctx context.Context) error { return w.client.DeleteVolume(ctx, v.ID) })
		}
		if err != nil && !errors.Is(err, provider.ErrGone) {
			return err
		}
	}
	if left != "" {
		return pipeline.Wait(provider.Pause(ctx), "its disk "+left+" is being detached")
	}
	return w.act("delete the machine", w.client.DeleteInstance)(ctx, id)
}

// detach says first, at Linode, what for.
func (w *Worker) detach(ctx context.Context, v linodego.Volume) error {
	if slices.Contains(v.Tags, going) {
		return w.call(ctx, "detach the disk "+v.Label, func(ctx context.Context) error { return w.client.DetachVolume(ctx, v.ID) })
	}
	return w.retag(ctx, v, append(v.Tags, going))
}

func (w *Worker) retag(ctx context.Context, v linodego.Volume, tags []string) error {
	return w.call(ctx, "tag the disk "+v.Label, func(ctx context.Context) error {
		_, err := w.client.UpdateVolume(ctx, v.ID, linodego.VolumeUpdateOptions{Tags: &tags})
		return err
	})
}

// handOver gives a machine's Volumes another owner, before the machine has it.
func (w *Worker) handOver(ctx context.Context, machine int, from, to string) error {
	if from == to || to == "" {
		return nil
	}
	list, err := w.withOwner(ctx, from)
	if err != nil {
		return err
	}
	for _, v := range list {
		if !attached(v, machine) {
			continue
		}
		tags := append(slices.DeleteFunc(slices.Clone(v.Tags), func(t string) bool { return t == from }), to)
		if err := w.retag(ctx, v, tags); err != nil {
			return err
		}
	}
	return nil
}
