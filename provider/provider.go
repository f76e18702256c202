// Package provider is what every provider of machines has in common: the steps deploy, get_pub_ip, startup, shutdown,
// destroy and set_kernel, written once over the few calls in which providers differ.
//
//	workers/linode  workers/ec2  workers/esx  workers/libvirt ── Calls ──► Steps ──► pipeline
//
//	deploy:  look for what this run made ► note that we ask ► Create ► note what came ► Finish
//	undo:    what carries this run's token, and nothing else
//	others:  the machine of provider_id, or what carries the host's owner; a name alone says nothing (ours.go)
//
// A machine is recognised by its Mark, which the provider keeps with it: the run's token from its first instant (Linode
// tag, EC2 client token and tag, vSphere name, libvirt volumes and metadata), the host's owner as soon as it has its
// name. A call may take effect without an answer, and a provider may not show at once what it made; so `provider_asked`
// goes on record before Create, and for Calls.Settle after it "not there" means "not yet". Nothing here loops or
// sleeps: what must be waited for is pipeline.Wait.
//
// It starts no goroutine. To add a provider: a folder under workers that fills a Calls, and its lines in workers/all.
package provider

import (
	"context"
	"errors"
	"net/netip"
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
	Begun                 // only its disks are there: it is not made yet, or somebody took the rest away
)

// Machine is what a provider tells of one machine.
type Machine struct {
	ID   string // the provider's own; goes into provider_id
	Name string
	Mark
	State    State
	Doing    string // the provider's own word for the state, and its reason when it has one
	V4       netip.Addr
	V6       netip.Addr
	Port     int               // at which its SSH is reached, where the hypervisor listens for it; 0: where the machine itself listens
	MACs     []string          // in the order of the interfaces
	Private  netip.Addr        // its address inside, when it has another outside
	Size     string            // the provider's own name of its size; "" when the provider has none
	Tags     map[string]string // those that are not its Mark
	Created  time.Time         // zero when the provider does not say
	Template bool              // what others are made from; never a host's machine
	Loose    string            // why it will be gone once it stops, though it runs; "" when it will not
}

// Query says which machines Find is to list: those with the token, with the owner, and with one of the names. All are
// exact; what is empty finds nothing.
type Query struct {
	Mark
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
	MaxTag int           // the longest owner that fits, in bytes; 0: any

	MaxUserData int      // bytes of user-data that it takes, as they are before any encoding; 0: any
	Needs       []string // clipboard keys that Plan, Create and Finish read, beyond those of Spec and cloudinit

	Gives []string // keys that Create gives beyond provider_id

	// Honours lists what of Paths it can do; all else a clipboard asks for is refused.
	Honours []string
	// Options are its own words under `options`.
	Options []Option
	// Defaults are the configuration's wishes, for what the clipboard does not say.
	Defaults Wish
	// Account is the name of this entry of the configuration; "" when it is the only one.
	Account string

	// DiskAt says how the machine finds the i-th of its further disks, in the words of cloudinit.Disk. nil: disks.mount
	// is not honoured.
	DiskAt func(s Spec, i int, mark Mark) []string

	// Find lists machines, those that are Gone left out. A machine that was made a moment ago may be missing.
	Find func(ctx context.Context, q Query) ([]Machine, error)
	// Get reads one machine. ErrGone as said there.
	Get func(ctx context.Context, id string) (Machine, error)
	// Plan says what Create would make, where, and at which price; it refuses whatever Create and Finish would, by the
	// same code, as far as it can be known: once Plan agrees, an old machine is deleted. The host's own machine, which
	// may go before, is in nobody's way.
	Plan func(ctx context.Context, s Spec) (string, error)
	// Create makes the machine for a run, with its mark. Asked again with the same token it makes no second one: it
	// gives the first, or ErrTaken.
	Create func(ctx context.Context, s Spec, mark Mark) (Machine, error)
	// Finish completes what one call of Create could not, the mark included; safe to repeat. nil: nothing.
	Finish func(ctx context.Context, s Spec, m Machine, mark Mark) error
	// Tag has the machine carry that mark, and no other of the form; what others tagged it with stays. nil: machines
	// are not adopted.
	Tag func(ctx context.Context, id string, mark Mark) error
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
	steps := []pipeline.Step{p.deploy(), p.getPubIP(), p.startup(), p.shutdown(), p.destroy(), p.setKernel(h)}
	if p.Tag != nil {
		steps = append(steps, p.adopt())
	}
	return steps
}

// Pause is how long to wait before the next look: it grows with the time waited, so that what comes soon is seen soon.
func Pause(ctx context.Context) time.Duration {
	return min(max(pipeline.FactsOf(ctx).Waited/8, 300*time.Millisecond), 15*time.Second)
}
