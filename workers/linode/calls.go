package linode

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/linode/linodego"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// Calls says how Linode does what every provider does.
func (w *Worker) Calls() provider.Calls {
	return provider.Calls{
		Module: "linode", Title: "Linode", Place: "at Linode",
		Settle: time.Minute, MaxTag: maxTag, MaxUserData: maxUserData,
		Needs:   []string{"guestid", "datacenter?", "root_password"},
		Honours: honours, Options: options, Defaults: w.cfg.Defaults, Account: w.cfg.Account,
		Find: w.find, Get: w.get, Plan: w.plan, Create: w.create, Finish: w.finish, Tag: w.tag, DiskAt: diskAt,
		Start: w.act("boot the machine", func(ctx context.Context, id int) error { return w.client.BootInstance(ctx, id, 0) }),
		Stop:  w.act("shut the machine down", w.client.ShutdownInstance),
		// Linode has one way to shut down: it asks the guest, and pulls the plug by itself after two minutes.
		Kill:   w.act("shut the machine down", w.client.ShutdownInstance),
		Delete: w.remove,
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

// tag replaces the tags that have the form of ours; the others stay.
func (w *Worker) tag(ctx context.Context, id string, mark provider.Mark) error {
	n, err := number(id)
	if err != nil {
		return err
	}
	var in *linodego.Instance
	err = w.call(ctx, "read the machine "+id, func(ctx context.Context) error {
		in, err = w.client.GetInstance(ctx, n)
		return err
	})
	if err != nil {
		return err
	}
	before, tags := provider.MarkOf(in.Tags)
	if err := w.handOver(ctx, n, before.Owner, mark.Owner); err != nil {
		return err
	}
	for _, t := range []string{mark.Token, mark.Owner} {
		if t != "" {
			tags = append(tags, t)
		}
	}
	if tags == nil {
		tags = []string{}
	}
	return w.call(ctx, "tag the machine", func(ctx context.Context) error {
		_, err := w.client.UpdateInstance(ctx, n, linodego.InstanceUpdateOptions{Tags: &tags})
		return err
	})
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
		m := machine(&list[i])
		if m.Token == "" && q.Token != "" && slices.Contains(list[i].Tags, q.Token) {
			m.Token = q.Token // also one that `jarvis step --token` chose
		}
		out = append(out, m)
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
	m := provider.Machine{Size: in.Type, Tags: map[string]string{}, ID: strconv.Itoa(in.ID), Name: in.Label, State: states[in.Status], Doing: strings.ReplaceAll(string(in.Status), "_", " ")}
	if in.Created != nil {
		m.Created = *in.Created
	}
	var others []string
	m.Mark, others = provider.MarkOf(in.Tags)
	for _, t := range others {
		key, value, _ := strings.Cut(t, ":")
		m.Tags[key] = value
	}
	for _, ip := range in.IPv4 {
		switch a, ok := netip.AddrFromSlice(*ip); {
		case ok && a.Unmap().IsPrivate():
			m.Private = a.Unmap()
		case ok && !m.V4.IsValid():
			m.V4 = a.Unmap()
		}
	}
	if p, err := netip.ParsePrefix(in.IPv6); err == nil { // "2600:3c03::f03c:91ff:fe24:3a2f/128"
		m.V6 = p.Addr()
	}
	return m
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
		pipeline.Progress(ctx, fmt.Sprintf("kernel %s becomes %s", cfg.Kernel, w.cfg.Kernel))
		err = w.call(ctx, "set the kernel", func(ctx context.Context) error {
			return w.putKernel(ctx, n, cfg.ID)
		})
		if err != nil {
			return due, err
		}
	}
	return due, nil
}

// putKernel changes the kernel and nothing else. linodego would send the whole profile back, which the API takes for
// changes of the rest: `interfaces: []` removes the host's VPC and VLAN.
func (w *Worker) putKernel(ctx context.Context, machine, profile int) error {
	r, err := w.client.R(ctx).SetBody(map[string]string{"kernel": w.cfg.Kernel}).Put(fmt.Sprintf("linode/instances/%d/configs/%d", machine, profile))
	switch {
	case err != nil:
		return err
	case r.IsError():
		return linodego.NewError(r)
	}
	return nil
}
