package ec2

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// Tags that carry the run's token, and the host's owner.
const (
	tag      = "jarvis"
	tagOwner = "jarvis-owner"
)

// maxUserData is what EC2 takes, before base64.
const maxUserData = 16 << 10

// calls says how EC2 does what every provider does. An instance boots its own kernel always, and reboots itself.
func (w *Worker) calls() provider.Calls {
	return provider.Calls{
		Module: "ec2", Title: "EC2", Place: "at EC2",
		Settle: time.Minute, MaxTag: 256, // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
		Needs: []string{"guestid", "size", "datacenter?"},
		Find:  w.find, Get: w.get, Plan: w.plan, Create: w.create,
		Start: func(ctx context.Context, id string) error {
			_, err := call(ctx, w, "start the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.StartInstancesOutput, error) {
				return cl.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{id}})
			})
			return err
		},
		Stop:   func(ctx context.Context, id string) error { return w.stop(ctx, id, false) },
		Kill:   func(ctx context.Context, id string) error { return w.stop(ctx, id, true) },
		Delete: w.remove,
	}
}

func (w *Worker) stop(ctx context.Context, id string, force bool) error {
	_, err := call(ctx, w, "stop the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.StopInstancesOutput, error) {
		return cl.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}, Force: aws.Bool(force)})
	})
	return err
}

func (w *Worker) remove(ctx context.Context, id string) error {
	_, err := call(ctx, w, "terminate the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.TerminateInstancesOutput, error) {
		return cl.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	})
	return err
}

// describe gives instances by one filter, those that are terminated left out.
func (w *Worker) describe(ctx context.Context, name string, values ...string) ([]provider.Machine, error) {
	in := &ec2.DescribeInstancesInput{Filters: []types.Filter{
		{Name: aws.String(name), Values: values},
		{Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped", "shutting-down"}},
	}}
	var out []provider.Machine
	for {
		page, err := call(ctx, w, "look for the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeInstancesOutput, error) {
			return cl.DescribeInstances(ctx, in)
		})
		if err != nil {
			return nil, err
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				out = append(out, w.machine(i))
			}
		}
		if aws.ToString(page.NextToken) == "" {
			return out, nil
		}
		in.NextToken = page.NextToken
	}
}

func (w *Worker) find(ctx context.Context, q provider.Query) ([]provider.Machine, error) {
	var out []provider.Machine
	seen := map[string]bool{}
	add := func(name string, values ...string) error {
		list, err := w.describe(ctx, name, values...)
		for _, m := range list {
			if !seen[m.ID] {
				seen[m.ID] = true
				out = append(out, m)
			}
		}
		return err
	}
	if q.Token != "" {
		if err := add("tag:"+tag, q.Token); err != nil {
			return nil, err
		}
	}
	if q.Owner != "" {
		if err := add("tag:"+tagOwner, q.Owner); err != nil {
			return nil, err
		}
	}
	if len(q.Names) > 0 {
		if err := add("tag:Name", q.Names...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (w *Worker) get(ctx context.Context, id string) (provider.Machine, error) {
	out, err := call(ctx, w, "read the machine "+id, func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeInstancesOutput, error) {
		return cl.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	})
	if err != nil {
		return provider.Machine{}, err
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			return w.machine(i), nil
		}
	}
	return provider.Machine{}, provider.ErrGone
}

var states = map[types.InstanceStateName]provider.State{
	types.InstanceStateNamePending: provider.Pending, types.InstanceStateNameRunning: provider.Running,
	types.InstanceStateNameStopping: provider.Stopping, types.InstanceStateNameStopped: provider.Stopped,
	types.InstanceStateNameShuttingDown: provider.Deleting, types.InstanceStateNameTerminated: provider.Gone,
}

func (w *Worker) machine(i types.Instance) provider.Machine {
	m := provider.Machine{ID: aws.ToString(i.InstanceId), Created: aws.ToTime(i.LaunchTime)}
	if i.State != nil {
		m.State, m.Doing = states[i.State.Name], string(i.State.Name)
	}
	for _, t := range i.Tags {
		switch aws.ToString(t.Key) {
		case "Name":
			m.Name = aws.ToString(t.Value)
		case tag:
			m.Token = aws.ToString(t.Value)
		case tagOwner:
			m.Owner = aws.ToString(t.Value)
		}
	}
	private, _ := netip.ParseAddr(aws.ToString(i.PrivateIpAddress))
	if m.State == provider.Running {
		m.V4, _ = netip.ParseAddr(aws.ToString(i.PublicIpAddress))
		if w.cfg.Private {
			m.V4 = private
		}
		m.V6, _ = netip.ParseAddr(aws.ToString(i.Ipv6Address))
		if !m.V4.IsValid() && private.IsValid() {
			m.Doing += fmt.Sprintf(", with the private address %s only; workers.ec2.private takes that", private)
		}
	}
	if i.StateReason != nil && (m.State == provider.Gone || m.State == provider.Deleting) {
		m.Doing += ": " + aws.ToString(i.StateReason.Message)
	}
	for _, n := range i.NetworkInterfaces {
		m.MACs = append(m.MACs, aws.ToString(n.MacAddress))
	}
	return m
}

// order is what we ask EC2 for.
type order struct {
	in    ec2.RunInstancesInput
	name  string
	image types.Image
	size  types.InstanceTypeInfo
	zone  string
}

// order reads the clipboard's words. It needs no secret, so that Plan can use it.
func (w *Worker) order(ctx context.Context, c *clipboard.Clipboard) (order, error) {
	var o order
	in, err := c.Instance()
	if err != nil {
		return o, pipeline.Permanent(err)
	}
	if o.image, err = w.image(ctx, c.Get("guestid")); err != nil {
		return o, err
	}
	if o.size, err = w.size(ctx, c.Get("size")); err != nil {
		return o, err
	}
	subnet, zone, err := w.place(ctx, c.Get("datacenter"))
	if err != nil {
		return o, err
	}
	o.name, o.zone = in.FQDN, zone
	o.in = ec2.RunInstancesInput{ImageId: o.image.ImageId, InstanceType: o.size.InstanceType, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		SubnetId: aws.String(subnet), SecurityGroupIds: w.cfg.SecurityGroups,
		// User-data holds the key of the first contact: only IMDSv2 may read it, and no container behind a hop.
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1), HttpEndpoint: types.InstanceMetadataEndpointStateEnabled},
	}
	return o, nil
}

func (w *Worker) plan(ctx context.Context, c *clipboard.Clipboard) (string, error) {
	o, err := w.order(ctx, c)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("would make %s: %s (%d MB), %s (%s), in %s, %s", o.name, o.size.InstanceType, aws.ToInt64(o.size.MemoryInfo.SizeInMiB), aws.ToString(o.image.ImageId), aws.ToString(o.image.Name), o.zone, aws.ToString(o.in.SubnetId)), nil
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
	if len(user) > maxUserData {
		return provider.Machine{}, pipeline.Permanentf("the cloud-init data has %d bytes and EC2 takes %d; give fewer keys in sshpubkey", len(user), maxUserData)
	}
	o.in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(user)))
	tags := []types.Tag{{Key: aws.String("Name"), Value: aws.String(o.name)}, {Key: aws.String(tag), Value: aws.String(mark.Token)}, {Key: aws.String(tagOwner), Value: aws.String(mark.Owner)}}
	o.in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: tags}, {ResourceType: types.ResourceTypeVolume, Tags: tags}}
	pipeline.Progress(ctx, fmt.Sprintf("making a %s in %s", o.size.InstanceType, o.zone))
	// A client token stands for its instance for ever, also when that was terminated: then the next one is due.
	for n := 1; n <= 20; n++ {
		o.in.ClientToken = aws.String(mark.Token)
		if n > 1 {
			o.in.ClientToken = aws.String(fmt.Sprintf("%s-%d", mark.Token, n))
		}
		out, err := call(ctx, w, "make the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.RunInstancesOutput, error) {
			return cl.RunInstances(ctx, &o.in)
		})
		if err != nil {
			if strings.Contains(err.Error(), "IdempotentParameterMismatch") {
				return provider.Machine{}, pipeline.Permanent(errors.New("EC2 made a machine for this run with other settings, and the clipboard has changed since; `undo` removes it"))
			}
			return provider.Machine{}, err
		}
		if len(out.Instances) != 1 {
			return provider.Machine{}, fmt.Errorf("make the machine: EC2 named %d instances", len(out.Instances))
		}
		m := w.machine(out.Instances[0])
		if m.State == provider.Gone || m.State == provider.Deleting {
			continue
		}
		return m, nil
	}
	return provider.Machine{}, pipeline.Permanentf("EC2 terminated every machine of this run; look at its reasons in the console")
}
