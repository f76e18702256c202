package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
)

// Protocol is raised when the two sides would not understand each other any more.
const Protocol = 1

// Bounds of what one side takes from the other.
const (
	maxFrame = 1 << 20 // bytes of one frame: a clipboard may have 64 KiB, and twice that with its escapes
	maxLine  = 2000    // bytes of a line of progress
	maxSteps = 2000    // that an agent may offer
	maxHolds = 1000    // calls whose outcomes an agent keeps
)

// frame is one line of JSON on a stream; exactly one of its fields is set.
type frame struct {
	Hello   *hello   `json:"hello,omitempty"`
	Welcome *welcome `json:"welcome,omitempty"`
	// Stopping: the agent begins nothing more; it ends what it has in hand, and then says Bye, and why.
	Stopping bool     `json:"stopping,omitempty"`
	Bye      string   `json:"bye,omitempty"`
	Call     *call    `json:"call,omitempty"`
	Cancel   string   `json:"cancel,omitempty"` // why the call is to end
	Line     *line    `json:"line,omitempty"`
	Keep     *keep    `json:"keep,omitempty"`
	Kept     *kept    `json:"kept,omitempty"`
	Outcome  *outcome `json:"outcome,omitempty"`
	Sealed   string   `json:"sealed,omitempty"` // an outcome that only the server can read
	Stop     *stop    `json:"stop,omitempty"`
	Stopped  bool     `json:"stopped,omitempty"` // the call of Stop is not done here (any more)
	Dial     string   `json:"dial,omitempty"`    // host:port
	Dialled  *dialled `json:"dialled,omitempty"`
}

// hello is the first that an agent says.
type hello struct {
	Protocol int       `json:"protocol"`
	Version  string    `json:"version"`
	ID       string    `json:"id"`   // of this agent, for ever
	Boot     string    `json:"boot"` // of this process
	Name     string    `json:"name"` // as people know it
	Silo     string    `json:"silo"`
	Steps    []offered `json:"steps"`
	Holds    []held    `json:"holds"`             // calls that it works on, or of which it keeps the outcome
	Passing  bool      `json:"passing,omitempty"` // it only looks whether it could
}

// welcome is the answer.
type welcome struct {
	Protocol int           `json:"protocol"`
	Version  string        `json:"version"`
	Refused  string        `json:"refused,omitempty"` // why the agent is not taken
	Seal     string        `json:"seal,omitempty"`    // age1…: to whom outcomes are sealed
	Forget   []string      `json:"forget,omitempty"`  // calls that are no longer wanted
	Left     []string      `json:"left,omitempty"`    // steps that are offered and belong to no silo of this name
	Expires  time.Time     `json:"expires,omitzero"`  // the token
	Grace    time.Duration `json:"grace,omitempty"`
}

// offered is a step as data.
type offered struct {
	Name    string        `json:"name"`
	Aliases []string      `json:"aliases,omitempty"`
	Doc     string        `json:"doc"`
	Needs   []string      `json:"needs,omitempty"`
	Gives   []string      `json:"gives,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	Silence time.Duration `json:"silence,omitempty"`
	Resume  string        `json:"resume"`
	Has     []string      `json:"has"` // its functions
}

// function names one function of a step.
type function string

const (
	fnDo      function = "do"
	fnUndo    function = "undo"
	fnRelease function = "release"
	fnCheck   function = "check"
	fnPlan    function = "plan"
	fnDrift   function = "drift"
)

// reads reports whether a function only looks: it may run as often as one likes.
func (f function) reads() bool { return f == fnCheck || f == fnPlan || f == fnDrift }

// callKey says which work a call is, however often it is asked for.
type callKey struct {
	Run   int64    `json:"run"`
	Stage int      `json:"stage"`
	Step  string   `json:"step"`
	Func  function `json:"func"`
}

// held is a call that an agent knows of.
type held struct {
	ID string `json:"id"`
	callKey
}

// call asks for one function of a step.
type call struct {
	ID string `json:"id"`
	callKey
	Attach    bool           `json:"attach,omitempty"`  // it was sent before; the line was cut
	Resumed   bool           `json:"resumed,omitempty"` // the work was under way, by whomever
	Cancelled string         `json:"cancelled,omitempty"`
	Seen      int64          `json:"seen,omitempty"` // number of the last line that came
	Facts     pipeline.Facts `json:"facts"`
	Within    time.Duration  `json:"within,omitempty"` // it has so long; 0: no bound
	Clipboard string         `json:"clipboard"`
}

// stop ends a call of which the server knows the ledger's word alone. The answer comes when it has ended.
type stop struct {
	Run  int64  `json:"run"`
	Call string `json:"call"`
}

// line is progress, or for the record alone.
type line struct {
	N        int64  `json:"n"` // from 1
	Progress bool   `json:"progress,omitempty"`
	Text     string `json:"text"`
}

// keep asks that the clipboard be stored in the middle of the step; kept is the answer.
type keep struct {
	N         int64  `json:"n"`
	Clipboard string `json:"clipboard"`
}

type kept struct {
	N     int64  `json:"n"`
	Error string `json:"error,omitempty"`
}

// dialled answers dial.
type dialled struct {
	Error string `json:"error,omitempty"`
	Kind  string `json:"kind,omitempty"` // "denied": the agent's configuration does not allow it
}

// Kinds of outcomes.
const (
	kindDone      = "done"
	kindFailed    = "failed" // another try may do better
	kindPermanent = "permanent"
	kindAsk       = "ask"
	kindWait      = "wait"
	kindStays     = "stays"
	kindCancelled = "cancelled"
	kindAgain     = "again"     // the agent stopped it: it is to be taken up again
	kindNotBegun  = "not_begun" // the agent stops, and began nothing
)

// outcome is what came of a call.
type outcome struct {
	Kind      string                `json:"kind"`
	Text      string                `json:"text,omitempty"` // of the error, or of a plan
	Wait      time.Duration         `json:"wait,omitempty"`
	Clipboard string                `json:"clipboard,omitempty"`
	Drift     []pipeline.Difference `json:"drift,omitempty"`
}

// outcomeOf puts an error into words that travel.
func outcomeOf(err error) outcome {
	if err == nil {
		return outcome{Kind: kindDone}
	}
	if d, why, ok := pipeline.AsWait(err); ok {
		return outcome{Kind: kindWait, Wait: d, Text: why}
	}
	if what, ok := pipeline.AsStays(err); ok {
		return outcome{Kind: kindStays, Text: what}
	}
	switch {
	case pipeline.IsPermanent(err):
		return outcome{Kind: kindPermanent, Text: err.Error()}
	case pipeline.IsAskPerson(err):
		return outcome{Kind: kindAsk, Text: err.Error()}
	}
	return outcome{Kind: kindFailed, Text: err.Error()}
}

// err is the other way.
func (o outcome) err() error {
	switch o.Kind {
	case kindDone:
		return nil
	case kindWait:
		return pipeline.Wait(o.Wait, o.Text)
	case kindStays:
		return pipeline.Stays(o.Text)
	case kindPermanent:
		return pipeline.Permanent(errors.New(o.Text))
	case kindAsk:
		return pipeline.AskPerson(errors.New(o.Text))
	case kindAgain:
		return pipeline.ErrStopping
	case kindNotBegun:
		return pipeline.ErrNotBegun
	}
	return errors.New(o.Text)
}

// link is a stream on which frames go. Reading is for one goroutine; sending is for any.
type link struct {
	net.Conn
	r *bufio.Reader

	mu sync.Mutex
}

func newLink(c net.Conn) *link { return &link{Conn: c, r: bufio.NewReader(c)} }

// sendWithin bounds one write to somebody who does not read.
const sendWithin = 30 * time.Second

// send writes one frame. Several goroutines may send at once; who does not read costs each of them sendWithin at most.
func (l *link) send(f frame) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if len(b) >= maxFrame {
		return fmt.Errorf("%d bytes are too much to send in one piece", len(b))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.SetWriteDeadline(time.Now().Add(sendWithin))
	_, err = l.Write(append(b, '\n'))
	return err
}

// alive closes a line on which nobody answers: the network may not say for half a minute that it is cut.
func (l *link) alive() {
	s, ok := l.Conn.(*yamux.Stream)
	if !ok {
		return
	}
	answer := make(chan error, 1)
	guard.Go(guard.Count, func() {
		_, err := s.Session().Ping()
		answer <- err
	})
	select {
	case err := <-answer:
		if err == nil {
			return
		}
	case <-time.After(pingTime):
	}
	_ = s.Session().Close()
}

// receive gives the next frame. What is too long or no frame ends the stream.
func (l *link) receive() (frame, error) {
	var b []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if len(b)+len(part) > maxFrame {
			return frame{}, errors.New("a frame is too long")
		}
		b = append(b, part...)
		switch {
		case err == nil:
			var f frame
			if err := json.Unmarshal(b, &f); err != nil {
				return f, fmt.Errorf("a frame cannot be read: %w", err)
			}
			return f, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if errors.Is(err, io.EOF) && len(b) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return frame{}, err
		}
	}
}

// receiveWithin is receive with a bound in time.
func (l *link) receiveWithin(d time.Duration) (frame, error) {
	_ = l.SetReadDeadline(time.Now().Add(d))
	f, err := l.receive()
	_ = l.SetReadDeadline(time.Time{})
	return f, err
}
