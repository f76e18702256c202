package linode

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/linode/linodego"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

func (w *Worker) calls() provider.Calls {
	return provider.Calls{
		Module: "linode", Title: "Linode", Place: "at Linode",
		Settle: time.Minute, MaxTag: 50, // a tag has 3 to 50 characters, and its case does not count
		Needs: []string{"guestid", "size", "datacenter?", "root_password"},
		Find:  w.find, Get: w.get, Plan: w.plan, Create: w.create,
		Start: w.act("boot the machine", func(ctx context.Context, id int) error { return w.client.BootInstance(ctx, id, 0) }),
		Stop:  w.act("shut the machine down", w.client.ShutdownInstance),
		// Linode has one way to shut down: it asks the guest, and pulls the plug by itself after two minutes.
		Kill:   w.act("shut the machine down", w.client.ShutdownInstance),
		Delete: w.act("delete the machine", w.client.DeleteInstance),
		Reboot: w.act("reboot the machine", func(ctx context.Context, id int) error { return w.client.RebootInstance(ctx, id, 0) }),
		Kernel: w.kernel,
	}
}

// act gives a call about one machine.
func (w *Worker) act(what string, f func(context.Context, int) error) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		n, err := number(id)
		if err != nil {
			return err
		}
		return w.call(ctx, what, func(ctx context.Context) error { return f(ctx, n) })
	}
}

func number(id string) (int, error) {
	n, err := strconv.Atoi(id)
	if err != nil {
		return 0, pipeline.Permanentf("provider_id is %q; Linode's are numbers", id)
	}
	return n, nil
}

// find asks for labels and tag in one filter (https://techdocs.akamai.com/linode-api/reference/filtering-and-sorting).
func (w *Worker) find(ctx context.Context, q provider.Query) ([]provider.Machine, error) {
	var either []map[string]string
	for _, n := range q.Names {
		either = append(either, map[string]string{"label": n})
	}
	for _, t := range []string{q.Token, q.Owner} {
		if t != "" {
			either = append(either, map[string]string{"tags": t})
		}
	}
	filter, err := json.Marshal(map[string]any{"+or": either})
	if err != nil {
		return nil, fmt.Errorf("write the filter: %w", err)
	}
	var list []linodego.Instance
	err = w.call(ctx, "look for the machine", func(ctx context.Context) error {
		list, err = w.client.ListInstances(ctx, &linodego.ListOptions{Filter: string(filter)})
		return err
	})
	out := make([]provider.Machine, 0, len(list))
	for i := range list {
		out = append(out, machine(&list[i]))
	}
	return out, err
}

func (w *Worker) get(ctx context.Context, id string) (provider.Machine, error) {
	n, err := number(id)
	if err != nil {
		return provider.Machine{}, err
	}
	var in *linodego.Instance
	err = w.call(ctx, "read the machine "+id, func(ctx context.Context) error {
		in, err = w.client.GetInstance(ctx, n)
		return err
	})
	if err != nil {
		return provider.Machine{}, err
	}
	return machine(in), nil
}

var states = map[linodego.InstanceStatus]provider.State{
	linodego.InstanceRunning: provider.Running, linodego.InstanceOffline: provider.Stopped,
	linodego.InstanceShuttingDown: provider.Stopping, linodego.InstanceDeleting: provider.Deleting,
}

func machine(in *linodego.Instance) provider.Machine {
	m := provider.Machine{ID: strconv.Itoa(in.ID), Name: in.Label, State: states[in.Status], Doing: strings.ReplaceAll(string(in.Status), "_", " ")}
	if in.Created != nil {
		m.Created = *in.Created
	}
	for _, t := range in.Tags {
		// An owner has a colon, a token has none.
		switch ours, owner := strings.HasPrefix(t, "jarvis-"), strings.Contains(t, ":"); {
		case ours && owner:
			m.Owner = t
		case ours:
			m.Token = t
		}
	}
	for _, ip := range in.IPv4 {
		if a, ok := netip.AddrFromSlice(*ip); ok && !a.Unmap().IsPrivate() && !m.V4.IsValid() {
			m.V4 = a.Unmap()
		}
	}
	if p, err := netip.ParsePrefix(in.IPv6); err == nil { // "2600:3c03::f03c:91ff:fe24:3a2f/128"
		m.V6 = p.Addr()
	}
	return m
}

// labels: 3 to 64 letters, digits, - _ and ., beginning and ending with a letter or digit, no two of - _ . in a row.
var labels = regexp.MustCompile(`^[a-zA-Z0-9]([-_.]?[a-zA-Z0-9])+$`)

// order is what we ask Linode for.
type order struct {
	opts  linodego.InstanceCreateOptions
	price linodego.LinodePrice
	plan  linodego.LinodeType
	place linodego.Region
}

// order reads the clipboard's words. It needs no secret, so that Plan can use it.
func (w *Worker) order(ctx context.Context, c *clipboard.Clipboard) (order, error) {
	var o order
	in, err := c.Instance()
	if err != nil {
		return o, pipeline.Permanent(err)
	}
	if len(in.FQDN) < 3 || len(in.FQDN) > 64 || !labels.MatchString(in.FQDN) {
		return o, pipeline.Permanentf("%q can not be a label at Linode: 3 to 64 letters, digits, - and ., no two of - and . in a row; give the host another name", in.FQDN)
	}
	image, err := w.image(ctx, c.Get("guestid"))
	if err != nil {
		return o, err
	}
	if o.place, err = w.region(ctx, c.Get("datacenter")); err != nil {
		return o, err
	}
	if o.plan, err = w.planType(ctx, c.Get("size")); err != nil {
		return o, err
	}
	if o.plan.Price != nil {
		o.price = *o.plan.Price
	}
	for _, p := range o.plan.RegionPrices {
		if p.ID == o.place.ID {
			o.price = linodego.LinodePrice{Hourly: p.Hourly, Monthly: p.Monthly}
		}
	}
	booted := true
	o.opts = linodego.InstanceCreateOptions{Region: o.place.ID, Type: o.plan.ID, Label: in.FQDN, Image: image, Booted: &booted}
	return o, nil
}

func (w *Worker) plan(ctx context.Context, c *clipboard.Clipboard) (string, error) {
	o, err := w.order(ctx, c)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("would make %s: %s (%s, %d MB), %s, in %s (%s), $%.2f a month", o.opts.Label, o.plan.Label, o.plan.ID, o.plan.Memory, o.opts.Image, o.place.Label, o.place.ID, o.price.Monthly), nil
}

func (w *Worker) create(ctx context.Context, c *clipboard.Clipboard, mark provider.Mark) (provider.Machine, error) {
	o, err := w.order(ctx, c)
	if err != nil {
		return provider.Machine{}, err
	}
	user, err := cloudinit.UserData(c)
	if err != nil {
		return provider.Machine{}, pipeline.Permanent(err)
	}
	pass, err := c.Secret("root_password")
	if err != nil {
		return provider.Machine{}, pipeline.Permanent(err)
	}
	o.opts.RootPass = string(pass)
	o.opts.Metadata = &linodego.InstanceMetadataOptions{UserData: base64.StdEncoding.EncodeToString([]byte(user))}
	o.opts.Tags = []string{mark.Token, mark.Owner}
	pipeline.Progress(ctx, fmt.Sprintf("making a %s in %s", o.plan.Label, o.place.Label))
	var in *linodego.Instance
	err = w.call(ctx, "make the machine", func(ctx context.Context) error {
		in, err = w.client.CreateInstance(ctx, o.opts)
		return err
	})
	if err != nil {
		return provider.Machine{}, err
	}
	return machine(in), nil
}

// kernel sets the kernel in every configuration profile of the machine.
func (w *Worker) kernel(ctx context.Context, id string, set bool) (due bool, err error) {
	n, err := number(id)
	if err != nil {
		return false, err
	}
	var list []linodego.InstanceConfig
	err = w.call(ctx, "read the machine's configuration", func(ctx context.Context) error {
		list, err = w.client.ListInstanceConfigs(ctx, n, nil)
		return err
	})
	if err != nil {
		return false, err
	}
	for _, cfg := range list {
		if cfg.Kernel == w.cfg.Kernel {
			continue
		}
		due = true
		if !set {
			continue
		}
		opts := cfg.GetUpdateOptions()
		opts.Kernel = w.cfg.Kernel
		pipeline.Progress(ctx, fmt.Sprintf("kernel %s becomes %s", cfg.Kernel, w.cfg.Kernel))
		err = w.call(ctx, "set the kernel", func(ctx context.Context) error {
			_, err := w.client.UpdateInstanceConfig(ctx, n, cfg.ID, opts)
			return err
		})
		if err != nil {
			return due, err
		}
	}
	return due, nil
}
