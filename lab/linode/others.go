package linode

import (
	"encoding/json"
	"slices"
	"strconv"
)

// What others do to the account, and what a test may look at. None of it goes over the API.

// Machines lists the labels of all instances, whether they are shown or not.
func (s *Server) Machines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, i := range s.instances {
		out = append(out, i.rec["label"].(string))
	}
	slices.Sort(out)
	return out
}

// Stranger makes a running machine of that label, without any tag, as somebody else would.
func (s *Server) Stranger(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &instance{id: s.next, status: "running", rec: recorded("instance"), config: recorded("config"), ip: s.rack.Address()}
	s.next++
	for k, v := range (object{"id": i.id, "label": name, "created": "2024-02-29T08:00:00", "ipv4": []string{i.ip}, "tags": []string{}}) {
		i.rec[k] = v
	}
	s.instances[i.id] = i
	return strconv.Itoa(i.id), nil
}

// Retag replaces a machine's tags.
func (s *Server) Retag(id string, tags ...string) {
	n, _ := strconv.Atoi(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances[n].rec["tags"] = append([]string{}, tags...)
}

// Facts gives what Linode has of the machine of that label: the request that made it, and its record.
func (s *Server) Facts(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.instances {
		if i.rec["label"] == name {
			rec, _ := json.Marshal(i.show())
			config, _ := json.Marshal(i.config)
			return i.asked + "\n" + string(rec) + "\nprofile: " + string(config) + "\n" + s.factsOf(i.id) + i.userData
		}
	}
	return ""
}

// Runs tells whether a machine is running.
func (s *Server) Runs(id string) bool {
	n, _ := strconv.Atoi(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instances[n]
	return i != nil && i.status == "running"
}
