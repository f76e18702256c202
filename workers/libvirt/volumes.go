package libvirt

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// A machine's volumes: its token, and what they are.
var volumeName = pattern.New(`^(.+)\.(?:root\.qcow2|disk[0-9]+\.qcow2|seed\.img)$`)

// plainToken is a token that may be a part of a file's name.
var plainToken = pattern.New(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// tokenOf gives the token in a volume's name; "" when it is not one of ours.
func tokenOf(volume string) string {
	if m := volumeName.FindStringSubmatch(volume); m != nil {
		return m[1]
	}
	return ""
}

func rootName(token string) string        { return token + ".root.qcow2" }
func diskName(token string, i int) string { return fmt.Sprintf("%s.disk%d.qcow2", token, i+1) }
func seedName(token string) string        { return token + ".seed.img" }

// image is what a machine's disk stands on.
type image struct {
	name, path, format string
	size               int64 // bytes
}

// findImage finds the image for a guestid.
func (w *Worker) findImage(l *golibvirt.Libvirt, guest string) (image, error) {
	if len(w.cfg.Images) == 0 {
		return image{}, pipeline.Permanentf("no image is configured; set workers.libvirt.images")
	}
	said, err := provider.Word("guestid", guest, "workers.libvirt.images", w.cfg.Images)
	if err != nil {
		return image{}, err
	}
	vol, err := w.imageVolume(l, said)
	if err != nil {
		return image{}, err
	}
	desc, err := l.StorageVolGetXMLDesc(vol, 0)
	if err != nil {
		return image{}, err
	}
	var v libvirtxml.StorageVolume
	if err := v.Unmarshal(desc); err != nil || v.Target == nil || v.Capacity == nil {
		return image{}, fmt.Errorf("libvirt describes the image %s in a way that we cannot read: %v", said, err)
	}
	out := image{name: said, path: v.Target.Path, size: int64(v.Capacity.Value), format: "raw"}
	if v.Target.Format != nil {
		out.format = v.Target.Format.Type
	}
	if out.format == "iso" {
		return image{}, pipeline.Permanentf("the image %s is a CD's: a machine needs the image of a disk, with cloud-init in it", said)
	}
	return out, nil
}

// imageVolume finds an image by POOL/VOLUME, or by its path. A pool learns of new files when it is refreshed.
func (w *Worker) imageVolume(l *golibvirt.Libvirt, said string) (golibvirt.StorageVol, error) {
	if strings.HasPrefix(said, "/") {
		vol, err := l.StorageVolLookupByPath(said)
		if !no(err, golibvirt.ErrNoStorageVol) {
			return vol, err
		}
		pools, _, err := l.ConnectListAllStoragePools(1, golibvirt.ConnectListStoragePoolsActive)
		if err != nil {
			return vol, err
		}
		for _, p := range pools {
			_ = l.StoragePoolRefresh(p, 0) // one that cannot be read is not where the image is
		}
		if vol, err = l.StorageVolLookupByPath(said); no(err, golibvirt.ErrNoStorageVol) {
			err = pipeline.Permanentf("the image %s is in no storage pool of %s; put it into one, or make its folder one (docs/howto/libvirt.md)", said, w.host)
		}
		return vol, err
	}
	name, file, ok := strings.Cut(said, "/")
	if !ok {
		return golibvirt.StorageVol{}, pipeline.Permanentf("workers.libvirt.images: %q is neither POOL/VOLUME nor a path", said)
	}
	pool, err := w.pool(l, name)
	if err != nil {
		return golibvirt.StorageVol{}, err
	}
	vol, err := l.StorageVolLookupByName(pool, file)
	if no(err, golibvirt.ErrNoStorageVol) {
		if err := l.StoragePoolRefresh(pool, 0); err != nil {
			return vol, err
		}
		vol, err = l.StorageVolLookupByName(pool, file)
	}
	if no(err, golibvirt.ErrNoStorageVol) {
		vols, _, lerr := l.StoragePoolListAllVolumes(pool, 1, 0)
		if lerr != nil {
			return vol, lerr
		}
		var have []string
		for _, v := range vols {
			if tokenOf(v.Name) == "" {
				have = append(have, v.Name)
			}
		}
		err = provider.Unknown("image", file, have, "the storage pool "+name)
	}
	return vol, err
}

// pool finds a storage pool that can be used.
func (w *Worker) pool(l *golibvirt.Libvirt, name string) (golibvirt.StoragePool, error) {
	pool, err := l.StoragePoolLookupByName(name)
	if no(err, golibvirt.ErrNoStoragePool) {
		pools, _, lerr := l.ConnectListAllStoragePools(1, 0)
		if lerr != nil {
			return pool, lerr
		}
		var have []string
		for _, p := range pools {
			have = append(have, p.Name)
		}
		return pool, provider.Unknown("storage pool", name, have, w.host)
	}
	return pool, err
}

// room gives what a pool has free, in bytes.
func (w *Worker) room(l *golibvirt.Libvirt, pool golibvirt.StoragePool) (int64, error) {
	state, _, _, free, err := l.StoragePoolGetInfo(pool)
	if err == nil && golibvirt.StoragePoolState(state) != golibvirt.StoragePoolRunning {
		err = pipeline.Permanentf("the storage pool %s is not active; start it (virsh pool-start %s)", pool.Name, pool.Name)
	}
	return int64(free), err
}

// ours lists the volumes in a pool that carry a token of ours, by token.
func (w *Worker) ours(l *golibvirt.Libvirt, name string) (map[string][]golibvirt.StorageVol, error) {
	pool, err := w.pool(l, name)
	if err != nil {
		return nil, err
	}
	vols, _, err := l.StoragePoolListAllVolumes(pool, 1, 0)
	out := map[string][]golibvirt.StorageVol{}
	for _, v := range vols {
		if t := tokenOf(v.Name); t != "" {
			out[t] = append(out[t], v)
		}
	}
	return out, err
}

// makeVolumes makes a machine's volumes afresh: while there is no domain, nobody uses what an earlier try left, and it
// may be half a disk.
func (w *Worker) makeVolumes(l *golibvirt.Libvirt, o order, token string, files map[string]string) error {
	pool, err := w.pool(l, w.cfg.Pool)
	if err != nil {
		return err
	}
	if err := w.removeVolumes(l, w.cfg.Pool, token); err != nil {
		return err
	}
	volumes := map[string]libvirtxml.StorageVolume{rootName(token): {
		Target:       &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"}},
		Capacity:     &libvirtxml.StorageVolumeSize{Value: uint64(o.root)},
		BackingStore: &libvirtxml.StorageVolumeBackingStore{Path: o.image.path, Format: &libvirtxml.StorageVolumeTargetFormat{Type: o.image.format}},
	}}
	for i, size := range o.disks {
		volumes[diskName(token, i)] = libvirtxml.StorageVolume{Target: &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"}},
			Capacity: &libvirtxml.StorageVolumeSize{Value: uint64(size)}}
	}
	content, err := seed(files)
	if err != nil {
		return pipeline.Permanent(err)
	}
	// Its secrets are for the hypervisor only.
	volumes[seedName(token)] = libvirtxml.StorageVolume{Capacity: &libvirtxml.StorageVolumeSize{Value: uint64(len(content))},
		Target: &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "raw"}, Permissions: &libvirtxml.StorageVolumeTargetPermissions{Mode: "0600"}}}
	for _, name := range slices.Sorted(maps.Keys(volumes)) {
		v := volumes[name]
		v.Name = name
		text, err := v.Marshal()
		if err != nil {
			return fmt.Errorf("describe the volume %s: %w", name, err)
		}
		vol, err := l.StorageVolCreateXML(pool, text, 0)
		if err == nil && name == seedName(token) {
			err = l.StorageVolUpload(vol, bytes.NewReader(content), 0, uint64(len(content)), 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeVolumes removes what carries the token, and nothing else.
func (w *Worker) removeVolumes(l *golibvirt.Libvirt, pool, token string) error {
	all, err := w.ours(l, pool)
	if err != nil {
		return err
	}
	for _, v := range all[token] {
		if err := l.StorageVolDelete(v, 0); err != nil && !no(err, golibvirt.ErrNoStorageVol) {
			return err
		}
	}
	return nil
}
