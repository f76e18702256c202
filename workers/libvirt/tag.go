package libvirt

import (
	"context"
	"encoding/xml"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// namespace of what we write into a domain's metadata, and the prefix that libvirt gives it.
const namespace, prefix = "https://github.com/jarvisops/jarvis/libvirt", "jarvis"

// tag has a domain carry a mark, in what is stored of it and, while it runs, in what runs. What else stands in its
// metadata is others' and stays.
func (w *Worker) tag(ctx context.Context, id string, now provider.Mark) error {
	return w.with(ctx, "mark the machine "+id, id, func(l *golibvirt.Libvirt, dom golibvirt.Domain) error {
		stored, err := l.DomainIsPersistent(dom)
		if err != nil {
			return err
		}
		if stored == 0 {
			return pipeline.Permanentf("the machine %s (%s) is a transient one, which is gone with its marks when it powers off; define it first (virsh dumpxml %s, then virsh define)", id, dom.Name, id)
		}
		d, err := describe(l, dom)
		if err != nil {
			return err
		}
		var before mark
		if d.Metadata != nil {
			before = markOf(d.Metadata.XML, d.UUID)
		}
		element, err := before.with(d.UUID, now).element()
		if err != nil {
			return err
		}
		reach := golibvirt.DomainAffectConfig
		if on, err := l.DomainIsActive(dom); err != nil {
			return err
		} else if on == 1 {
			reach |= golibvirt.DomainAffectLive
		}
		return l.DomainSetMetadata(dom, int32(golibvirt.DomainMetadataElement), element, golibvirt.OptString{prefix}, golibvirt.OptString{namespace}, reach)
	})
}

// element writes the mark for DomainSetMetadata; nothing, which takes the element away, when the mark says nothing.
func (m mark) element() (golibvirt.OptString, error) {
	if m.empty() {
		return nil, nil
	}
	text, err := xml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the machine's marks: %w", err)
	}
	return golibvirt.OptString{string(text)}, nil
}
