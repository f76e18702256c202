package linode

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/linode/linodego"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// image finds the image that a person names by its label ("Debian 12") or id ("linode/debian12"). Images that Linode
// has withdrawn, and those without cloud-init, do not count: they could not be told their keys.
func (w *Worker) image(ctx context.Context, said string) (string, error) {
	var list []linodego.Image
	err := w.call(ctx, "list the images", func(ctx context.Context) (err error) {
		list, err = w.client.ListImages(ctx, nil)
		return err
	})
	if err != nil {
		return "", err
	}
	table := map[string]string{}
	for _, i := range list {
		switch {
		case !i.IsPublic:
			if i.ID == said {
				return i.ID, nil // one of the account's own, by its id: labels there need not be unique
			}
		case i.Deprecated || strings.Contains(i.ID, "-kube") || strings.Contains(i.ID, "-nvidia"):
		case i.ID == said && !slices.Contains(i.Capabilities, "cloud-init"):
			return "", pipeline.Permanentf("Linode's image %s has no cloud-init, so it cannot be told its keys", i.ID)
		case slices.Contains(i.Capabilities, "cloud-init"):
			table[strings.TrimSuffix(i.Label, " LTS")] = i.ID
			table[i.Label] = i.ID
		}
	}
	return provider.Word("guestid", said, "Linode", table)
}

// region finds the datacenter by its city ("Atlanta"), label ("Atlanta, GA") or id ("us-southeast").
func (w *Worker) region(ctx context.Context, said string) (linodego.Region, error) {
	if said == "" {
		said = w.cfg.Region
	}
	var list []linodego.Region
	err := w.call(ctx, "list the regions", func(ctx context.Context) (err error) {
		list, err = w.client.ListRegions(ctx, nil)
		return err
	})
	if err != nil {
		return linodego.Region{}, err
	}
	table := map[string]string{}
	for _, r := range list {
		city, _, _ := strings.Cut(r.Label, ",")
		table[city] = r.ID
		if provider.Same(r.Label, said) {
			said = r.ID
		}
	}
	id, err := provider.Word("datacenter", said, "Linode", table)
	if err != nil {
		return linodego.Region{}, err
	}
	for _, r := range list {
		if r.ID != id {
			continue
		}
		for _, need := range []string{linodego.CapabilityLinodes, "Metadata"} {
			if !slices.Contains(r.Capabilities, need) {
				return r, pipeline.Permanentf("Linode's datacenter %s does not offer %q, which we need to hand over keys", r.Label, need)
			}
		}
		if r.Status != "ok" {
			return r, fmt.Errorf("the datacenter %s of Linode has an outage", r.Label)
		}
		return r, nil
	}
	return linodego.Region{}, provider.Unknown("datacenter", said, nil, "Linode")
}

// classes are the kinds of plans for a size in memory; the default are the shared ones.
var classes = map[string][]linodego.LinodeTypeClass{
	"": {linodego.ClassNanode, linodego.ClassStandard}, "shared": {linodego.ClassNanode, linodego.ClassStandard},
	"dedicated": {linodego.ClassDedicated}, "highmem": {linodego.ClassHighmem}, "premium": {"premium"},
}

// planType finds the plan: an amount of memory gives the smallest plan of the class that has it, and as many CPUs as
// are asked for, the cheapest of these; else the plan's label ("Linode 4 GB") or id ("g6-standard-2").
func (w *Worker) planType(ctx context.Context, want provider.Size, class string) (linodego.LinodeType, error) {
	var none linodego.LinodeType
	if want.Said == "" {
		return none, pipeline.Permanentf("the clipboard names no \"size\": write 2GB, or a plan as in g6-standard-1")
	}
	var list []linodego.LinodeType
	err := w.call(ctx, "list the plans", func(ctx context.Context) (err error) {
		list, err = w.client.ListTypes(ctx, nil)
		return err
	})
	if err != nil {
		return none, err
	}
	if want.Memory > 0 {
		return smallest(list, want, class)
	}
	table := map[string]string{}
	for _, t := range list {
		table[t.Label] = t.ID
	}
	id, err := provider.Word("size", want.Said, "Linode", table)
	for _, t := range list {
		if t.ID == id {
			return t, nil
		}
	}
	return none, err
}

// smallest takes the least memory that will do, and of plans with as much the cheapest. A plan without a price is
// passed over.
func smallest(list []linodego.LinodeType, want provider.Size, class string) (linodego.LinodeType, error) {
	best, most, cores := -1, 0, 0
	for i, t := range list {
		if !slices.Contains(classes[class], t.Class) || t.Price == nil {
			continue
		}
		most, cores = max(most, t.Memory), max(cores, t.VCPUs)
		if t.Memory < int(want.Memory) || t.VCPUs < want.CPUs {
			continue
		}
		if best < 0 || t.Memory < list[best].Memory || t.Memory == list[best].Memory && t.Price.Monthly < list[best].Price.Monthly {
			best = i
		}
	}
	if best < 0 {
		if class == "" {
			class = "shared"
		}
		return linodego.LinodeType{}, pipeline.Permanentf("\"size\" is %q: Linode's %s plans have up to %d MB and %d CPUs; name a larger plan by its own name, or another class under options", want.Said, class, most, cores)
	}
	return list[best], nil
}
