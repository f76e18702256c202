package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/pipeline"
)

const callTimeout = 5 * time.Second

// refusal is an error that says: the server will not do that for us, today or tomorrow.
type refusal struct{ msg string }

func (r *refusal) Error() string { return r.msg }

func refusef(format string, args ...any) error {
	return pipeline.Permanent(&refusal{fmt.Sprintf(format, args...)})
}

func isRefusal(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// query asks the server itself, over TCP: an answer is never cut short. It is signed like an update, for BIND chooses
// the view by the key: unsigned, we would read another zone than we write.
func (s *server) query(ctx context.Context, name string, kind uint16) (*godns.Msg, error) {
	m := new(godns.Msg)
	m.SetQuestion(godns.Fqdn(name), kind)
	m.RecursionDesired = false
	r, err := s.exchange(ctx, m)
	if isRefusal(err) {
		err = fmt.Errorf("look up %s: %w", strings.TrimSuffix(name, "."), err)
	}
	return r, err
}

// exchange asks over TCP. Where there is a key, an answer without a right signature is an error.
func (s *server) exchange(ctx context.Context, m *godns.Msg) (*godns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c := &godns.Client{Net: "tcp", Timeout: callTimeout}
	if s.key != "" {
		c.TsigSecret = map[string]string{s.key: s.secret}
		m.SetTsig(s.key, s.algo, 300, time.Now().Unix())
	}
	r, _, err := c.ExchangeContext(ctx, m, s.addr)
	if r != nil && s.key != "" {
		if err := s.verified(r, err); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ask the DNS server %s: %w", s.addr, err)
	}
	return r, nil
}

// verified refuses what the server did not sign (RFC 8945 §5.3), and says what is wrong with the key when the server
// told us. The library verifies a signature that is there; it does not miss one.
func (s *server) verified(r *godns.Msg, err error) error {
	t := r.IsTsig()
	if t == nil {
		return refusef("%s answered a signed question without a signature (%s), which is not trusted; does it know the %s?", s.addr, godns.RcodeToString[r.Rcode], s.as())
	}
	switch int(t.Error) {
	case godns.RcodeBadKey:
		return refusef("%s does not know the %s, or takes it for nothing of this zone (BADKEY); check %s.tsig.name and algorithm, or allow the key there", s.addr, s.as(), s.where)
	case godns.RcodeBadSig:
		return refusef("%s has another secret for the %s (BADSIG); check %s.tsig.secret", s.addr, s.as(), s.where)
	case godns.RcodeBadTime:
		return refusef("%s refuses the time of our signature (BADTIME); set the clocks here and there, they differ by more than 5 minutes", s.addr)
	case godns.RcodeBadTrunc:
		return refusef("%s refuses the length of our signature (BADTRUNC, %s)", s.addr, s.as())
	}
	if errors.Is(err, godns.ErrSig) || errors.Is(err, godns.ErrSecret) || errors.Is(err, godns.ErrAuth) || errors.Is(err, godns.ErrTime) || errors.Is(err, godns.ErrKeyAlg) {
		return refusef("%s answered, but its signature is not right for the %s; check %s.tsig and the clocks", s.addr, s.as(), s.where)
	}
	return nil
}

// update sends one RFC 2136 message to the zone's server and says a refusal in words. what names what is written:
// "A of loki.example.org".
func (s *server) update(ctx context.Context, zone, what string, build func(*godns.Msg)) error {
	m := new(godns.Msg)
	m.SetUpdate(zone)
	build(m)
	if len(m.Ns) == 0 {
		return nil
	}
	zone = strings.TrimSuffix(zone, ".")
	r, err := s.exchange(ctx, m)
	if err != nil {
		return fmt.Errorf("write %s in the zone %s: %w", what, zone, err)
	}
	switch r.Rcode {
	case godns.RcodeSuccess:
		return nil
	case godns.RcodeYXRrset, godns.RcodeNXRrset: // a prerequisite does not hold
		return fmt.Errorf("write %s in the zone %s at %s: %w", what, zone, s.addr, errChanged)
	case godns.RcodeServerFailure:
		return fmt.Errorf("%s could not write %s in the zone %s (SERVFAIL)", s.addr, what, zone)
	}
	return refusef("%s refused to write %s in the zone %s (%s, %s)", s.addr, what, zone, godns.RcodeToString[r.Rcode], s.as())
}
