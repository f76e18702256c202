package linode

import (
	"net/http"
	"slices"
	"strings"
)

// The account's firewalls and VPCs.
var (
	firewalls = []any{object{"id": 4711, "label": "web", "status": "enabled"}, object{"id": 4712, "label": "closed", "status": "enabled"}}
	vpcs      = []any{
		object{"id": 31, "label": "prod", "region": "us-southeast", "description": "", "subnets": []any{object{"id": 311, "label": "web", "ipv4": "10.0.1.0/24"}, object{"id": 312, "label": "db", "ipv4": "10.0.2.0/24"}}},
		object{"id": 32, "label": "far", "region": "eu-west", "description": "", "subnets": []any{object{"id": 321, "label": "web", "ipv4": "10.1.1.0/24"}}},
	}
)

func listed(data []any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reply(w, object{"data": data, "page": 1, "pages": 1, "results": len(data)})
	}
}

// network is what a create says of it.
type network struct {
	FirewallID int    `json:"firewall_id"`
	PrivateIP  bool   `json:"private_ip"`
	Generation string `json:"interface_generation"`
	BackupsOn  bool   `json:"backups_enabled"`
	Encryption string `json:"disk_encryption"`
	Interfaces []object
}

// wrong gives the field and the reason for which Linode refuses the network; "" when it does not.
func (n network) wrong(region string) (field, reason string) {
	firewall := n.FirewallID
	subnets := []any{}
	for _, i := range n.Interfaces {
		if v, ok := i["subnet_id"]; ok && v != nil {
			subnets = append(subnets, v)
		}
		if v := at(i, "vpc"); v != nil {
			subnets = append(subnets, v["subnet_id"])
		}
		if f, ok := i["firewall_id"].(float64); ok {
			firewall = int(f)
		}
	}
	if n.Generation == "linode" && n.FirewallID != 0 {
		return "firewall_id", "firewall_id is not allowed with Linode interfaces; it belongs to an interface"
	}
	if firewall != 0 && !slices.ContainsFunc(firewalls, func(f any) bool { return f.(object)["id"] == firewall }) {
		return "firewall_id", "Firewall not found"
	}
	for _, id := range subnets {
		found := ""
		for _, v := range vpcs {
			for _, s := range v.(object)["subnets"].([]any) {
				if float64(s.(object)["id"].(int)) == id {
					found = v.(object)["region"].(string)
				}
			}
		}
		if found != region {
			return "interfaces", strings.TrimSpace("The VPC subnet is not in the region of the Linode " + found)
		}
	}
	return "", ""
}
