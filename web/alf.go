package web

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/remote"
)

// alfHost is a host as clients of Alf know it: http/hosts.go and db/models.go of github.com/hslee17/alf. Its Id is its
// name.
type alfHost struct {
	XMLName  xml.Name `json:"-" xml:"Host"`
	Id       string   //nolint:revive,staticcheck // their name for it
	Hostname string
	Port     int
	Username string
	Tasks    []string
	Password string `json:"-" xml:",omitempty"` // never given, and refused
}

// alf serves Alf's own API below /alf: ping, and hosts to list, get and create, in JSON and XML.
func (s *Server) alf(mux *http.ServeMux) {
	mux.HandleFunc("GET /alf/ping", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "pong") })
	mux.HandleFunc("GET /alf/host", s.alfHosts)
	mux.HandleFunc("GET /alf/host/{id}", s.alfHosts)
	mux.HandleFunc("POST /alf/host", s.alfCreate)
	for _, p := range []string{"ping", "host"} { // its clients end their paths with a slash
		mux.HandleFunc("/alf/"+p+"/{$}", func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
			mux.ServeHTTP(w, r)
		})
	}
}

// alfHosts answers with all hosts, or with one.
func (s *Server) alfHosts(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r.Context())
	a, err := s.Table.Do(r.Context(), command.Call{Words: []string{"check", "defined"}, Person: c.person, Asker: c.asker, Via: c.via, Free: c.free})
	if err != nil {
		s.problem(w, r, problemOf(err))
		return
	}
	list, _ := a.Data.([]model.Definition)
	hosts := []alfHost{}
	byName := map[string]int{}
	for _, d := range list {
		if d.Kind != model.KindHost {
			continue
		}
		var h model.Host
		if err := yaml.Load([]byte(d.YAML), &h); err != nil {
			continue // it is of the record, and was read before
		}
		out := alfHost{Id: d.Name, Hostname: d.Name, Port: 22, Tasks: []string{}}
		if user, host, port, err := remote.SplitHost(h.Address); err == nil && h.Address != "" {
			out.Username, out.Hostname = user, host
			if n, err := strconv.Atoi(port); err == nil {
				out.Port = n
			}
		}
		byName[d.Name] = len(hosts)
		hosts = append(hosts, out)
	}
	views, err := s.Checks.List(r.Context(), checks.Filter{})
	if err != nil {
		s.problem(w, r, problemOf(err))
		return
	}
	for _, v := range views {
		if i, ok := byName[v.Host]; ok && v.Schedule != "" {
			hosts[i].Tasks = append(hosts[i].Tasks, v.Task)
		}
	}
	if id := r.PathValue("id"); id != "" {
		i, ok := byName[id]
		if !ok {
			s.problem(w, r, &Problem{Status: http.StatusNotFound, Kind: "notfound", Detail: "there is no host " + id})
			return
		}
		alfAnswer(w, r, http.StatusOK, hosts[i])
		return
	}
	alfAnswer(w, r, http.StatusOK, hosts)
}

// alfCreate makes a host, and the checks it names.
func (s *Server) alfCreate(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r.Context())
	bad := func(format string, args ...any) {
		s.problem(w, r, &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: fmt.Sprintf(format, args...)})
	}
	if !c.person.Has(access.Run) { // nothing is read for who may not; the table refuses, and has it on record
		_, err := s.Table.Do(r.Context(), command.Call{Words: []string{"check", "define", model.KindHost}, Person: c.person, Asker: c.asker, Via: c.via, Free: c.free})
		s.problem(w, r, problemOf(err))
		return
	}
	if err := s.early(r.Context(), c, "check define"); err != nil {
		s.problem(w, r, problemOf(err))
		return
	}
	body, err := whole(r.Body)
	if err != nil {
		s.problem(w, r, problemOf(err))
		return
	}
	var h alfHost
	if strings.Contains(r.Header.Get("Content-Type"), "xml") {
		err = xml.Unmarshal(body, &h)
	} else {
		err = json.Unmarshal(body, &h)
	}
	switch {
	case err != nil:
		bad("the host is not right: %v", err)
		return
	case h.Password != "":
		bad("passwords of hosts are not kept; authorize this server's key there (`jarvis check run host on NAME` tells whether it works)")
		return
	case h.Port < 0 || h.Port > 65535:
		bad("%d is no port", h.Port)
		return
	}
	name := h.Id
	if name == "" {
		name = h.Hostname
	}
	addr := h.Hostname
	if h.Port != 0 && h.Port != 22 {
		addr = net.JoinHostPort(addr, strconv.Itoa(h.Port))
	}
	if h.Username != "" {
		addr = h.Username + "@" + addr
	}
	define := func(kind, name string, v any) error {
		b, err := yaml.Dump(v)
		if err == nil {
			_, err = s.Table.Do(r.Context(), command.Call{Words: []string{"check", "define", kind, name, "body"}, File: b, Person: c.person, Asker: c.asker, Via: c.via, Free: c.free})
		}
		return err
	}
	err = define(model.KindHost, name, model.Host{Name: name, Address: addr})
	if err == nil && len(h.Tasks) > 0 {
		err = define(model.KindHostTask, name, model.HostTask{Name: name, Tasks: h.Tasks, Hosts: []string{name}})
	}
	if err != nil {
		s.problem(w, r, problemOf(err))
		return
	}
	h.Id = name
	alfAnswer(w, r, http.StatusCreated, h)
}

// alfAnswer writes what the client accepts: JSON unless it asks for XML.
func alfAnswer(w http.ResponseWriter, r *http.Request, status int, v any) {
	var b []byte
	var err error
	if strings.Contains(r.Header.Get("Accept"), "xml") && !strings.Contains(r.Header.Get("Accept"), "json") {
		w.Header().Set("Content-Type", "application/xml")
		b, err = xml.MarshalIndent(v, "", " ")
		b = append([]byte(xml.Header), b...)
	} else {
		w.Header().Set("Content-Type", "application/json")
		b, err = json.MarshalIndent(v, "", " ")
	}
	if err != nil {
		http.Error(w, "something broke on my side", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
