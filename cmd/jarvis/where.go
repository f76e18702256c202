package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/web"
)

// A word names one machine, whichever command it is given to: a cluster or a host on the server's record, or else what
// ssh makes of it. All commands on many hosts come through resolve, so that none has a meaning of its own.

// found is a host that a word means.
type found struct {
	fleet.Host
	words    []string // that mean it
	recorded bool     // the record knows it
}

func fleetOf(list []found) []fleet.Host {
	out := make([]fleet.Host, len(list))
	for i, h := range list {
		out[i] = h.Host
	}
	return out
}

// resolve makes hosts of what the flags say, each machine once. Close the resolver.
func (m *manyFlags) resolve(ctx context.Context, t *term, command string) ([]found, *resolver, error) {
	words, err := m.names(t)
	if err != nil {
		return nil, nil, err
	}
	record, err := m.record(ctx, t, command, words)
	if err != nil {
		return nil, nil, err
	}
	r, err := newResolver(m, t)
	if err != nil {
		return nil, nil, err
	}
	var all []found
	for _, w := range words {
		list, err := r.find(ctx, w, record[w])
		if err != nil {
			r.Close()
			return nil, nil, err
		}
		all = append(all, list...)
	}
	return apart(once(all, t)), r, nil
}

// apart tells those hosts by their full names whose short ones are the same.
func apart(list []found) []found {
	hosts := fleetOf(list)
	fleet.Apart(hosts)
	for i, h := range hosts {
		list[i].Host = h
	}
	return list
}

// once puts together what is one machine under several names: locked twice it waits for itself.
func once(all []found, t *term) []found {
	first := map[string]int{}
	var out []found
	for _, h := range all {
		i, twice := first[h.Target.Key()]
		if !twice {
			first[h.Target.Key()] = len(out)
			out = append(out, h)
			continue
		}
		if out[i].Name != h.Name || out[i].FQDN != h.FQDN {
			one := []fleet.Host{out[i].Host, h.Host}
			fleet.Apart(one)
			_, _ = fmt.Fprintf(t.err, "jarvis: %s and %s are both %s; it is done once, as %[1]s\n", one[0].Name, one[1].Name, h.Target.Key())
		}
		out[i].words = append(out[i].words, h.words...)
	}
	return out
}

// mayBeRecorded reports whether a word can be a name of the record: no login, port or address stands there.
func mayBeRecorded(word string) bool {
	if strings.HasPrefix(word, "@") {
		return true
	}
	_, err := netip.ParseAddr(word)
	return err != nil && !strings.ContainsAny(word, "@:[]")
}

// record asks the server what words mean. Without a server on this machine, or with --direct, no word is on record.
func (m *manyFlags) record(ctx context.Context, t *term, command string, words []string) (map[string][]web.ExecHost, error) {
	cluster := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "@") })
	if m.Direct && t.asked {
		return nil, usage("--direct asks no server, and --server names one; leave out one of them")
	}
	if m.Direct {
		if cluster >= 0 {
			return nil, usage("%s is a cluster on record, which only a server knows; leave out --direct", words[cluster])
		}
		return nil, nil
	}
	q := web.WhereRequest{Command: command}
	for _, w := range words {
		if mayBeRecorded(w) || t.server != "" {
			q.Names = append(q.Names, w)
		}
	}
	if len(q.Names) == 0 {
		return nil, nil
	}
	if t.server == "" && cluster < 0 {
		here, err := t.serverHere()
		if err != nil {
			return nil, err
		}
		if !here {
			return nil, nil
		}
	}
	cl, err := t.client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	answer, err := cl.Where(ctx, q)
	if errors.Is(err, web.ErrNoServer) && cluster >= 0 {
		return nil, fmt.Errorf("%s is a cluster on record, which only a server knows: %w", words[cluster], err)
	} else if err != nil {
		return nil, err
	}
	out := map[string][]web.ExecHost{}
	for _, a := range answer {
		switch {
		case len(a.Hosts) > 0:
		case t.server != "":
			return nil, &exitError{exitNotFound, a.Why + "; with --server hosts are those of its record"}
		case strings.HasPrefix(a.Name, "@"):
			return nil, &exitError{exitNotFound, a.Why}
		}
		out[a.Name] = a.Hosts
	}
	return out, nil
}

// listens reports whether a server of ours may be asked there. One that may not be asked is somebody else's; any other
// trouble is for whoever asks to tell.
func listens(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err == nil {
		_ = c.Close()
	}
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, os.ErrPermission) && !errors.Is(err, syscall.ECONNREFUSED)
}

// find gives the hosts that a word means. The record says where a host is, and by which keys it proves itself; ~/.ssh
// says by which of ours we log in, and by which way.
func (r *resolver) find(ctx context.Context, word string, record []web.ExecHost) ([]found, error) {
	if len(record) == 0 {
		t, err := r.Target(word)
		if err != nil {
			return nil, usage("%v", err)
		}
		if fileInstead(ctx, word, t) {
			return nil, usage("there is no host %s, and there is a file of that name here: a file of hosts is named with a slash, as in -o ./%s", word, word)
		}
		return []found{{Host: fleet.Host{Name: word, Target: t}, words: []string{word}}}, nil
	}
	var out []found
	for _, h := range record {
		typed := word
		if strings.HasPrefix(word, "@") {
			typed = h.Name
		}
		t, err := r.Target(typed)
		if err != nil {
			return nil, usage("%v", err)
		}
		if here, differs := elsewhere(ctx, word, t.Addr, h.Addr); differs {
			return nil, usage("%s is %s on Jarvis's record, and %s in ~/.ssh/config; nothing was done: name it by its address, or say --direct for what ~/.ssh/config means", word, h.Addr, here)
		}
		if len(h.Keys) > 0 { // of an imported host none may be on record: ~/.ssh says which count then
			if t.HostKeys, err = pinned(h.Keys); err != nil {
				return nil, fmt.Errorf("%s on record: %w", h.Name, err)
			}
		}
		t.Addr, t.User = h.Addr, h.User
		if h.Way != "" {
			t.Way = h.Way
			t.Through = func(context.Context, string) (net.Conn, error) {
				return nil, fmt.Errorf("it stands in the %s, and this command connects from here: `run`, and `exec`, `upload`, `sync` and `fetch` without flags that make them connect from here, go by the server and an agent; --direct connects from here all the same", h.Way)
			}
		}
		if r.flags.User != "" {
			t.User = r.flags.User
		}
		out = append(out, found{Host: fleet.Host{Name: h.Name, FQDN: h.FQDN, Target: t}, words: []string{word}, recorded: true})
	}
	return out, nil
}

// fileInstead reports whether a word that no host has is the name of a file here.
func fileInstead(ctx context.Context, word string, t remote.Target) bool {
	if t.Jump != nil || t.Through != nil { // names are looked up there
		return false
	}
	st, err := os.Stat(word)
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	host, _, err := net.SplitHostPort(t.Addr)
	if err != nil {
		return false
	}
	var none *net.DNSError
	_, err = net.DefaultResolver.LookupHost(ctx, host)
	return errors.As(err, &none) && none.IsNotFound
}

// pinned reads host keys that a server told of, each in the form of authorized_keys.
func pinned(lines []string) (remote.Pinned, error) {
	var out remote.Pinned
	for _, l := range lines {
		k, _, _, _, err := gossh.ParseAuthorizedKey([]byte(l))
		if err != nil {
			return nil, fmt.Errorf("%q is not a host key", l)
		}
		out = append(out, k)
	}
	return out, nil
}

// elsewhere reports whether ~/.ssh/config gives a name another host than the record does, and which.
func elsewhere(ctx context.Context, word, here, record string) (string, bool) {
	host, _, err := net.SplitHostPort(here)
	ip, _, err2 := net.SplitHostPort(record)
	if err != nil || err2 != nil || strings.HasPrefix(word, "@") || strings.EqualFold(host, word) || host == ip {
		return "", false
	}
	list, _ := net.DefaultResolver.LookupHost(ctx, host)
	return host, !slices.Contains(list, ip)
}
