package real

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Slapd is OpenLDAP with dc=websages,dc=com: ou=Hosts, the user cn=jarvis who may write there, the class jarvisHost.
// It refuses passwords in clear.
type Slapd struct {
	URL string // ldap://localhost:PORT, for StartTLS
	CA  string // file

	dir  string
	proc *proc
}

// Names in the directory.
const (
	Base         = "dc=websages,dc=com"
	BindDN       = "cn=jarvis," + Base
	BindPassword = "jarvispw"
)

// dhcpSchema is the part of ISC dhcpd's schema that its hosts need, under its own OIDs.
const dhcpSchema = `attributetype ( 2.16.840.1.113719.1.203.4.3 NAME 'dhcpStatements' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 2.16.840.1.113719.1.203.4.34 NAME 'dhcpHWAddress' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 2.16.840.1.113719.1.203.4.43 NAME 'dhcpComments' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
objectclass ( 2.16.840.1.113719.1.203.6.6 NAME 'dhcpHost' SUP top STRUCTURAL MUST cn MAY ( dhcpHWAddress $ dhcpStatements $ dhcpComments ) )
`

// LDAPName is a name of the server in the directory's own domain, which its certificate holds.
const LDAPName = "ldap1.websages.com"

// Port gives the server's port.
func (s *Slapd) Port() string { return s.URL[strings.LastIndexByte(s.URL, ':')+1:] }

// StartSlapd starts a server with one host, cn=ymir, whose entry holds the given clipboard.
func StartSlapd(ctx context.Context, schema, clipboard string) (*Slapd, error) {
	slapd, err := need("slapd", "slapd")
	if err != nil {
		return nil, err
	}
	slapadd, err := need("slapadd", "slapd")
	if err != nil {
		return nil, err
	}
	dir, err := folder("slapd")
	if err != nil {
		return nil, err
	}
	s := &Slapd{dir: dir, CA: filepath.Join(dir, "ca.pem")}
	if err := ca(dir); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
include %[1]s/jarvis.schema
include %[1]s/dhcp.schema
pidfile %[1]s/slapd.pid
argsfile %[1]s/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile %[1]s/ca.pem
TLSCertificateFile %[1]s/srv.pem
TLSCertificateKeyFile %[1]s/srv.key
security simple_bind=128
disallow bind_anon
database mdb
maxsize 67108864
suffix "%[2]s"
rootdn "cn=admin,%[2]s"
rootpw adminpw
directory %[1]s/db
dbnosync
index objectClass,cn eq
access to dn.subtree="ou=Hosts,%[2]s" attrs=userPassword by dn.exact="cn=jarvis,%[2]s" write by anonymous auth by * none
access to dn.subtree="ou=Hosts,%[2]s" by dn.exact="cn=jarvis,%[2]s" write by * none
access to dn.subtree="ou=DHCP,%[2]s" by dn.exact="cn=jarvis,%[2]s" write by * none
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=jarvis,%[2]s" read by * none
`, dir, Base)
	ldif := fmt.Sprintf(`dn: %[1]s
objectClass: dcObject
objectClass: organization
o: websages
dc: websages

dn: ou=Hosts,%[1]s
objectClass: organizationalUnit
ou: Hosts

dn: ou=DHCP,%[1]s
objectClass: organizationalUnit
ou: DHCP

dn: cn=admins,%[1]s
objectClass: groupOfNames
cn: admins
member: uid=alice,ou=People,%[1]s

dn: cn=jarvis,%[1]s
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: jarvis
userPassword: %[2]s

dn: cn=ymir,ou=Hosts,%[1]s
objectClass: device
objectClass: ipHost
objectClass: jarvisHost
cn: ymir
ipHostNumber: 192.0.2.7
jarvisClipboard:: %[3]s

dn: cn=loki,ou=Hosts,%[1]s
objectClass: device
objectClass: ipHost
objectClass: jarvisHost
cn: loki
ipHostNumber: 127.9.9.1
jarvisStatus: production
owner: cn=admins,%[1]s

dn: cn=hela,ou=Hosts,%[1]s
objectClass: device
objectClass: jarvisHost
cn: hela
jarvisProvider: ESX
jarvisFqdn: hela.websages.com
jarvisGuestid: Debian 12
jarvisSize: 512

dn: cn=tyr,ou=Hosts,%[1]s
objectClass: device
cn: tyr
description:: %[4]s

dn: ou=Old,ou=Hosts,%[1]s
objectClass: organizationalUnit
ou: Old

dn: cn=baldr,ou=Hosts,%[1]s
objectClass: device
objectClass: jarvisHost
cn: baldr
jarvisProvider: ESX

dn: cn=baldr,ou=Old,ou=Hosts,%[1]s
objectClass: device
objectClass: jarvisHost
cn: baldr
jarvisProvider: Linode

dn: cn=fenrir,ou=Hosts,%[1]s
objectClass: device
cn: fenrir
owner: uid=bob,ou=People,%[1]s
`, Base, BindPassword, base64.StdEncoding.EncodeToString([]byte(clipboard)), base64.StdEncoding.EncodeToString([]byte("instance:\n  hostname: tyr\n  provider: ESX\n")))
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "db"), 0o700), os.WriteFile(filepath.Join(dir, "slapd.conf"), []byte(conf), 0o644),
		os.WriteFile(filepath.Join(dir, "jarvis.schema"), []byte(schema), 0o644), os.WriteFile(filepath.Join(dir, "dhcp.schema"), []byte(dhcpSchema), 0o644), os.WriteFile(filepath.Join(dir, "init.ldif"), []byte(ldif), 0o644)); err != nil {
		return nil, err
	}
	if err := run(ctx, "", slapadd, "-q", "-f", filepath.Join(dir, "slapd.conf"), "-l", filepath.Join(dir, "init.ldif")); err != nil {
		return nil, err
	}
	if err := own(dir, "openldap"); err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s.URL = "ldap://localhost:" + strconv.Itoa(port)
	if s.proc, err = start("", slapd, "-f", filepath.Join(dir, "slapd.conf"), "-u", "openldap", "-h", "ldap://127.0.0.1:"+strconv.Itoa(port), "-d", "0"); err != nil {
		return nil, err
	}
	if err := s.proc.until("slapd", 10*time.Second, dial("127.0.0.1:"+strconv.Itoa(port))); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Search gives what ldapsearch prints for a filter, with StartTLS.
func (s *Slapd) Search(ctx context.Context, filter string, attrs ...string) (string, error) {
	return s.search(ctx, "ou=Hosts,"+Base, filter, attrs...)
}

func (s *Slapd) search(ctx context.Context, base, filter string, attrs ...string) (string, error) {
	bin, err := need("ldapsearch", "ldap-utils")
	if err != nil {
		return "", err
	}
	// By address: libldap takes "localhost" for the machine's own name, which the certificate does not hold.
	args := append([]string{"-LLL", "-o", "ldif-wrap=no", "-x", "-ZZ", "-H", strings.Replace(s.URL, "localhost", "127.0.0.1", 1), "-D", BindDN, "-w", BindPassword, "-b", base, filter}, attrs...)
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.CA)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("ldapsearch: %w: %s", err, out)
	}
	return string(out), err
}

// DHCP gives the statements for the host with a MAC address, as dhcpd would look for them.
func (s *Slapd) DHCP(ctx context.Context, mac string) (string, error) {
	return s.search(ctx, "ou=DHCP,"+Base, "(&(objectClass=dhcpHost)(dhcpHWAddress=ethernet "+mac+"))", "dhcpStatements")
}

// Add adds an entry, as another program would.
func (s *Slapd) Add(ctx context.Context, dn string, attrs map[string][]string) error {
	bin, err := need("ldapadd", "ldap-utils")
	if err != nil {
		return err
	}
	ldif := "dn: " + dn + "\n"
	for k, list := range attrs {
		for _, v := range list {
			ldif += k + ": " + v + "\n"
		}
	}
	cmd := exec.CommandContext(ctx, bin, "-x", "-ZZ", "-H", strings.Replace(s.URL, "localhost", "127.0.0.1", 1), "-D", BindDN, "-w", BindPassword)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.CA)
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ldapadd: %w: %s", err, out)
	}
	return nil
}

// Bind says whether somebody can log in with a password.
func (s *Slapd) Bind(ctx context.Context, dn, password string) error {
	bin, err := need("ldapwhoami", "ldap-utils")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, bin, "-x", "-ZZ", "-H", strings.Replace(s.URL, "localhost", "127.0.0.1", 1), "-D", dn, "-w", password)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.CA)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ldapwhoami: %w: %s", err, out)
	}
	return nil
}

// Stop ends it and removes its folder.
func (s *Slapd) Stop() {
	s.proc.stop(syscall.SIGTERM)
	_ = os.RemoveAll(s.dir)
}
