package ec2

import (
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
)

var update = flag.Bool("update", false, "take our part of Amazon's model out of it again")

// ours are the operations that the simulator has.
var ours = []string{"RunInstances", "DescribeInstances", "StartInstances", "StopInstances", "RebootInstances", "TerminateInstances", "GetConsoleOutput", "DescribeImages", "DescribeInstanceTypes",
	"DescribeSubnets", "DescribeAvailabilityZones", "DescribeSecurityGroups", "CreateTags", "DeleteTags", "DescribeAddresses", "AssociateAddress"}

// grows are lists of values to which Amazon adds every month: which of them there are, the simulator says.
var grows = []string{"InstanceType"}

// part takes what the operations are asked with out of a model.
func (m model) part(operations []string) model {
	out := model{Operations: map[string]operation{}, Shapes: map[string]shape{}}
	var take func(name string)
	take = func(name string) {
		s, ok := m.Shapes[name]
		if _, have := out.Shapes[name]; have || !ok {
			return
		}
		if slices.Contains(grows, name) {
			s.Enum = nil
		}
		out.Shapes[name] = s
		for _, mem := range s.Members {
			take(mem.Shape)
		}
		if s.Member != nil {
			take(s.Member.Shape)
		}
	}
	for _, name := range operations {
		in := m.Operations[name].Input
		out.Operations[name] = operation{Input: in}
		take(in.Shape)
	}
	return out
}

// TestOurPartOfTheModelIsAmazons: what the simulator takes is in Amazon's model as it is installed here, which may be
// newer and have more.
func TestOurPartOfTheModelIsAmazons(t *testing.T) {
	whole := readModel(t)
	if *update {
		b, err := json.MarshalIndent(whole.part(ours), "", " ")
		if err == nil {
			err = os.WriteFile("testdata/requests.json", append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := slices.Sorted(maps.Keys(requests.Operations)); !slices.Equal(got, slices.Sorted(slices.Values(ours))) {
		t.Errorf("the model is about %v, want %v", got, ours)
	}
	part := whole.part(ours)
	for name, op := range requests.Operations {
		if !reflect.DeepEqual(op, part.Operations[name]) {
			t.Errorf("%s takes %+v, and Amazon's %+v", name, op, part.Operations[name])
		}
	}
	for name, s := range requests.Shapes {
		theirs, ok := part.Shapes[name]
		if !ok || s.Type != theirs.Type || !slices.Equal(s.Required, theirs.Required) || !reflect.DeepEqual(s.Member, theirs.Member) {
			t.Errorf("the shape %s is %+v, and Amazon's %+v", name, s, theirs)
		}
		for k, m := range s.Members {
			if theirs.Members[k] != m {
				t.Errorf("%s.%s is %+v, and Amazon's %+v", name, k, m, theirs.Members[k])
			}
		}
		for _, v := range s.Enum {
			if !slices.Contains(theirs.Enum, v) {
				t.Errorf("%s has the value %q, and Amazon's has not", name, v)
			}
		}
	}
}

// TestWrongRequestsAreRefused: a worker cannot send what EC2 does not know; what is wrong is told, and kept for the
// test.
func TestWrongRequestsAreRefused(t *testing.T) {
	launch := "Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&ImageId=ami-0000000000000debd&InstanceType=t3.nano&"
	describe := "Action=DescribeInstances&Version=2016-11-15&"
	for query, want := range map[string]string{
		launch + "DryRun=false": "",
		describe + "Filter.1.Name=tag%3Ajarvis&Filter.1.Value.1=x": "",
		launch + "Colour=blue":                                                     "UnknownParameter: The parameter Colour is not recognized",
		launch + "MetadataOptions.HttpToken=required":                              "UnknownParameter: The parameter MetadataOptions.HttpToken is not recognized",
		launch + "BlockDeviceMapping.1.Ebs.Size=8":                                 "UnknownParameter: The parameter BlockDeviceMapping.1.Ebs.Size is not recognized",
		launch + "NetworkInterfaces.1.DeviceIndex=0":                               "UnknownParameter: The parameter NetworkInterfaces is not recognized",
		launch + "DryRun.1=true":                                                   "UnknownParameter: The parameter DryRun.1 is not recognized",
		launch + "MetadataOptions.HttpTokens=needed":                               "InvalidParameterValue: Value (needed) for parameter MetadataOptions.HttpTokens is invalid. It must be one of optional, required",
		launch + "EbsOptimized=yes":                                                "InvalidParameterValue: Value (yes) for parameter EbsOptimized is invalid. It must be true or false",
		launch + "BlockDeviceMapping.1.Ebs.VolumeSize=8GB":                         "InvalidParameterValue: Value (8GB) for parameter BlockDeviceMapping.1.Ebs.VolumeSize is invalid. It must be a whole number",
		launch + "SecurityGroupId=sg-1":                                            "InvalidParameterValue: The parameter SecurityGroupId is a list: write SecurityGroupId.1",
		launch + "SecurityGroupId.2=sg-1":                                          "InvalidParameterValue: The list SecurityGroupId has 1 items, and no number 1",
		launch + "SecurityGroupId.one=sg-1":                                        "InvalidParameterValue: The list SecurityGroupId has 1 items, and no number 1",
		launch + "MetadataOptions=on":                                              "InvalidParameterValue: The parameter MetadataOptions has no value of its own",
		launch + "SubnetId=a&SubnetId=b":                                           "InvalidQueryParameter: The parameter SubnetId is given 2 times",
		strings.ReplaceAll(launch, "MinCount=1&", ""):                              "MissingParameter: The request must contain the parameter MinCount",
		"Action=AssociateAddress&Version=2012-01-01":                               "NoSuchVersion: The requested version (2012-01-01)",
		"Action=DeleteEverything&Version=2016-11-15":                               "InvalidAction: The action DeleteEverything is not valid",
		"Action=CreateTags&Version=2016-11-15&Tag.1.Key=a":                         "MissingParameter: The request must contain the parameter ResourceId",
		describe + "Filter.1.Name=tag%3Ajarvis&Filter.1.Value=x":                   "InvalidParameterValue: The parameter Filter.1.Value is a list",
		launch + "InstanceMarketOptions.SpotOptions.ValidUntil=tomorrow&UserData=": "InvalidParameterValue: Value (tomorrow) for parameter InstanceMarketOptions.SpotOptions.ValidUntil is invalid. It must be a time",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if e := requests.check(q.Get("Action"), q); e != nil {
			got = e.code + ": " + e.msg
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s is answered with %q, want %q", query, got, want)
		}
	}

	s := Start(lab.NewRack(92, 2222, func(string, string) (lab.Machine, error) { return nothing{}, nil }))
	t.Cleanup(s.Stop)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(launch+"Colour=blue"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+AccessKey+"/"+time.Now().UTC().Format("20060102")+"/"+Region+"/ec2/aws4_request")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "<Code>UnknownParameter</Code>") {
		t.Errorf("the simulator answers with %s: %s, %v", answer.Status, body, err)
	}
	if got := s.Wrong(); !slices.Equal(got, []string{"RunInstances: The parameter Colour is not recognized"}) {
		t.Errorf("Wrong() = %q", got)
	}
}
