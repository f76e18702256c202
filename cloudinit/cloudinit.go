// Package cloudinit writes the documents that cloud-init reads on a new machine's first boot: user-data with the
// host's key, names and who may log in, and meta-data with its identity. Providers call it; it imports the
// clipboard only.
//
// What it writes passes `cloud-init schema` (https://docs.cloud-init.io/en/latest/reference/modules.html).
package cloudinit

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"go.yaml.in/yaml/v4"
)

// Needs are the clipboard keys that UserData reads, for a step's table.
var Needs = []string{"hostname", "fqdn?", "sshpubkey?", "login?", "user_data?", "hostkey_private", "hostkey_first", "root_password_hash", "jarvis_pubkey", "jarvis_user?"}

type userData struct {
	Hostname         string            `yaml:"hostname"`
	FQDN             string            `yaml:"fqdn"`
	PreserveHostname bool              `yaml:"preserve_hostname"`
	ManageEtcHosts   string            `yaml:"manage_etc_hosts"`
	DisableRoot      bool              `yaml:"disable_root"`
	SSHPwauth        bool              `yaml:"ssh_pwauth"`
	SSHDeleteKeys    bool              `yaml:"ssh_deletekeys"`
	SSHKeys          map[string]string `yaml:"ssh_keys"`
	AuthorizedKeys   []string          `yaml:"ssh_authorized_keys"`
	Users            []user            `yaml:"users"`
	Chpasswd         chpasswd          `yaml:"chpasswd"`
	BootCmd          [][]string        `yaml:"bootcmd,omitempty"`
}

type user struct {
	Name           string   `yaml:"name"`
	Gecos          string   `yaml:"gecos,omitempty"`
	Shell          string   `yaml:"shell,omitempty"`
	Sudo           string   `yaml:"sudo,omitempty"`
	LockPasswd     bool     `yaml:"lock_passwd"`
	AuthorizedKeys []string `yaml:"ssh_authorized_keys,omitempty"`
}

type chpasswd struct {
	Expire bool       `yaml:"expire"`
	Users  []password `yaml:"users"`
}

type password struct {
	Name     string `yaml:"name"`
	Password string `yaml:"password"`
	Type     string `yaml:"type"`
}

// Document is what UserData made.
type Document struct {
	Text string
	// Kept names the keys of the clipboard's own user_data that are ours to set, and were left as ours.
	Kept []string
}

// UserData gives the user-data for a clipboard whose secrets are open: our #cloud-config, with the clipboard's
// user_data in it, and the further disks that the first boot mounts. The host key is for the first contact only: others
// at the provider may read user-data (docs/design/security.md).
func UserData(c *clipboard.Clipboard, disks ...Disk) (Document, error) {
	var none Document
	in, err := c.Instance()
	if err != nil {
		return none, err
	}
	private, err := c.Secret("hostkey_private")
	if err != nil {
		return none, err
	}
	public, err := c.String("hostkey_first")
	if err != nil {
		return none, err
	}
	hash, err := c.Secret("root_password_hash")
	if err != nil {
		return none, err
	}
	ours, err := c.String("jarvis_pubkey")
	if err != nil {
		return none, err
	}
	keys := []string{ours}
	if c.Has("sshpubkey") {
		theirs, err := c.Strings("sshpubkey")
		if err != nil {
			return none, err
		}
		keys = append(keys, theirs...)
	}
	d := userData{Hostname: in.Hostname, FQDN: in.FQDN, SSHDeleteKeys: true,
		ManageEtcHosts: "localhost", // or `hostname -f` is the short name, and Puppet's certificate too
		SSHKeys:        map[string]string{"ed25519_private": string(private), "ed25519_public": public},
		AuthorizedKeys: keys,
		Chpasswd:       chpasswd{Users: []password{{Name: "root", Password: string(hash), Type: "hash"}}}}
	if len(disks) > 0 {
		d.BootCmd = [][]string{mountDisks(disks)}
	}
	if d.Users, d.DisableRoot, err = users(c, keys); err != nil {
		return none, err
	}
	b, err := yaml.Dump(d, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return none, fmt.Errorf("write the user-data: %w", err)
	}
	return withTheirs(c, string(b))
}

// users says who may log in: root, or the user of `login`, who is root by sudo; then root's password is for the
// console.
func users(c *clipboard.Clipboard, keys []string) (list []user, disableRoot bool, err error) {
	login, err := c.Login()
	if err != nil {
		return nil, false, err
	}
	name := login.User
	if name == "" {
		name = c.Get("jarvis_user")
	}
	if name == "" || name == "root" {
		return []user{{Name: "root", AuthorizedKeys: keys}}, false, nil
	}
	return []user{{Name: "root"}, {Name: name, Gecos: "made by jarvis", Shell: "/bin/bash", Sudo: "ALL=(ALL) NOPASSWD:ALL", LockPasswd: true, AuthorizedKeys: keys}}, true, nil
}

// Network is a fixed address.
type Network struct {
	Address     string // with its length: 10.0.0.5/24
	Gateway     string
	Nameservers []string
}

// Config gives the network-config document, version 2; it is for the machine's first network card
// (https://docs.cloud-init.io/en/latest/reference/network-config-format-v2.html).
func (n *Network) Config() (string, error) {
	card := map[string]any{"match": map[string]string{"name": "e*"}, "dhcp4": true}
	if n != nil {
		route := "0.0.0.0/0"
		if strings.Contains(n.Gateway, ":") {
			route = "::/0"
		}
		card = map[string]any{"match": map[string]string{"name": "e*"}, "dhcp4": false, "addresses": []string{n.Address},
			"routes": []map[string]string{{"to": route, "via": n.Gateway}}}
		if len(n.Nameservers) > 0 {
			card["nameservers"] = map[string]any{"addresses": n.Nameservers}
		}
	}
	b, err := yaml.Dump(map[string]any{"version": 2, "ethernets": map[string]any{"first": card}}, yaml.WithIndent(2))
	if err != nil {
		return "", fmt.Errorf("write the network-config: %w", err)
	}
	return string(b), nil
}

// MetaData gives the meta-data document; id is the instance's identity, and cloud-init runs again when it changes. A
// network goes along as the VMware datasource wants it; nil: DHCP, as the image does it.
func MetaData(c *clipboard.Clipboard, id string, n *Network) (string, error) {
	in, err := c.Instance()
	if err != nil {
		return "", err
	}
	text := strings.Join([]string{"instance-id: " + id, "local-hostname: " + in.FQDN, ""}, "\n")
	if n != nil {
		config, err := n.Config()
		if err != nil {
			return "", err
		}
		text += "network: " + base64.StdEncoding.EncodeToString([]byte(config)) + "\nnetwork.encoding: base64\n"
	}
	return text, nil
}
