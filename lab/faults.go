package lab

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Fault is what a provider's API does to people.
type Fault string

const (
	TooMany  Fault = "too many requests"              // refused with the provider's own back-off sign
	Broken   Fault = "500"                            // the provider itself fails
	Denied   Fault = "denied"                         // refused for want of a right: no retry cures it, a person does
	Slow     Fault = "slow"                           // answers late
	Capacity Fault = "capacity"                       // a create is refused: nothing free there
	Lost     Fault = "lost answer"                    // the call takes effect, and the connection breaks before the answer
	Late     Fault = "eventual consistency"           // what a create made is not shown for a while
	LostLate Fault = "lost answer, and not shown yet" // Lost and Late together
)

// Hides reports whether what is made under the fault is not shown for a while.
func (f Fault) Hides() bool { return f == Late || f == LostLate }

// Cloud is a provider of the lab.
type Cloud interface {
	Config() string     // lines for jarvis.yaml under workers
	Machines() []string // names of all machines there are, whether they are shown or not
	Chaos() *Faults
	Stranger(name string) (id string, err error) // a running machine of that name that somebody else made
	Retag(id string, tags ...string)             // somebody replaces the machine's tags, or notes and settings, by these
	Facts(name string) string                    // what the provider has of the newest machine of that name, as text
	Runs(id string) bool                         // whether the machine with that id is there and on
	Stop()                                       // the machines stay in the rack
}

// SlowBy is how late a Slow answer is.
const SlowBy = 300 * time.Millisecond

// Faults plays faults on demand. The zero value plays none; it is safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	queued []queuedFault
	rate   float64
	kinds  []Fault
	rnd    *rand.Rand
	played map[Fault]int
	asked  int
}

type queuedFault struct {
	kind  Fault
	op    string
	times int
}

// Next plays a fault at the next calls whose operation contains op.
func (f *Faults) Next(kind Fault, op string, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queued = append(f.queued, queuedFault{kind, op, times})
}

// Random plays one of the kinds at a share of all calls. seed makes it repeatable.
func (f *Faults) Random(rate float64, seed uint64, kinds ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate, f.kinds, f.rnd = rate, kinds, rand.New(rand.NewPCG(seed, 7))
}

// Played tells how often each fault was played.
func (f *Faults) Played() map[Fault]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[Fault]int{}
	for k, n := range f.played {
		out[k] = n
	}
	return out
}

// Asked tells how many calls there were, with faults and without.
func (f *Faults) Asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// At gives the fault for a call, "" for none. Only creates have Capacity and hide what they made.
func (f *Faults) At(op string, create bool) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.played == nil {
		f.played = map[Fault]int{}
	}
	for i := range f.queued {
		q := &f.queued[i]
		if q.times > 0 && strings.Contains(op, q.op) {
			q.times--
			f.played[q.kind]++
			return q.kind
		}
	}
	if f.rate == 0 || f.rnd.Float64() >= f.rate {
		return ""
	}
	kind := f.kinds[f.rnd.IntN(len(f.kinds))]
	if (kind == Capacity || kind.Hides()) && !create {
		return ""
	}
	f.played[kind]++
	return kind
}

// Serve handles a call under a fault: h does it; refuse writes the provider's own refusal for TooMany, Broken,
// Capacity and Denied. Late is h's to know.
func (f Fault) Serve(w http.ResponseWriter, r *http.Request, h http.HandlerFunc, refuse func(w http.ResponseWriter, f Fault)) {
	switch f {
	case TooMany, Broken, Capacity, Denied:
		refuse(w, f)
	case Slow:
		select {
		case <-time.After(SlowBy):
		case <-r.Context().Done():
		}
		h(w, r)
	case Lost, LostLate:
		h(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // net/http's way to break the connection
	default:
		h(w, r)
	}
}

// Body reads a request's body and puts it back.
func Body(r *http.Request) []byte {
	b, _ := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	_ = r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(b))
	return b
}
