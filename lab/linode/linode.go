// Package linode is a simulator of Linode's API v4, as small as what a deployment asks of it, and honest: regions,
// types, images and kernels are recordings of the real API, an instance and an error have the recorded shape, and a
// "running" instance is a real SSH host that has read its user-data. Faults come on demand.
//
// The recordings in testdata are those of linodego's tests (github.com/linode/linodego, MIT); its test here checks the
// simulator's answers against them.
package linode

import (
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/lab"
)

//go:embed testdata/*.json
var recordings embed.FS

// Token is the one that the simulator takes.
const Token = "lab-linode-token"

// LateBy is how long a create under the fault lab.Late is not shown.
const LateBy = 2 * time.Second

// Server is the simulator.
type Server struct {
	URL    string // as workers.linode.url takes it
	Faults lab.Faults
	Kernel string // of new instances' configuration; the default is what Linode gives

	rack *lab.Rack
	http *httptest.Server
	wg   sync.WaitGroup

	mu        sync.Mutex
	instances map[int]*instance
	volumes   map[int]*volume
	next      int
}

type instance struct {
	id       int
	status   string
	rec      map[string]any // the recorded shape, filled in
	config   map[string]any
	userData string
	asked    string // the body of the request that made it
	ip       string
	shownAt  time.Time
	booted   bool
}

type object = map[string]any

// Start brings the simulator up; its hosts come up in the rack.
func Start(rack *lab.Rack) (*Server, error) {
	s := &Server{rack: rack, instances: map[int]*instance{}, volumes: map[int]*volume{}, next: 82372946, Kernel: "linode/grub2"}
	mux := http.NewServeMux()
	for path, file := range map[string]string{"/v4/regions": "regions", "/v4/images": "images", "/v4/linode/types": "types", "/v4/linode/kernels": "kernels"} {
		b, err := recordings.ReadFile("testdata/" + file + ".json")
		if err != nil {
			return nil, err
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) })
	}
	mux.HandleFunc("GET /v4/networking/firewalls", listed(firewalls))
	mux.HandleFunc("GET /v4/vpcs", listed(vpcs))
	mux.HandleFunc("GET /v4/linode/instances", s.list)
	mux.HandleFunc("POST /v4/linode/instances", s.create)
	mux.HandleFunc("GET /v4/linode/instances/{id}", s.one(func(w http.ResponseWriter, _ *http.Request, i *instance) { reply(w, i.show()) }))
	mux.HandleFunc("PUT /v4/linode/instances/{id}", s.one(s.put))
	mux.HandleFunc("DELETE /v4/linode/instances/{id}", s.one(s.remove))
	mux.HandleFunc("POST /v4/linode/instances/{id}/boot", s.one(s.boot))
	mux.HandleFunc("POST /v4/linode/instances/{id}/shutdown", s.one(s.shutdown))
	mux.HandleFunc("POST /v4/linode/instances/{id}/reboot", s.one(s.reboot))
	mux.HandleFunc("GET /v4/linode/instances/{id}/configs", s.one(func(w http.ResponseWriter, _ *http.Request, i *instance) {
		reply(w, object{"data": []any{i.config}, "page": 1, "pages": 1, "results": 1})
	}))
	mux.HandleFunc("PUT /v4/linode/instances/{id}/configs/{config}", s.one(s.putConfig))
	s.serveVolumes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "", "Not found") })
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Ratelimit-Limit", "1840")
		if r.Header.Get("Authorization") != "Bearer "+Token {
			refuse(w, http.StatusUnauthorized, "", "Invalid Token")
			return
		}
		if err := allowed(r); err != nil {
			refuse(w, http.StatusBadRequest, "", "not as Linode's API description has it: "+err.Error())
			return
		}
		create := r.Method == http.MethodPost && (r.URL.Path == "/v4/linode/instances" || r.URL.Path == "/v4/volumes")
		f := s.Faults.At(r.Method+" "+r.URL.Path, create)
		if f.Hides() {
			r.Header.Set("Lab-Late", "yes")
		}
		f.Serve(w, r, mux.ServeHTTP, fault)
	}))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // a broken connection is what lab.Lost is about
	s.http.Start()
	s.URL = s.http.URL + "/v4"
	return s, nil
}

// Chaos gives the faults that it plays.
func (s *Server) Chaos() *lab.Faults { return &s.Faults }

var _ lab.Cloud = (*Server)(nil)

// Stop ends it.
func (s *Server) Stop() {
	s.http.Close()
	s.wg.Wait()
}

// Config gives the lines for jarvis.yaml under workers.
func (s *Server) Config() string {
	return fmt.Sprintf("  linode: {token: %s, url: %q, region: Atlanta}\n", Token, s.URL)
}

// Move gives a machine another address, as Linode does when somebody swaps them.
func (s *Server) Move(id, ip string) {
	n, _ := strconv.Atoi(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.instances[n]; i != nil {
		i.rec["ipv4"] = []string{ip}
	}
}

func reply(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code int, field, reason string) {
	w.WriteHeader(code)
	e := map[string]string{"reason": reason}
	if field != "" {
		e["field"] = field
	}
	reply(w, object{"errors": []any{e}})
}

func fault(w http.ResponseWriter, f lab.Fault) {
	switch f {
	case lab.TooMany:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "", "Too many requests")
	case lab.Denied:
		refuse(w, http.StatusForbidden, "", "Unauthorized")
	case lab.Capacity:
		refuse(w, http.StatusBadRequest, "region", "There is not enough capacity in this region for the requested plan")
	default:
		refuse(w, http.StatusInternalServerError, "", "Internal Server Error")
	}
}

// recorded reads the recording each time, so that callers may fill it in.
func recorded(name string) object {
	b, err := recordings.ReadFile("testdata/" + name + ".json")
	var v object
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		panic(err) // embedded in this program
	}
	return v
}

// has reports whether a recorded list holds an id.
func has(list, id string) bool {
	return slices.ContainsFunc(recorded(list)["data"].([]any), func(v any) bool { return v.(object)["id"] == id })
}

func (i *instance) show() object {
	rec := maps.Clone(i.rec)
	rec["status"] = i.status
	return rec
}

// one finds the instance of a path; s.mu is held while f runs.
func (s *Server) one(f func(http.ResponseWriter, *http.Request, *instance)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		s.mu.Lock()
		defer s.mu.Unlock()
		i := s.instances[id]
		if i == nil || time.Now().Before(i.shownAt) {
			refuse(w, http.StatusNotFound, "", "Not found")
			return
		}
		f(w, r, i)
	}
}

// list knows the filters that we use: exact values, and +or of them.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	filter, ok := filterOf(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.instances)) {
		if i := s.instances[id]; !time.Now().Before(i.shownAt) && matches(i.rec, filter) {
			data = append(data, i.show())
		}
	}
	reply(w, object{"data": data, "page": 1, "pages": 1, "results": len(data)})
}

// filterOf reads the request's filter; it refuses what is not a filter.
func filterOf(w http.ResponseWriter, r *http.Request) (filter object, ok bool) {
	if h := r.Header.Get("X-Filter"); h != "" {
		if err := json.Unmarshal([]byte(h), &filter); err != nil {
			refuse(w, http.StatusBadRequest, "", "X-Filter is not valid JSON")
			return nil, false
		}
	}
	return filter, true
}

// matches knows of X-Filter what Jarvis asks for: that a field is, or a list has, a value, and +or.
func matches(rec, filter object) bool {
	for k, want := range filter {
		if k == "+or" {
			if !slices.ContainsFunc(want.([]any), func(f any) bool { return matches(rec, f.(object)) }) {
				return false
			}
			continue
		}
		if list, ok := rec[k].([]string); ok {
			if !slices.Contains(list, fmt.Sprint(want)) {
				return false
			}
		} else if fmt.Sprint(rec[k]) != fmt.Sprint(want) {
			return false
		}
	}
	return true
}

var label = pattern.New(`^[a-zA-Z0-9]([-_.]?[a-zA-Z0-9])+$`)

// create refuses what Linode would, in its words. Lab-Late keeps the machine out of lists for a while.
func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Region, Type, Label, Image string
		RootPass                   string `json:"root_pass"`
		Tags                       []string
		Booted                     *bool
		Metadata                   struct {
			UserData string `json:"user_data"`
		}
		network
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "", "Invalid JSON")
		return
	}
	user, err := base64.StdEncoding.DecodeString(q.Metadata.UserData)
	switch {
	case !has("regions", q.Region):
		refuse(w, http.StatusBadRequest, "region", "region is not valid")
		return
	case !has("types", q.Type):
		refuse(w, http.StatusBadRequest, "type", "A valid plan type by that ID was not found")
		return
	case q.Image != "" && !has("images", q.Image):
		refuse(w, http.StatusBadRequest, "image", "image is not valid")
		return
	case q.Image != "" && q.RootPass == "":
		refuse(w, http.StatusBadRequest, "root_pass", "root_pass is required")
		return
	case len(q.Label) < 3 || len(q.Label) > 64 || !label.MatchString(q.Label):
		refuse(w, http.StatusBadRequest, "label", "Label must be 3 to 64 characters and may only contain letters, numbers, - _ and .")
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, "metadata.user_data", "Must be valid base64")
		return
	case len(user) > 16384:
		refuse(w, http.StatusBadRequest, "metadata.user_data", "decoded user_data must not exceed 16384 bytes")
		return
	case slices.ContainsFunc(q.Tags, func(t string) bool { return len(t) < 3 || len(t) > 50 }):
		refuse(w, http.StatusBadRequest, "tags", "Length must be 3-50 characters")
		return
	}
	if field, reason := q.wrong(q.Region); reason != "" {
		refuse(w, http.StatusBadRequest, field, reason)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.instances {
		if i.rec["label"] == q.Label {
			refuse(w, http.StatusBadRequest, "label", "Label must be unique among your linodes")
			return
		}
	}
	i := &instance{id: s.next, status: "provisioning", rec: recorded("instance"), config: recorded("config"), userData: string(user), asked: string(body), ip: s.rack.Address()}
	s.next++
	if r.Header.Get("Lab-Late") != "" {
		i.shownAt = time.Now().Add(LateBy)
	}
	now := time.Now().UTC().Format("2006-01-02T15:04:05")
	for k, v := range (object{"id": i.id, "label": q.Label, "region": q.Region, "type": q.Type, "image": q.Image, "created": now, "updated": now, "ipv4": []string{i.ip},
		"ipv6": fmt.Sprintf("2001:db8::%x/128", i.id), "tags": append([]string{}, q.Tags...), "has_user_data": len(user) > 0}) {
		i.rec[k] = v
	}
	for _, t := range recorded("types")["data"].([]any) {
		if t := t.(object); t["id"] == q.Type {
			specs := maps.Clone(i.rec["specs"].(object))
			for _, k := range []string{"memory", "disk", "vcpus", "transfer", "gpus"} {
				specs[k] = t[k]
			}
			i.rec["specs"] = specs
		}
	}
	if q.PrivateIP {
		i.rec["ipv4"] = []string{i.ip, fmt.Sprintf("192.168.%d.%d", i.id/250%250, i.id%250+1)}
	}
	if len(q.Interfaces) > 0 && q.Generation != "linode" {
		i.config["interfaces"] = q.Interfaces
	}
	i.config["id"], i.config["label"], i.config["kernel"] = i.id+1000, "My "+q.Image+" Disk Profile", s.Kernel
	s.instances[i.id] = i
	if q.Booted == nil || *q.Booted {
		s.later(i, "booting", "running", func() { s.up(i) })
	} else {
		i.status = "offline"
	}
	reply(w, i.show())
}

// later changes a status after work that takes a while; s.mu is held by the caller.
func (s *Server) later(i *instance, meanwhile, then string, work func()) {
	if i.status != "provisioning" {
		i.status = meanwhile
	}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		work()
		s.mu.Lock()
		defer s.mu.Unlock()
		i.status = then
	}()
}

func (s *Server) key(i *instance) string { return "linode/" + strconv.Itoa(i.id) }

// up boots a machine the first time, and then powers it on. One that was deleted meanwhile goes again.
func (s *Server) up(i *instance) {
	s.mu.Lock()
	first, label := !i.booted, i.rec["label"].(string)
	i.booted = true
	s.mu.Unlock()
	if first {
		_ = s.rack.Up(s.key(i), label, i.ip, i.userData) // the rack notes what goes wrong
	} else {
		s.rack.On(s.key(i))
	}
	s.mu.Lock()
	_, there := s.instances[i.id]
	s.mu.Unlock()
	if !there {
		s.rack.Remove(s.key(i)) // deleted while it booted
	}
}

// busy refuses what an instance cannot do now.
func busy(w http.ResponseWriter, i *instance, want ...string) bool {
	if slices.Contains(want, i.status) {
		return false
	}
	if i.status == "running" || i.status == "offline" {
		refuse(w, http.StatusBadRequest, "", "Linode is already "+map[string]string{"running": "booted", "offline": "powered off"}[i.status]+".")
	} else {
		refuse(w, http.StatusBadRequest, "", "Linode busy.")
	}
	return true
}

func (s *Server) boot(w http.ResponseWriter, _ *http.Request, i *instance) {
	if !busy(w, i, "offline") {
		s.later(i, "booting", "running", func() { s.up(i) })
		reply(w, object{})
	}
}

func (s *Server) shutdown(w http.ResponseWriter, _ *http.Request, i *instance) {
	if !busy(w, i, "running") {
		s.later(i, "shutting_down", "offline", func() { s.rack.Off(s.key(i)) })
		reply(w, object{})
	}
}

func (s *Server) reboot(w http.ResponseWriter, _ *http.Request, i *instance) {
	if !busy(w, i, "running") {
		s.later(i, "rebooting", "running", func() { s.rack.Off(s.key(i)); s.rack.On(s.key(i)) })
		reply(w, object{})
	}
}

// remove is over at once; the host ends in the background.
func (s *Server) remove(w http.ResponseWriter, _ *http.Request, i *instance) {
	delete(s.instances, i.id)
	for _, v := range s.volumes {
		if v.LinodeID != nil && *v.LinodeID == i.id {
			v.LinodeID, v.LinodeLabel = nil, nil
		}
	}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		s.rack.Remove(s.key(i))
	}()
	reply(w, object{})
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, i *instance) {
	var q struct{ Tags *[]string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(w, http.StatusBadRequest, "", "Invalid JSON")
		return
	}
	if q.Tags != nil {
		i.rec["tags"] = *q.Tags
	}
	reply(w, i.show())
}

func (s *Server) putConfig(w http.ResponseWriter, r *http.Request, i *instance) {
	var q struct {
		Kernel     string
		Interfaces *[]object
	}
	switch err := json.NewDecoder(r.Body).Decode(&q); {
	case err != nil:
		refuse(w, http.StatusBadRequest, "", "Invalid JSON")
	case r.PathValue("config") != fmt.Sprint(i.config["id"]):
		refuse(w, http.StatusNotFound, "", "Not found")
	case q.Kernel != "" && !strings.HasPrefix(q.Kernel, "linode/"):
		refuse(w, http.StatusBadRequest, "kernel", "kernel is not valid")
	default:
		if q.Kernel != "" {
			i.config["kernel"] = q.Kernel
		}
		if q.Interfaces != nil {
			i.config["interfaces"] = *q.Interfaces
		}
		reply(w, i.config)
	}
}
