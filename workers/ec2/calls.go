package ec2

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/jarvisops/jarvis/provider"
)

// Tags that carry the run's token, and the host's owner.
const (
	tag      = "jarvis"
	tagOwner = "jarvis-owner"
)

// maxUserData is what EC2 takes, before base64
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const maxUserData = 16 << 10

// Calls says how EC2 does what every provider does. An instance boots its own kernel always, and reboots itself.
func (w *Worker) Calls() provider.Calls {
	return provider.Calls{
		Module: "ec2", Title: "EC2", Place: "at EC2",
		Settle: time.Minute, MaxTag: 256, MaxUserData: maxUserData, // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
		Needs: []string{"guestid", "datacenter?", "provider_zone?"}, Gives: []string{"provider_zone"},
		Honours: honours, Options: options, Defaults: w.defaults(), Account: w.cfg.Account,
		Find: w.find, Get: w.get, Plan: w.plan, Create: w.create, Finish: w.finish, Tag: w.tag, DiskAt: diskAt,
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

// stop pulls the plug with force; without it, EC2 asks the guest.
func (w *Worker) stop(ctx context.Context, id string, force bool) error {
	_, err := call(ctx, w, "stop the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.StopInstancesOutput, error) {
		return cl.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}, Force: aws.Bool(force)})
	})
	return err
}

// tag sets our two tags, or takes them away.
func (w *Worker) tag(ctx context.Context, id string, mark provider.Mark) error {
	var set, unset []types.Tag
	for _, t := range [][2]string{{tag, mark.Token}, {tagOwner, mark.Owner}} {
		if t[1] == "" {
			unset = append(unset, types.Tag{Key: aws.String(t[0])})
		} else {
			set = append(set, types.Tag{Key: aws.String(t[0]), Value: aws.String(t[1])})
		}
	}
	if len(set) > 0 {
		if _, err := call(ctx, w, "tag the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.CreateTagsOutput, error) {
			return cl.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: set})
		}); err != nil {
			return err
		}
	}
	if len(unset) == 0 {
		return nil
	}
	_, err := call(ctx, w, "take our tags off the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.DeleteTagsOutput, error) {
		return cl.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: unset})
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

// find asks once for each kind of query: filters of one request must all fit at EC2.
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
	m := provider.Machine{ID: aws.ToString(i.InstanceId), Created: aws.ToTime(i.LaunchTime), Size: string(i.InstanceType), Tags: map[string]string{}}
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
		default:
			m.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	private, _ := netip.ParseAddr(aws.ToString(i.PrivateIpAddress))
	if m.State == provider.Running {
		m.V4, _ = netip.ParseAddr(aws.ToString(i.PublicIpAddress))
		m.Private = private
		if w.cfg.Private {
			m.V4 = private
		}
		m.V6, _ = netip.ParseAddr(aws.ToString(i.Ipv6Address))
		if !m.V4.IsValid() && private.IsValid() {
			m.Doing += fmt.Sprintf(", with the private address %s only; network: {public: false} takes that", private)
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
