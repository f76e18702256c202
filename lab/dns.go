package lab

import (
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	godns "github.com/miekg/dns"
)

// TSIG key of the lab's DNS server.
const (
	TSIGName   = "jarvis-key"
	TSIGSecret = "amFydmlzLWxhYi10c2lnLWtleS0zMi1ieXRlcy1sb25nISE="
)

// DNS is an authoritative server in memory that takes signed updates (RFC 2136). It is for the
// demo and for tests of many hosts; what BIND does is tested against BIND.
type DNS struct {
	Addr string

	server *godns.Server
	mu     sync.Mutex
	zones  []string
	rrs    map[string][]godns.RR // by lower-case name
}

// StartDNS serves zones on a free loopback port.
func StartDNS(zones ...string) (*DNS, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &DNS{Addr: l.Addr().String(), rrs: map[string][]godns.RR{}}
	for _, z := range zones {
		d.zones = append(d.zones, godns.Fqdn(z))
	}
	ready := make(chan struct{})
	d.server = &godns.Server{Listener: l, Handler: godns.HandlerFunc(d.handle), TsigSecret: map[string]string{TSIGName + ".": TSIGSecret},
		MsgAcceptFunc:     func(godns.Header) godns.MsgAcceptAction { return godns.MsgAccept },
		NotifyStartedFunc: func() { close(ready) }}
	go func() { _ = d.server.ActivateAndServe() }()
	<-ready
	return d, nil
}

// Stop ends the server.
func (d *DNS) Stop() { _ = d.server.Shutdown() }

// Lookup gives the records of a name and type as text.
func (d *DNS) Lookup(name string, kind uint16) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, rr := range d.rrs[strings.ToLower(godns.Fqdn(name))] {
		if rr.Header().Rrtype == kind {
			out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	return out
}

// Len tells how many records there are.
func (d *DNS) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, rrs := range d.rrs {
		n += len(rrs)
	}
	return n
}

// zoneOf gives the longest zone that holds the name; "": none does.
func (d *DNS) zoneOf(name string) string {
	best := ""
	for _, z := range d.zones {
		if godns.IsSubDomain(z, name) && len(z) > len(best) {
			best = z
		}
	}
	return best
}

// handle signs its answer where the question was signed, and right.
func (d *DNS) handle(w godns.ResponseWriter, q *godns.Msg) {
	r := new(godns.Msg)
	r.SetReply(q)
	if t := q.IsTsig(); t != nil && w.TsigStatus() != nil { // RFC 8945 §5.2: said, and not signed
		r.Rcode = godns.RcodeNotAuth
		r.SetTsig(t.Hdr.Name, t.Algorithm, 300, time.Now().Unix())
		r.IsTsig().Error = godns.RcodeBadSig
		if !strings.EqualFold(t.Hdr.Name, TSIGName+".") {
			r.IsTsig().Error = godns.RcodeBadKey
		}
		_ = w.WriteMsg(r)
		return
	}
	d.mu.Lock()
	if q.Opcode == godns.OpcodeUpdate {
		r.Rcode = d.update(w, q)
	} else {
		d.query(w, q, r)
	}
	d.mu.Unlock()
	if t := q.IsTsig(); t != nil && w.TsigStatus() == nil {
		r.SetTsig(t.Hdr.Name, t.Algorithm, 300, time.Now().Unix())
	}
	_ = w.WriteMsg(r)
}

// query answers from the records; a name without any is NXDOMAIN, one that lacks this type is not.
func (d *DNS) query(w godns.ResponseWriter, q, r *godns.Msg) {
	if len(q.Question) != 1 {
		r.Rcode = godns.RcodeFormatError
		return
	}
	name := strings.ToLower(q.Question[0].Name)
	zone := d.zoneOf(name)
	if zone == "" {
		r.Rcode = godns.RcodeRefused
		return
	}
	r.Authoritative = true
	soa := &godns.SOA{Hdr: godns.RR_Header{Name: zone, Rrtype: godns.TypeSOA, Class: godns.ClassINET, Ttl: 60}, Ns: "ns1." + zone, Mbox: "hostmaster." + zone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 30}
	if q.Question[0].Qtype == godns.TypeSOA && name == zone {
		r.Answer = append(r.Answer, soa)
		return
	}
	if q.Question[0].Qtype == godns.TypeAXFR && name == zone { // RFC 5936, in one message
		if q.IsTsig() == nil || w.TsigStatus() != nil {
			r.Rcode = godns.RcodeRefused
			return
		}
		r.Answer = append(r.Answer, soa)
		for owner, list := range d.rrs {
			if godns.IsSubDomain(zone, owner) {
				r.Answer = append(r.Answer, list...)
			}
		}
		r.Answer = append(r.Answer, soa)
		return
	}
	for _, rr := range d.rrs[name] {
		if rr.Header().Rrtype == q.Question[0].Qtype {
			r.Answer = append(r.Answer, rr)
		}
	}
	if len(r.Answer) == 0 {
		r.Ns = append(r.Ns, soa)
		if len(d.rrs[name]) == 0 && name != zone {
			r.Rcode = godns.RcodeNameError
		}
	}
}

// prerequisites checks those about record sets, by RFC 2136 §3.2.
func (d *DNS) prerequisites(list []godns.RR) int {
	type set struct {
		name string
		kind uint16
	}
	has := func(s set) (out []godns.RR) {
		for _, rr := range d.rrs[s.name] {
			if rr.Header().Rrtype == s.kind {
				out = append(out, rr)
			}
		}
		return out
	}
	want := map[set][]godns.RR{}
	for _, rr := range list {
		s := set{strings.ToLower(rr.Header().Name), rr.Header().Rrtype}
		switch rr.Header().Class {
		case godns.ClassNONE:
			if len(has(s)) > 0 {
				return godns.RcodeYXRrset
			}
		case godns.ClassANY:
			if len(has(s)) == 0 {
				return godns.RcodeNXRrset
			}
		default:
			want[s] = append(want[s], rr)
		}
	}
	for s, rrs := range want {
		have := has(s)
		for _, rr := range rrs {
			have = slices.DeleteFunc(have, func(h godns.RR) bool { return godns.IsDuplicate(h, rr) })
		}
		if len(have) > 0 || len(has(s)) != len(rrs) {
			return godns.RcodeNXRrset
		}
	}
	return godns.RcodeSuccess
}

// update applies RFC 2136 §3.4 to the records in memory.
func (d *DNS) update(w godns.ResponseWriter, q *godns.Msg) int {
	if q.IsTsig() == nil || w.TsigStatus() != nil || len(q.Question) != 1 {
		return godns.RcodeNotAuth
	}
	zone := strings.ToLower(q.Question[0].Name)
	if d.zoneOf(zone) != zone {
		return godns.RcodeNotAuth
	}
	if rcode := d.prerequisites(q.Answer); rcode != godns.RcodeSuccess {
		return rcode
	}
	for _, rr := range q.Ns {
		h := rr.Header()
		name := strings.ToLower(h.Name)
		if !godns.IsSubDomain(zone, name) {
			return godns.RcodeNotZone
		}
		keep := func(f func(godns.RR) bool) {
			var out []godns.RR
			for _, have := range d.rrs[name] {
				if f(have) {
					out = append(out, have)
				}
			}
			if out == nil {
				delete(d.rrs, name)
				return
			}
			d.rrs[name] = out
		}
		switch h.Class {
		case godns.ClassANY:
			keep(func(have godns.RR) bool { return h.Rrtype != godns.TypeANY && have.Header().Rrtype != h.Rrtype })
		case godns.ClassNONE:
			rr.Header().Class = godns.ClassINET
			keep(func(have godns.RR) bool { return !godns.IsDuplicate(have, rr) })
		default:
			keep(func(have godns.RR) bool { return !godns.IsDuplicate(have, rr) })
			d.rrs[name] = append(d.rrs[name], rr)
		}
	}
	return godns.RcodeSuccess
}
