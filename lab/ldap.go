package lab

import (
	"encoding/asn1"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/jimlambrt/gldap"
)

// Directory is an LDAP server in memory with ou=Hosts under Base, for the demo and for tests of many hosts; what
// slapd does is tested against slapd. It knows simple binds and searches by cn.
type Directory struct {
	URL string

	server  *gldap.Server
	mu      sync.Mutex
	entries map[string]map[string][]string // by lower-case DN
}

// Base, bind name and password of the lab's directory.
const (
	Base         = "dc=websages,dc=com"
	BindDN       = "cn=jarvis," + Base
	BindPassword = "jarvispw"
)

// StartDirectory serves on a free loopback port.
func StartDirectory() (*Directory, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	d := &Directory{URL: "ldap://" + addr, entries: map[string]map[string][]string{}}
	if d.server, err = gldap.NewServer(gldap.WithLogger(hclog.NewNullLogger())); err != nil {
		return nil, err
	}
	mux, err := gldap.NewMux()
	if err != nil {
		return nil, err
	}
	for _, err := range []error{mux.Bind(d.bind), mux.Search(d.search), mux.Add(d.add), mux.Modify(d.modify), mux.Delete(d.del), d.server.Router(mux)} {
		if err != nil {
			return nil, err
		}
	}
	go func() { _ = d.server.Run(addr) }()
	for range 250 {
		if d.server.Ready() {
			return d, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, fmt.Errorf("the lab's directory does not start on %s", addr)
}

// Stop ends the server.
func (d *Directory) Stop() { _ = d.server.Stop() }

// Put adds an entry.
func (d *Directory) Put(dn string, attrs map[string][]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries[strings.ToLower(dn)] = attrs
}

// Get gives an attribute's values by the entry's cn.
func (d *Directory) Get(cn, attr string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if slices.Contains(e["cn"], cn) {
			return e[attr]
		}
	}
	return nil
}

// Len tells how many entries there are.
func (d *Directory) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.entries)
}

func (d *Directory) bind(w *gldap.ResponseWriter, r *gldap.Request) {
	resp := r.NewBindResponse(gldap.WithResponseCode(gldap.ResultInvalidCredentials))
	defer func() { _ = w.Write(resp) }()
	if m, err := r.GetSimpleBindMessage(); err == nil && strings.EqualFold(m.UserName, BindDN) && m.Password == BindPassword {
		resp.SetResultCode(gldap.ResultSuccess)
	}
}

// search knows the filter (cn=NAME) and refuses every other one, so that no test relies on more.
func (d *Directory) search(w *gldap.ResponseWriter, r *gldap.Request) {
	resp := r.NewSearchDoneResponse()
	defer func() { _ = w.Write(resp) }()
	m, err := r.GetSearchMessage()
	if err != nil {
		resp.SetResultCode(gldap.ResultOperationsError)
		return
	}
	cn, ok := strings.CutPrefix(strings.TrimSuffix(m.Filter, ")"), "(cn=")
	if !ok {
		resp.SetResultCode(gldap.ResultUnwillingToPerform)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for dn, e := range d.entries {
		if strings.HasSuffix(dn, strings.ToLower(m.BaseDN)) && slices.ContainsFunc(e["cn"], func(v string) bool { return strings.EqualFold(v, cn) }) {
			_ = w.Write(r.NewSearchResponseEntry(dn, gldap.WithAttributes(e)))
		}
	}
	resp.SetResultCode(gldap.ResultSuccess)
}

func (d *Directory) add(w *gldap.ResponseWriter, r *gldap.Request) {
	resp := r.NewResponse(gldap.WithApplicationCode(gldap.ApplicationAddResponse), gldap.WithResponseCode(gldap.ResultOperationsError))
	defer func() { _ = w.Write(resp) }()
	m, err := r.GetAddMessage()
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dn := strings.ToLower(m.DN)
	if d.entries[dn] != nil {
		resp.SetResultCode(gldap.ResultEntryAlreadyExists)
		return
	}
	e := map[string][]string{}
	for _, a := range m.Attributes {
		e[a.Type] = a.Vals
	}
	d.entries[dn] = e
	resp.SetResultCode(gldap.ResultSuccess)
}

// modify takes away an attribute whose last value goes, as a directory does.
func (d *Directory) modify(w *gldap.ResponseWriter, r *gldap.Request) {
	resp := r.NewModifyResponse(gldap.WithResponseCode(gldap.ResultNoSuchObject))
	defer func() { _ = w.Write(resp) }()
	m, err := r.GetModifyMessage()
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[strings.ToLower(m.DN)]
	if e == nil {
		return
	}
	for _, c := range m.Changes {
		vals, err := changed(c)
		if err != nil {
			resp.SetResultCode(gldap.ResultProtocolError)
			return
		}
		t := c.Modification.Type
		switch had := e[t]; c.Operation {
		case gldap.AddAttribute:
			e[t] = append(slices.Clone(had), vals...)
		case gldap.ReplaceAttribute:
			e[t] = vals
		case gldap.DeleteAttribute: // all values, or those that are named
			e[t] = slices.DeleteFunc(slices.Clone(had), func(v string) bool { return len(vals) == 0 || slices.Contains(vals, v) })
		}
		if len(e[t]) == 0 {
			delete(e, t)
		}
	}
	resp.SetResultCode(gldap.ResultSuccess)
}

// changed gives the values of a change. gldap (v0.1.14) gives the whole set as one text, with the tag and the length of
// each value before it.
func changed(c gldap.Change) (vals []string, err error) {
	for _, set := range c.Modification.Vals {
		for rest := []byte(set); len(rest) > 0; {
			var v asn1.RawValue
			if rest, err = asn1.Unmarshal(rest, &v); err != nil {
				return nil, fmt.Errorf("a value of %s cannot be read: %w", c.Modification.Type, err)
			}
			vals = append(vals, string(v.Bytes))
		}
	}
	return vals, nil
}

func (d *Directory) del(w *gldap.ResponseWriter, r *gldap.Request) {
	resp := r.NewResponse(gldap.WithApplicationCode(gldap.ApplicationDelResponse), gldap.WithResponseCode(gldap.ResultNoSuchObject))
	defer func() { _ = w.Write(resp) }()
	m, err := r.GetDeleteMessage()
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dn := strings.ToLower(m.DN)
	if d.entries[dn] != nil {
		delete(d.entries, dn)
		resp.SetResultCode(gldap.ResultSuccess)
	}
}
