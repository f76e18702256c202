package real

import (
	"context"
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

// Named is BIND: authoritative for websages.com (signed) and for the reverse zone, updates by TSIG; and beside it a
// validating resolver on port 53 of an address of its own, as a client of DNSSEC needs.
type Named struct {
	Addr       string // of the authoritative server
	ResolvConf string // file that names the resolver

	dir      string
	resolver string
	procs    []*proc
}

// TSIG key of the lab.
const (
	TSIGName   = "jarvis-key"
	TSIGSecret = "amFydmlzLWxhYi10c2lnLWtleS0zMi1ieXRlcy1sb25nISE="
)

// NamedConf is what a test needs beside a plain server.
type NamedConf struct {
	Keys  []string          // their names; all have the lab's secret
	Conf  string            // what follows keys and options in named.conf: zones, or views that hold them
	Files map[string]string // zone files, by the names that Conf gives
	Probe string            // "key zone": who asks for which zone's SOA to see that all is loaded; key may be "-"
}

// StartNamedWith starts BIND with zones or views of the test's own, and no resolver.
func StartNamedWith(ctx context.Context, c NamedConf) (*Named, error) {
	bin, err := need("named", "bind9")
	if err != nil {
		return nil, err
	}
	dir, err := folder("named")
	if err != nil {
		return nil, err
	}
	n := &Named{dir: dir}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	n.Addr = "127.0.0.1:" + strconv.Itoa(port)
	var keys strings.Builder
	for _, k := range c.Keys {
		fmt.Fprintf(&keys, "key \"%s\" { algorithm hmac-sha256; secret \"%s\"; };\n", k, TSIGSecret)
	}
	conf := keys.String() + fmt.Sprintf(`options { directory "%[1]s"; managed-keys-directory "%[1]s"; pid-file none; session-keyfile none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; notify no; dnssec-validation no; };
controls { };
`, dir, port) + c.Conf
	if err := os.WriteFile(filepath.Join(dir, "named.conf"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	for name, text := range c.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("$TTL 60\n@ SOA ns1.lab. hostmaster.lab. 1 3600 600 86400 30\n@ NS ns1.lab.\n"+text), 0o644); err != nil {
			return nil, err
		}
	}
	key, zone, _ := strings.Cut(c.Probe, " ")
	return n, n.serve(bin, func() (string, error) { return n.DigAs(ctx, key, zone, "SOA") })
}

// serve starts named on the files in its folder, and returns when the probe has an answer.
func (n *Named) serve(bin string, probe func() (string, error)) error {
	if err := own(n.dir, "bind"); err != nil {
		return err
	}
	p, err := start("", bin, "-u", "bind", "-n", "1", "-g", "-c", filepath.Join(n.dir, "named.conf"))
	if err != nil {
		return err
	}
	n.procs = append(n.procs, p)
	err = p.until("named", 15*time.Second, func() error {
		out, err := probe()
		if err == nil && out == "" {
			err = errors.New("no answer yet")
		}
		return err
	})
	if err != nil {
		n.Stop()
	}
	return err
}

// StartNamed starts BIND. resolver is the loopback address for the validating resolver; "" starts none.
func StartNamed(ctx context.Context, resolver string) (*Named, error) {
	bin, err := need("named", "bind9")
	if err != nil {
		return nil, err
	}
	dir, err := folder("named")
	if err != nil {
		return nil, err
	}
	n := &Named{dir: dir, resolver: resolver, ResolvConf: filepath.Join(dir, "resolv.conf")}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	n.Addr = "127.0.0.1:" + strconv.Itoa(port)
	files := map[string]string{
		"named.conf": fmt.Sprintf(`key "%[3]s" { algorithm hmac-sha256; secret "%[4]s"; };
options { directory "%[1]s"; key-directory "%[1]s"; managed-keys-directory "%[1]s"; pid-file "%[1]s/named.pid"; session-keyfile "%[1]s/session.key"; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; allow-query { 127.0.0.0/8; }; notify no; dnssec-validation no; };
controls { };
dnssec-policy lab { keys { csk key-directory lifetime unlimited algorithm ecdsap256sha256; }; };
zone "websages.com" { type primary; file "%[1]s/fwd.db"; dnssec-policy lab; inline-signing yes; update-policy { grant %[3]s zonesub A AAAA CNAME TXT SSHFP SRV MX; }; allow-transfer { key %[3]s; }; };
zone "127.in-addr.arpa" { type primary; file "%[1]s/rev.db"; update-policy { grant %[3]s zonesub PTR; }; };
`, dir, port, TSIGName, TSIGSecret),
		"fwd.db": "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 86400 30\n@ NS ns1\nns1 A 127.0.0.1\nalias CNAME ns1\nshared A 127.9.9.9\n" +
			"thor 2 A 127.9.9.2\n",
		"rev.db": "$TTL 60\n@ SOA ns1.websages.com. hostmaster.websages.com. 1 3600 600 86400 30\n@ NS ns1.websages.com.\n9.9.9 PTR shared.websages.com.\n8.9.9 PTR gone.websages.com.\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if err := n.serve(bin, func() (string, error) { return n.Dig(ctx, "websages.com", "SOA") }); err != nil {
		return nil, err
	}
	if resolver != "" {
		if err := n.startResolver(ctx, bin, port); err != nil {
			n.Stop()
			return nil, err
		}
	}
	return n, nil
}

// startResolver needs root: port 53, and an address that the interface has, for BIND asks.
func (n *Named) startResolver(ctx context.Context, bin string, port int) error {
	if err := run(ctx, "", "ip", "addr", "replace", n.resolver+"/32", "dev", "lo"); err != nil {
		return err
	}
	var key string
	for i := 0; key == "" && i < 200; i++ {
		out, err := n.Dig(ctx, "websages.com", "DNSKEY")
		if err == nil {
			key = strings.SplitN(out, "\n", 2)[0]
		}
		time.Sleep(50 * time.Millisecond)
	}
	f := strings.Fields(key)
	if len(f) < 4 {
		return fmt.Errorf("the zone is not signed: DNSKEY is %q", key)
	}
	conf := fmt.Sprintf(`options { directory "%[1]s/res"; pid-file none; session-keyfile none; listen-on port 53 { %[2]s; }; listen-on-v6 { none; }; recursion yes; allow-recursion { 127.0.0.0/8; }; dnssec-validation yes; managed-keys-directory "%[1]s/res"; empty-zones-enable no; };
controls { };
trust-anchors { websages.com static-key %[3]s %[4]s %[5]s "%[6]s"; };
zone "websages.com" { type forward; forward only; forwarders { 127.0.0.1 port %[7]d; }; };
zone "127.in-addr.arpa" { type forward; forward only; forwarders { 127.0.0.1 port %[7]d; }; };
`, n.dir, n.resolver, f[0], f[1], f[2], strings.Join(f[3:], ""), port)
	if err := errors.Join(os.MkdirAll(filepath.Join(n.dir, "res"), 0o755), os.WriteFile(filepath.Join(n.dir, "res.conf"), []byte(conf), 0o644),
		os.WriteFile(n.ResolvConf, []byte("nameserver "+n.resolver+"\noptions edns0 trust-ad\n"), 0o644), own(n.dir, "bind")); err != nil {
		return err
	}
	p, err := start("", bin, "-u", "bind", "-n", "1", "-g", "-c", filepath.Join(n.dir, "res.conf"))
	if err != nil {
		return err
	}
	n.procs = append(n.procs, p)
	return p.until("the resolver", 15*time.Second, dial(n.resolver+":53"))
}

// Dig asks the authoritative server and gives what `dig +short` prints.
func (n *Named) Dig(ctx context.Context, name, kind string) (string, error) {
	return n.DigAs(ctx, "-", name, kind)
}

// DigAs asks with a key; "-" is none.
func (n *Named) DigAs(ctx context.Context, key, name, kind string) (string, error) {
	bin, err := need("dig", "bind9-dnsutils")
	if err != nil {
		return "", err
	}
	host, port, _ := strings.Cut(n.Addr, ":")
	args := []string{"+short", "+time=1", "+tries=1", "@" + host, "-p", port}
	if key != "-" {
		args = append(args, "-y", "hmac-sha256:"+key+":"+TSIGSecret)
	}
	out, err := exec.CommandContext(ctx, bin, append(args, name, kind)...).Output()
	return strings.TrimSpace(string(out)), err
}

// Update runs nsupdate with the lab's key: lines as in "add www.websages.com 2 CNAME loki.websages.com".
func (n *Named) Update(ctx context.Context, lines ...string) error {
	return n.UpdateAs(ctx, TSIGName, lines...)
}

// UpdateAs is Update with another key.
func (n *Named) UpdateAs(ctx context.Context, key string, lines ...string) error {
	bin, err := need("nsupdate", "bind9-dnsutils")
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(n.Addr, ":")
	cmd := exec.CommandContext(ctx, bin, "-y", "hmac-sha256:"+key+":"+TSIGSecret)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("server %s %s\nupdate %s\nsend\n", host, port, strings.Join(lines, "\nupdate ")))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nsupdate: %w: %s", err, out)
	}
	return nil
}

// Stop ends both servers and removes the folder.
func (n *Named) Stop() {
	for _, p := range n.procs {
		p.stop(syscall.SIGTERM)
	}
	if n.resolver != "" {
		_ = exec.Command("ip", "addr", "del", n.resolver+"/32", "dev", "lo").Run()
	}
	_ = os.RemoveAll(n.dir)
}
