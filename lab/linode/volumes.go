package linode

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// volume is a Volume of Block Storage, with the fields that the description's schema has.
type volume struct {
	ID             int      `json:"id"`
	Label          string   `json:"label"`
	Status         string   `json:"status"`
	Size           int      `json:"size"`
	Region         string   `json:"region"`
	LinodeID       *int     `json:"linode_id"`
	LinodeLabel    *string  `json:"linode_label"`
	FilesystemPath string   `json:"filesystem_path"`
	Tags           []string `json:"tags"`
	HardwareType   string   `json:"hardware_type"`
	Created        string   `json:"created"`
	Updated        string   `json:"updated"`
	encryption     string
	shownAt        time.Time
}

// takes is how long Linode takes to make, attach or detach one.
const takes = 200 * time.Millisecond

var volumeLabel = pattern.New(`^[a-zA-Z]([-_]?[a-zA-Z0-9])+$`)

func (s *Server) serveVolumes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v4/volumes", s.listVolumes)
	mux.HandleFunc("POST /v4/volumes", s.createVolume)
	mux.HandleFunc("GET /v4/volumes/{id}", s.oneVolume(func(w http.ResponseWriter, _ *http.Request, v *volume) { reply(w, v) }))
	mux.HandleFunc("PUT /v4/volumes/{id}", s.oneVolume(func(w http.ResponseWriter, r *http.Request, v *volume) {
		var q struct{ Tags *[]string }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			refuse(w, http.StatusBadRequest, "", "Invalid JSON")
			return
		}
		if q.Tags != nil {
			v.Tags = *q.Tags
		}
		reply(w, v)
	}))
	mux.HandleFunc("DELETE /v4/volumes/{id}", s.oneVolume(func(w http.ResponseWriter, _ *http.Request, v *volume) {
		if v.LinodeID != nil {
			refuse(w, http.StatusBadRequest, "", "Volume must be detached before it can be deleted.")
			return
		}
		delete(s.volumes, v.ID)
		reply(w, object{})
	}))
	mux.HandleFunc("POST /v4/volumes/{id}/attach", s.oneVolume(s.attach))
	mux.HandleFunc("POST /v4/volumes/{id}/detach", s.oneVolume(func(w http.ResponseWriter, _ *http.Request, v *volume) {
		s.soon(func() { v.LinodeID, v.LinodeLabel = nil, nil })
		reply(w, object{})
	}))
}

// oneVolume finds the Volume of a path; s.mu is held while f runs.
func (s *Server) oneVolume(f func(http.ResponseWriter, *http.Request, *volume)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.volumes[id] == nil {
			refuse(w, http.StatusNotFound, "", "Not found")
			return
		}
		f(w, r, s.volumes[id])
	}
}

// soon does something after a while, with s.mu held.
func (s *Server) soon(f func()) {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		time.Sleep(takes)
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}()
}

func (s *Server) listVolumes(w http.ResponseWriter, r *http.Request) {
	filter, ok := filterOf(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.volumes)) {
		if v := s.volumes[id]; !time.Now().Before(v.shownAt) && matches(object{"label": v.Label, "tags": v.Tags}, filter) {
			data = append(data, v)
		}
	}
	reply(w, object{"data": data, "page": 1, "pages": 1, "results": len(data)})
}

func (s *Server) createVolume(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Label, Region, Encryption string
		Size                      int
		LinodeID                  int `json:"linode_id"`
		Tags                      []string
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(w, http.StatusBadRequest, "", "Invalid JSON")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instances[q.LinodeID]
	switch {
	case len(q.Label) > 32 || !volumeLabel.MatchString(q.Label):
		refuse(w, http.StatusBadRequest, "label", "Must be 1 to 32 letters, digits, - and _")
		return
	case q.Size < 10 || q.Size > 16384:
		refuse(w, http.StatusBadRequest, "size", "Must be 10-16384")
		return
	case i == nil:
		refuse(w, http.StatusBadRequest, "linode_id", "Linode not found")
		return
	case slices.ContainsFunc(q.Tags, func(t string) bool { return len(t) < 3 || len(t) > 50 }):
		refuse(w, http.StatusBadRequest, "tags", "Length must be 3-50 characters")
		return
	}
	for _, v := range s.volumes {
		if v.Label == q.Label {
			refuse(w, http.StatusBadRequest, "label", "Label must be unique among your Volumes")
			return
		}
	}
	name, now := i.rec["label"].(string), time.Now().UTC().Format("2006-01-02T15:04:05")
	v := &volume{ID: s.next, Label: q.Label, Status: "creating", Size: q.Size, Region: fmt.Sprint(i.rec["region"]), LinodeID: &i.id, LinodeLabel: &name,
		FilesystemPath: "/dev/disk/by-id/scsi-0Linode_Volume_" + q.Label, Tags: append([]string{}, q.Tags...), HardwareType: "nvme", Created: now, Updated: now, encryption: cmp.Or(q.Encryption, "disabled")}
	s.next++
	if r.Header.Get("Lab-Late") != "" {
		v.shownAt = time.Now().Add(LateBy)
	}
	s.volumes[v.ID] = v
	s.soon(func() { v.Status = "active" })
	reply(w, v)
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request, v *volume) {
	var q struct {
		LinodeID int `json:"linode_id"`
	}
	err := json.NewDecoder(r.Body).Decode(&q)
	i := s.instances[q.LinodeID]
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "", "Invalid JSON")
	case i == nil:
		refuse(w, http.StatusBadRequest, "linode_id", "Linode not found")
	case v.LinodeID != nil:
		refuse(w, http.StatusBadRequest, "", "Volume is already attached.")
	default:
		name := i.rec["label"].(string)
		s.soon(func() { v.LinodeID, v.LinodeLabel = &i.id, &name })
		reply(w, v)
	}
}

// Volumes lists the labels of all Volumes, each with the machine it is attached to.
func (s *Server) Volumes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, v := range s.volumes {
		out = append(out, v.line())
	}
	slices.Sort(out)
	return out
}

func (v *volume) line() string {
	at := "nowhere"
	if v.LinodeLabel != nil {
		at = *v.LinodeLabel
	}
	return fmt.Sprintf("volume %s: %d GB at %s", v.Label, v.Size, at)
}

// factsOf gives what Linode has of a machine's Volumes; s.mu is held by the caller.
func (s *Server) factsOf(id int) string {
	var b strings.Builder
	for _, n := range slices.Sorted(maps.Keys(s.volumes)) {
		if v := s.volumes[n]; v.LinodeID != nil && *v.LinodeID == id {
			fmt.Fprintf(&b, "%s, %s, encryption %s, %s\n", v.line(), v.FilesystemPath, v.encryption, strings.Join(v.Tags, " "))
		}
	}
	return b.String()
}

// Detach takes a Volume off its machine, as somebody would who wants to keep it.
func (s *Server) Detach(label string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.volumes {
		if v.Label == label {
			v.LinodeID, v.LinodeLabel = nil, nil
		}
	}
}
