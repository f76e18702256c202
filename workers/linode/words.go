package linode

import (
	"context"
	"fmt"
	"slices"
	"strconv"
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
			return "", pipeline.Permanentf("Linode's image %s has no cloud-init, so it can not be told its keys", i.ID)
		case slices.Contains(i.Capabilities, "cloud-init"):
			table[strings.TrimSuffix(i.Label, " LTS")] = i.ID
			table[i.Label] = i.ID
		}
	}
	return provider.Word("guestid", said, table, "Linode")
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
	id, err := provider.Word("datacenter", said, table, "Linode")
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

// planType finds the plan: megabytes of memory give the smallest shared plan that has them, the cheapest of these; else
// the plan's label ("Linode 4GB") or id ("g6-standard-2").
func (w *Worker) planType(ctx context.Context, said string) (linodego.LinodeType, error) {
	var list []linodego.LinodeType
	err := w.call(ctx, "list the plans", func(ctx context.Context) (err error) {
		list, err = w.client.ListTypes(ctx, nil)
		return err
	})
	if err != nil {
		return linodego.LinodeType{}, err
	}
	if mb, err := strconv.Atoi(said); err == nil {
		best, most := -1, 0
		for i, t := range list {
			if t.Class != linodego.ClassNanode && t.Class != linodego.ClassStandard {
				continue
			}
			most = max(most, t.Memory)
			if t.Memory >= mb && (best < 0 || t.Memory < list[best].Memory || t.Memory == list[best].Memory && t.Price.Monthly < list[best].Price.Monthly) {
				best = i
			}
		}
		if best < 0 || mb < 1 {
			return linodego.LinodeType{}, pipeline.Permanentf("\"size\" is %q: Linode's shared plans have up to %d MB; name a larger plan by its own name", said, most)
		}
		return list[best], nil
	}
	table := map[string]string{}
	for _, t := range list {
		table[t.Label] = t.ID
	}
	id, err := provider.Word("size", said, table, "Linode")
	for _, t := range list {
		if t.ID == id {
			return t, nil
		}
	}
	return linodego.LinodeType{}, err
}
