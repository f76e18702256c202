// Package ec2 is a simulator of Amazon EC2's query API (version 2016-11-15), as small as what a deployment asks of it,
// and honest: requests that Amazon's own API model does not have are refused, its answers have the model's element
// names and types, RunInstances keeps its promise about client tokens, and a "running" instance is a real SSH host that
// has read its user-data. Faults come on demand. Its test drives it with awscli and checks what goes over the wire
// against the model.
package ec2

import (
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"
	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/lab"
)

// Credentials and region that the simulator takes.
const (
	AccessKey = "AKIALABLABLABLABLAB0"
	SecretKey = "lab/secret/lab/secret/lab/secret/lab/sec"
	Region    = "us-east-1"
)

// LateBy is how long a create under the fault lab.Late is not shown.
const LateBy = 2 * time.Second

// keep is how long a terminated instance is still shown; EC2 does so for about an hour.
const keep = time.Hour

// Server is the simulator.
type Server struct {
	URL    string // as workers.ec2.endpoint takes it
	Faults lab.Faults
	Log    func(action string, q url.Values) // called for every request, when set

	rack *lab.Rack
	http *httptest.Server
	wg   sync.WaitGroup

	mu        sync.Mutex
	instances map[string]*instance
	tokens    map[string]*instance // by client token, for ever
	elastic   map[string]*address
	full      map[string]bool   // zones without capacity
	loses     map[string]bool   // zones whose next answer to a create is lost
	denied    map[string]string // actions, and the right that lacks
	wrong     []string          // requests that Amazon's model does not have
	next      int
}

type instance struct {
	Instance
	ip, userData, params string
	shownAt, goneAt      time.Time
	consoleAt            time.Time
	public               bool // whether it has a public address
	booted               bool
}

// apiError is a refusal: HTTP status, code and message as EC2 writes them.
type apiError struct {
	status    int
	code, msg string
}

// refusal is an error of the client's, which EC2 answers with 400: nothing is tried again.
func refusal(code, format string, a ...any) *apiError {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, a...)}
}

// Start brings the simulator up; its hosts come up in the rack.
func Start(rack *lab.Rack) *Server {
	s := &Server{rack: rack, instances: map[string]*instance{}, tokens: map[string]*instance{}, elastic: map[string]*address{}, full: map[string]bool{}, loses: map[string]bool{}, denied: map[string]string{}, next: 1}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // a broken connection is what lab.Lost is about
	s.http.Start()
	s.URL = s.http.URL
	return s
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
	return fmt.Sprintf("  ec2: {region: %s, endpoint: %q, access_key: %s, secret_key: %q}\n", Region, s.URL, AccessKey, SecretKey)
}

// serve has a request fit Amazon's model before anything is done, and plays the faults.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	if err := r.ParseForm(); err != nil {
		refuse(w, refusal("MalformedQueryString", "the query string is malformed"))
		return
	}
	q := r.Form
	action := q.Get("Action")
	// The signature itself is the SDK's business; who signs, for which region and service, is checked.
	auth := r.Header.Get("Authorization")
	scope := "Credential=" + AccessKey + "/" + time.Now().UTC().Format("20060102") + "/" + Region + "/ec2/aws4_request"
	if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 ") || !strings.Contains(auth, scope) {
		refuse(w, &apiError{http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"})
		return
	}
	if s.Log != nil {
		s.Log(action, q)
	}
	if e := requests.check(action, q); e != nil {
		s.mu.Lock()
		s.wrong = append(s.wrong, action+": "+e.msg)
		s.mu.Unlock()
		refuse(w, e)
		return
	}
	f := s.Faults.At(action, action == "RunInstances")
	if f.Hides() {
		q.Set("LabLate", "yes")
	}
	f.Serve(w, r, func(w http.ResponseWriter, _ *http.Request) {
		do := map[string]func(url.Values) (any, *apiError){
			"RunInstances": s.runInstances, "DescribeInstances": s.describeInstances, "StartInstances": s.startInstances, "StopInstances": s.stopInstances,
			"RebootInstances": s.rebootInstances, "TerminateInstances": s.terminateInstances, "GetConsoleOutput": s.getConsoleOutput,
			"DescribeImages": describeImages, "DescribeInstanceTypes": describeInstanceTypes, "DescribeSubnets": describeSubnets, "DescribeAvailabilityZones": describeZones,
			"DescribeSecurityGroups": describeSecurityGroups, "CreateTags": s.createTags, "DeleteTags": s.deleteTags, "DescribeAddresses": s.describeAddresses, "AssociateAddress": s.associateAddress,
		}[action]
		out, e := do(q)
		s.mu.Lock()
		if right, no := s.denied[action]; no {
			e = &apiError{http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/jarvis is not authorized to perform: " + right + " on resource: arn:aws:ec2:us-east-1:123456789012:instance/*"}
		}
		lost := false
		if r, ok := out.(Reservation); ok && e == nil && action == "RunInstances" {
			zone := r.Instances[0].Placement.AvailabilityZone
			lost, s.loses[zone] = s.loses[zone], false
		}
		s.mu.Unlock()
		if lost {
			panic(http.ErrAbortHandler)
		}
		if e != nil {
			refuse(w, e)
			return
		}
		start := xml.StartElement{Name: xml.Name{Local: action + "Response"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: "http://ec2.amazonaws.com/doc/2016-11-15/"}}}
		_, _ = io.WriteString(w, xml.Header)
		_ = xml.NewEncoder(w).EncodeElement(out, start)
	}, func(w http.ResponseWriter, f lab.Fault) {
		switch f {
		case lab.TooMany:
			refuse(w, &apiError{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."})
		case lab.Denied:
			refuse(w, &apiError{http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation."})
		case lab.Capacity:
			refuse(w, &apiError{http.StatusInternalServerError, "InsufficientInstanceCapacity", "We currently do not have sufficient t3.nano capacity in the Availability Zone you requested (us-east-1a)."})
		default:
			refuse(w, &apiError{http.StatusInternalServerError, "InternalError", "An internal error has occurred"})
		}
	})
}

func refuse(w http.ResponseWriter, e *apiError) {
	w.WriteHeader(e.status)
	_, _ = io.WriteString(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName   xml.Name `xml:"Response"`
		Code      string   `xml:"Errors>Error>Code"`
		Message   string   `xml:"Errors>Error>Message"`
		RequestID string
	}{Code: e.code, Message: e.msg, RequestID: "00000000-0000-4000-8000-000000000000"})
}

func (i *instance) tag(key string) string {
	for _, t := range i.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// filter gives what a filter of that name is compared with; false: the lab does not know such a filter.
func (i *instance) filter(name string) (string, bool) {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		return i.tag(key), true
	}
	switch name {
	case "instance-state-name":
		return i.State.Name, true
	case "client-token":
		return i.ClientToken, true
	case "instance-id":
		return i.InstanceID, true
	}
	return "", false
}

// find gives the named instances; s.mu is held by the caller.
func (s *Server) find(ids []string) ([]*instance, *apiError) {
	var out []*instance
	for _, id := range ids {
		if !strings.HasPrefix(id, "i-") {
			return nil, refusal("InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
		}
		i := s.instances[id]
		if i == nil || time.Now().Before(i.shownAt) || !i.goneAt.IsZero() && time.Since(i.goneAt) > keep {
			return nil, refusal("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
		}
		out = append(out, i)
	}
	return out, nil
}

func (s *Server) describeInstances(q url.Values) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*instance
	if ids := list(q, "InstanceId"); len(ids) > 0 {
		var e *apiError
		if all, e = s.find(ids); e != nil {
			return nil, e
		}
	} else {
		for _, id := range slices.Sorted(maps.Keys(s.instances)) {
			if i := s.instances[id]; !time.Now().Before(i.shownAt) {
				all = append(all, i)
			}
		}
	}
	out := describeInstancesResponse{RequestID: requestID}
	for _, i := range all {
		ok, e := passes(q, i.filter)
		if e != nil {
			return nil, e
		}
		if ok {
			out.Reservations = append(out.Reservations, reservation("", i))
		}
	}
	return out, nil
}

func reservation(requestID string, i *instance) Reservation {
	return Reservation{RequestID: requestID, ReservationID: strings.Replace(i.InstanceID, "i-", "r-", 1), OwnerID: "123456789012", Instances: []Instance{i.Instance}}
}

// runInstances gives the same machine for the same client token, and refuses another request under it, as EC2 does.
func (s *Server) runInstances(q url.Values) (any, *apiError) {
	const nic = "NetworkInterface.1."
	image, size, subnet := images[q.Get("ImageId")], sizes[q.Get("InstanceType")], subnets[cmp.Or(q.Get(nic+"SubnetId"), q.Get("SubnetId"))]
	user, err := base64.StdEncoding.DecodeString(q.Get("UserData"))
	switch {
	case image.ImageID == "":
		return nil, refusal("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", q.Get("ImageId"))
	case size.mb == 0:
		return nil, refusal("InvalidParameterValue", "Invalid value '%s' for InstanceType.", q.Get("InstanceType"))
	case subnet.SubnetID == "":
		return nil, refusal("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", cmp.Or(q.Get(nic+"SubnetId"), q.Get("SubnetId")))
	case size.arch != image.Architecture:
		return nil, refusal("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI.", size.arch, image.Architecture)
	case q.Get("MinCount") != "1" || q.Get("MaxCount") != "1":
		return nil, refusal("InvalidParameterValue", "the lab makes one instance at a time")
	case err != nil:
		return nil, refusal("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	case len(user) > 16384:
		return nil, refusal("InvalidParameterValue", "User data is limited to 16384 bytes")
	case len(q.Get("ClientToken")) > 64:
		return nil, refusal("InvalidParameterValue", "Invalid client token: it must not be more than 64 characters")
	}
	if e := combination(q); e != nil {
		return nil, e
	}
	params := maps.Clone(q)
	for k := range params {
		if strings.HasPrefix(k, "Lab") || k == "Version" {
			delete(params, k)
		}
	}
	encoded := params.Encode()
	s.mu.Lock()
	defer s.mu.Unlock()
	token := q.Get("ClientToken")
	if i := s.tokens[token]; token != "" && i != nil {
		if i.params != encoded {
			return nil, refusal("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		}
		if i.State == terminated || i.State == shuttingDown { // since January 2025
			return nil, refusal("IdempotentInstanceTerminated", "The client token '%s' was used for the instance %s, which has been terminated.", token, i.InstanceID)
		}
		return reservation(requestID, i), nil
	}
	if s.full[subnet.AvailabilityZone] {
		return nil, &apiError{http.StatusInternalServerError, "InsufficientInstanceCapacity", fmt.Sprintf("We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). You can currently get %s capacity by not specifying an Availability Zone in your request.", q.Get("InstanceType"), subnet.AvailabilityZone, q.Get("InstanceType"))}
	}
	n := s.next
	s.next++
	i := &instance{ip: s.rack.Address(), userData: string(user), params: encoded}
	i.public = q.Get(nic+"AssociatePublicIpAddress") == "true" || q.Get(nic+"AssociatePublicIpAddress") == "" && subnet.MapPublicIP
	private := cmp.Or(q.Get(nic+"PrivateIpAddress"), fmt.Sprintf("172.31.%d.%d", n/250, n%250+4))
	if !i.public {
		private = i.ip // a host that is reached by its private address
	}
	i.Instance = Instance{InstanceID: fmt.Sprintf("i-%017x", 0xabc000000+n), ImageID: image.ImageID, State: pending, InstanceType: q.Get("InstanceType"), LaunchTime: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		Placement: Placement{AvailabilityZone: subnet.AvailabilityZone, Tenancy: "default"}, SubnetID: subnet.SubnetID, VpcID: subnet.VpcID,
		PrivateIP: private, Architecture: image.Architecture, RootDeviceType: "ebs", RootDeviceName: "/dev/xvda",
		VirtualizationType: "hvm", Hypervisor: "xen", ClientToken: token,
		Metadata: MetadataOptions{State: "pending", HTTPTokens: cmp.Or(q.Get("MetadataOptions.HttpTokens"), "optional"), HopLimit: cmp.Or(q.Get("MetadataOptions.HttpPutResponseHopLimit"), "1"), Endpoint: cmp.Or(q.Get("MetadataOptions.HttpEndpoint"), "enabled")},
	}
	for t := 1; q.Has(fmt.Sprintf("TagSpecification.%d.ResourceType", t)); t++ {
		spec := fmt.Sprintf("TagSpecification.%d.", t)
		if q.Get(spec+"ResourceType") != "instance" {
			continue
		}
		for k := 1; q.Has(fmt.Sprintf("%sTag.%d.Key", spec, k)); k++ {
			i.Tags = append(i.Tags, Tag{q.Get(fmt.Sprintf("%sTag.%d.Key", spec, k)), q.Get(fmt.Sprintf("%sTag.%d.Value", spec, k))})
		}
	}
	if q.Get("LabLate") != "" {
		i.shownAt = time.Now().Add(LateBy)
	}
	s.instances[i.InstanceID] = i
	if token != "" {
		s.tokens[token] = i
	}
	answer := reservation(requestID, i)
	s.later(i, running, func() { s.up(i) })
	return answer, nil
}

func (s *Server) key(i *instance) string { return "ec2/" + i.InstanceID }

// later changes a state after work that takes a while; s.mu is held by the caller. A state that was changed meanwhile
// (terminated while it booted) stays.
func (s *Server) later(i *instance, then State, work func()) {
	was := i.State
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		work()
		s.mu.Lock()
		defer s.mu.Unlock()
		if i.State != was {
			return
		}
		i.State = then
		i.PublicIP = ""
		switch then {
		case running:
			if i.public {
				i.PublicIP = i.ip
			}
			i.consoleAt = time.Now().Add(500 * time.Millisecond)
		case terminated:
			i.goneAt = time.Now()
		}
	}()
}

// up boots a machine the first time, and then powers it on. One that was terminated meanwhile goes again.
func (s *Server) up(i *instance) {
	s.mu.Lock()
	first, name := !i.booted, i.tag("Name")
	i.booted = true
	s.mu.Unlock()
	if first {
		_ = s.rack.Up(s.key(i), name, i.ip, i.userData) // the rack notes what goes wrong
	} else {
		s.rack.On(s.key(i))
	}
	s.mu.Lock()
	over := i.State == shuttingDown || i.State == terminated
	s.mu.Unlock()
	if over {
		s.rack.Remove(s.key(i))
	}
}

// change moves instances from one of the states to another, and then on to a third.
func (s *Server) change(q url.Values, from []State, via, then State, work func(*instance)) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, e := s.find(list(q, "InstanceId"))
	if e != nil {
		return nil, e
	}
	out := stateChanges{RequestID: requestID}
	for _, i := range all {
		was := i.State
		switch {
		case was == then || was == via: // being there already is no error
		case !slices.Contains(from, was):
			return nil, refusal("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be %s.", i.InstanceID, then.Name)
		default:
			i.State = via
			s.later(i, then, func() { work(i) })
		}
		out.Changes = append(out.Changes, stateChange{i.InstanceID, i.State, was})
	}
	return out, nil
}

func (s *Server) startInstances(q url.Values) (any, *apiError) {
	return s.change(q, []State{stopped}, pending, running, s.up)
}

func (s *Server) stopInstances(q url.Values) (any, *apiError) {
	return s.change(q, []State{running, pending}, stopping, stopped, func(i *instance) { s.rack.Off(s.key(i)) })
}

func (s *Server) terminateInstances(q url.Values) (any, *apiError) {
	return s.change(q, []State{pending, running, stopping, stopped}, shuttingDown, terminated, func(i *instance) { s.rack.Remove(s.key(i)) })
}

func (s *Server) rebootInstances(q url.Values) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, e := s.find(list(q, "InstanceId"))
	if e != nil {
		return nil, e
	}
	for _, i := range all {
		s.later(i, running, func() { s.rack.Off(s.key(i)); s.rack.On(s.key(i)) })
	}
	return struct {
		RequestID string `xml:"requestId"`
		Return    bool   `xml:"return"`
	}{requestID, true}, nil
}

// getConsoleOutput shows what cloud-init prints at the end of a boot.
func (s *Server) getConsoleOutput(q url.Values) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, e := s.find([]string{q.Get("InstanceId")})
	if e != nil {
		return nil, e
	}
	i := all[0]
	text := ""
	if !i.consoleAt.IsZero() && time.Now().After(i.consoleAt) {
		var d struct {
			Keys map[string]string `yaml:"ssh_keys"`
		}
		_ = yaml.Unmarshal([]byte(i.userData), &d)
		text = "ci-info: no authorized SSH keys fingerprints found for user debian.\r\n-----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n"
		if k, _, _, _, err := gossh.ParseAuthorizedKey([]byte(d.Keys["ed25519_public"])); err == nil {
			text += "256 " + gossh.FingerprintSHA256(k) + " root@" + i.tag("Name") + " (ED25519)\r\n"
		}
		text += "-----END SSH HOST KEY FINGERPRINTS-----\r\nCloud-init v. 22.4.2 finished at " + time.Now().UTC().Format(time.RFC1123Z) + ". Datasource DataSourceEc2Local.  Up 11.83 seconds\r\n"
	}
	return struct {
		RequestID  string `xml:"requestId"`
		InstanceID string `xml:"instanceId"`
		Timestamp  string `xml:"timestamp"`
		Output     string `xml:"output,omitempty"`
	}{requestID, i.InstanceID, time.Now().UTC().Format(time.RFC3339), base64.StdEncoding.EncodeToString([]byte(text))}, nil
}
