// Package provider is what every provider of machines has in common: the steps deploy, get_pub_ip, startup, shutdown,
// destroy and set_kernel, written once over the few calls in which providers differ.
//
//	workers/linode  workers/ec2  workers/esx ── Calls ──► Steps ──► pipeline
//
//	deploy:  look for what this run made ► note that we ask ► Create ► note what came ► Finish
//	undo:    what carries this run's token, and nothing else
//
// A machine is recognised by the run's token, which the provider keeps with it from its first instant (Linode tag,
// EC2 client token and tag, vSphere name and notes). A call may take effect without an answer, and a provider may not
// show at once what it made; so `provider_asked` goes on record before Create, and for Calls.Settle after it "not there"
// means "not yet". Nothing here loops or sleeps: what must be waited for is pipeline.Wait.
//
// It starts no goroutine. To add a provider: a folder under workers that fills a Calls, and its lines in workers/all.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// State of a machine, in our words.
type State int

const (
	Pending  State = iota // being made, booting, or whatever else will end by itself
	Running               // on
	Stopping              // on its way down
	Stopped               // off, and kept
	Deleting              // on its way out
	Gone                  // deleted; the provider may still list it
)

// Machine is what a provider tells of one machine.
type Machine struct {
	ID    string // the provider's own; goes into provider_id
	Name  string
	Token string // of the run that made it; "" when none of ours did
	State State
	Doing string // the provider's own word for the state, and its reason when it has one
	V4    netip.Addr
	V6    netip.Addr
	MACs  []string // in the order of the interfaces
}

// Query says which machines Find is to list: those with the token, and those with one of the names. Both are exact.
type Query struct {
	Token string
	Names []string
}

// Errors that Calls give; any other is the provider's, in words for people, marked pipeline.Permanent when no retry
// can cure it, or a pipeline.Wait when the provider asks to slow down.
var (
	// ErrGone: the provider knows no machine with that id (any more, or yet).
	ErrGone = errors.New("there is no such machine")
	// ErrTaken: the provider says that the name is in use.
	ErrTaken = errors.New("the name is taken")
)

// Calls are a provider's calls. Each is one attempt with a deadline; a nil one is not offered, or not needed.
type Calls struct {
	Module string        // of the step names: "linode"
	Title  string        // in sentences: "Linode"
	Place  string        // where a machine is, in sentences: "at Linode", "on vcenter.example.org"
	Settle time.Duration // how long the provider may take until it shows what it was asked to make
	Needs  []string      // clipboard keys that Plan, Create and Finish read, beyond those of cloudinit

	// Find lists machines, those that are Gone left out. A machine that was made a moment ago may be missing.
	Find func(ctx context.Context, q Query) ([]Machine, error)
	// Get reads one machine. ErrGone as said there.
	Get func(ctx context.Context, id string) (Machine, error)
	// Plan says what Create would make, where, and at which price; it makes sure that everything named is there.
	Plan func(ctx context.Context, c *clipboard.Clipboard) (string, error)
	// Create makes the machine for a run. Asked again with the same token it makes no second one: it gives the first,
	// or ErrTaken.
	Create func(ctx context.Context, c *clipboard.Clipboard, token string) (Machine, error)
	// Finish completes what one call of Create could not; safe to repeat. nil: nothing.
	Finish func(ctx context.Context, c *clipboard.Clipboard, m Machine, token string) error
	// Start, Stop (asks the guest), Kill (pulls the plug) and Delete; being there already is no error. ErrGone.
	Start, Stop, Kill, Delete func(ctx context.Context, id string) error
	// Kernel tells whether the machine boots a kernel that is not its own, and changes that when set. It takes a Reboot
	// to come true. nil: a machine always boots its own.
	Kernel func(ctx context.Context, id string, set bool) (due bool, err error)
	// Reboot by the provider. nil: the host reboots itself.
	Reboot func(ctx context.Context, id string) error
}

// Host is what set_kernel asks of the SSH worker.
type Host interface {
	// BootID gives what changes with every boot of the host; a pipeline.Wait while the host does not answer.
	BootID(ctx context.Context, c *clipboard.Clipboard) (string, error)
	// Reboot asks the host to reboot.
	Reboot(ctx context.Context, c *clipboard.Clipboard) error
}

// Steps gives the steps that every provider has.
func Steps(p Calls, h Host) []pipeline.Step {
	return []pipeline.Step{p.deploy(), p.getPubIP(), p.startup(), p.shutdown(), p.destroy(), p.setKernel(h)}
}

// Pause is how long to wait before the next look: it grows with the time waited, so that what comes soon is seen soon.
func Pause(ctx context.Context) time.Duration {
	return min(max(pipeline.FactsOf(ctx).Waited/8, 300*time.Millisecond), 15*time.Second)
}

// names lists what the host's machine may be called.
func names(in clipboard.Instance) []string {
	if in.FQDN == in.Hostname {
		return []string{in.Hostname}
	}
	return []string{in.FQDN, in.Hostname}
}

// asked reports whether a Create of this clipboard may have taken effect, and whether so recently that the provider
// may not show it yet.
func (p Calls) asked(c *clipboard.Clipboard) (ever, fresh bool) {
	t, err := time.Parse(time.RFC3339, c.Get("provider_asked"))
	return err == nil, err == nil && time.Since(t) < p.Settle
}

// machine finds the host's machine by provider_id, or else by name; nil when there is none.
func (p Calls) machine(ctx context.Context, c *clipboard.Clipboard) (*Machine, error) {
	if id := c.Get("provider_id"); id != "" {
		m, err := p.Get(ctx, id)
		if errors.Is(err, ErrGone) {
			if _, fresh := p.asked(c); fresh {
				return nil, pipeline.Wait(Pause(ctx), fmt.Sprintf("%s does not show %s yet", p.Title, id))
			}
			return nil, nil
		}
		if err != nil || m.State == Gone {
			return nil, err
		}
		return &m, nil
	}
	in, err := c.Instance()
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	list, err := p.Find(ctx, Query{Names: names(in)})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if len(list) > 1 {
		var ids []string
		for _, m := range list {
			ids = append(ids, fmt.Sprintf("%s (%s)", m.ID, m.Name))
		}
		return nil, pipeline.Permanentf("%s has more than one machine named %s: %s; delete or rename what is not the host", p.Title, in.Hostname, strings.Join(ids, ", "))
	}
	return &list[0], nil
}

// there is machine for a step that can not do without.
func (p Calls) there(ctx context.Context, c *clipboard.Clipboard) (*Machine, error) {
	m, err := p.machine(ctx, c)
	if err == nil && m == nil {
		what := c.Get("provider_id")
		if what == "" {
			what = c.Get("hostname")
		}
		err = pipeline.Permanentf("there is no machine %s %s (any more)", what, p.Place)
	}
	return m, err
}

// plan gives a Plan that looks for the machine first.
func (p Calls) plan(what string) func(context.Context, *clipboard.Clipboard) (string, error) {
	return func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
		m, err := p.machine(ctx, c)
		if err != nil {
			return "", err
		}
		if m == nil {
			return fmt.Sprintf("would find nothing to do: there is no machine %s %s", c.Get("hostname"), p.Place), nil
		}
		return fmt.Sprintf("would %s %s (%s, %s) %s", what, m.Name, m.ID, m.Doing, p.Place), nil
	}
}
