// Package cloudinit writes the documents that cloud-init reads on a new machine's first boot: user-data with the
// host's key, names and who may log in, and meta-data with its identity. Providers call it; it imports the
// clipboard only.
//
// What it writes passes `cloud-init schema` (https://docs.cloud-init.io/en/latest/reference/modules.html).
package cloudinit

import (
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"go.yaml.in/yaml/v4"
)

// Needs are the clipboard keys that UserData reads, for a step's table.
var Needs = []string{"hostname", "fqdn?", "sshpubkey?", "hostkey_private", "hostkey_first", "root_password_hash", "jarvis_pubkey"}

type userData struct {
	Hostname         string            `yaml:"hostname"`
	FQDN             string            `yaml:"fqdn"`
	PreserveHostname bool              `yaml:"preserve_hostname"`
	DisableRoot      bool              `yaml:"disable_root"`
	SSHPwauth        bool              `yaml:"ssh_pwauth"`
	SSHDeleteKeys    bool              `yaml:"ssh_deletekeys"`
	SSHKeys          map[string]string `yaml:"ssh_keys"`
	AuthorizedKeys   []string          `yaml:"ssh_authorized_keys"`
	Users            []user            `yaml:"users"`
	Chpasswd         chpasswd          `yaml:"chpasswd"`
}

type user struct {
	Name           string   `yaml:"name"`
	LockPasswd     bool     `yaml:"lock_passwd"`
	AuthorizedKeys []string `yaml:"ssh_authorized_keys"`
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

// UserData gives the #cloud-config document for a clipboard whose secrets are open. The host key in it is for the
// first contact only: others at the provider may read user-data (DESIGN section 9).
func UserData(c *clipboard.Clipboard) (string, error) {
	in, err := c.Instance()
	if err != nil {
		return "", err
	}
	private, err := c.Secret("hostkey_private")
	if err != nil {
		return "", err
	}
	public, err := c.String("hostkey_first")
	if err != nil {
		return "", err
	}
	hash, err := c.Secret("root_password_hash")
	if err != nil {
		return "", err
	}
	ours, err := c.String("jarvis_pubkey")
	if err != nil {
		return "", err
	}
	keys := []string{ours}
	if c.Has("sshpubkey") {
		theirs, err := c.Strings("sshpubkey")
		if err != nil {
			return "", err
		}
		keys = append(keys, theirs...)
	}
	d := userData{Hostname: in.Hostname, FQDN: in.FQDN, SSHDeleteKeys: true,
		SSHKeys:        map[string]string{"ed25519_private": string(private), "ed25519_public": public},
		AuthorizedKeys: keys,
		Users:          []user{{Name: "root", LockPasswd: false, AuthorizedKeys: keys}},
		Chpasswd:       chpasswd{Users: []password{{Name: "root", Password: string(hash), Type: "hash"}}}}
	b, err := yaml.Dump(d, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return "", fmt.Errorf("write the user-data: %w", err)
	}
	return "#cloud-config\n" + string(b), nil
}

// MetaData gives the meta-data document; id is the instance's identity, and cloud-init runs anew when it changes.
func MetaData(c *clipboard.Clipboard, id string) (string, error) {
	in, err := c.Instance()
	if err != nil {
		return "", err
	}
	return strings.Join([]string{"instance-id: " + id, "local-hostname: " + in.FQDN, ""}, "\n"), nil
}
