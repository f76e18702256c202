package real

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// AccountIRCd is InspIRCd with Atheme services: SASL PLAIN, NickServ accounts, account-tag, echo-message, server-time,
// history for channels with the mode +H, and people who take lines only from whom they choose (+g, +R, +c).
type AccountIRCd struct {
	Addr string // host:port in clear
	TLS  string // host:port encrypted, as localhost
	CA   string // file
	Cert string // file of its certificate, which a client can show as well
	Key  string // and of its key

	dir   string
	procs []*proc
}

// StartAccountIRCd starts both and waits until services answer.
// without names modules to leave out, as in "ircv3_accounttag".
func StartAccountIRCd(ctx context.Context, without ...string) (*AccountIRCd, error) {
	bin, err := need("inspircd", "inspircd")
	if err != nil {
		return nil, err
	}
	atheme, err := need("atheme-services", "atheme-services")
	if err != nil {
		return nil, err
	}
	dir, err := folder("inspircd")
	if err != nil {
		return nil, err
	}
	s := &AccountIRCd{dir: dir, CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "srv.pem"), Key: filepath.Join(dir, "srv.key")}
	if err := ca(dir); err != nil {
		return nil, err
	}
	var ports [3]int
	for i := range ports {
		if ports[i], err = FreePort(); err != nil {
			return nil, err
		}
	}
	s.Addr, s.TLS = "127.0.0.1:"+strconv.Itoa(ports[0]), "localhost:"+strconv.Itoa(ports[1])
	files := map[string]string{
		"motd.txt": "lab\n", "rules.txt": "lab\n",
		"inspircd.conf": fmt.Sprintf(`<server name="irc.lab.test" description="lab" network="Lab" id="001">
<admin name="lab" nick="lab" email="root@lab.test">
<module name="ssl_gnutls"><module name="sslinfo">
<sslprofile name="lab" provider="gnutls" cafile="%[1]s/ca.pem" certfile="%[1]s/srv.pem" keyfile="%[1]s/srv.key" hash="sha256">
<bind address="127.0.0.1" port="%[2]d" type="clients">
<bind address="127.0.0.1" port="%[3]d" type="clients" sslprofile="lab">
<bind address="127.0.0.1" port="%[4]d" type="servers">
<module name="spanningtree"><module name="cap"><module name="ircv3"><module name="ircv3_accounttag"><module name="ircv3_ctctags"><module name="ircv3_echomessage"><module name="ircv3_servertime"><module name="ircv3_batch"><module name="botmode"><module name="chanhistory"><module name="callerid"><module name="commonchans"><module name="sasl"><module name="services_account"><module name="sha256">
<module name="alias"><alias text="NICKSERV" replace="PRIVMSG $requirement :$2-" requires="NickServ" uline="yes">
<sasl target="services.lab.test" requiressl="no">
<link name="services.lab.test" ipaddr="127.0.0.1" port="%[4]d" allowmask="127.0.0.0/8" timeout="300" bind="" sendpass="linkpass" recvpass="linkpass">
<uline server="services.lab.test" silent="yes">
<connect name="lab" allow="*" timeout="30" pingfreq="30" hardsendq="1M" softsendq="64K" recvq="8K" threshold="10" commandrate="1000" fakelag="on" localmax="2000" globalmax="2000" resolvehostnames="no" useident="no" maxchans="50">
<options casemapping="rfc1459" defaultmodes="not">
<limits maxnick="30" maxchan="64" maxline="512">
<pid file="%[1]s/ircd.pid">
<path configdir="%[1]s" datadir="%[1]s" logdir="%[1]s" runtimedir="%[1]s" moduledir="/usr/lib/inspircd/modules">
<files motd="%[1]s/motd.txt">
`, dir, ports[0], ports[1], ports[2]),
		"atheme.conf": fmt.Sprintf(`loadmodule "modules/protocol/inspircd";
loadmodule "modules/backend/opensex"; loadmodule "modules/crypto/pbkdf2v2";
loadmodule "modules/nickserv/main"; loadmodule "modules/nickserv/identify"; loadmodule "modules/nickserv/register"; loadmodule "modules/nickserv/logout";
loadmodule "modules/saslserv/main"; loadmodule "modules/saslserv/plain"; loadmodule "modules/saslserv/external"; loadmodule "modules/nickserv/cert"; loadmodule "modules/saslserv/authcookie";
serverinfo { name = "services.lab.test"; desc = "services"; numeric = "00A"; recontime = 2; netname = "Lab"; hidehostsuffix = "lab"; adminname = "lab"; adminemail = "root@lab.test"; registeremail = "root@lab.test"; mta = "/bin/true"; loglevel = {error;}; maxlogins = 500; maxusers = 0; maxnicks = 50; maxchans = 50; mdlimit = 30; emaillimit = 10; emailtime = 300; auth = none; casemapping = rfc1459; };
uplink "irc.lab.test" { host = "127.0.0.1"; port = %[2]d; send_password = "linkpass"; receive_password = "linkpass"; };
nickserv { nick = "NickServ"; user = "NickServ"; host = "services.lab.test"; real = "NickServ"; spam = no; no_nick_ownership = no; expire = 0; };
saslserv { nick = "SaslServ"; user = "SaslServ"; host = "services.lab.test"; real = "SaslServ"; };
general { permissive_mode = yes; silent = no; join_chans = no; leave_chans = no; uflags = {hold;}; cflags = {}; raw = no; flood_msgs = 0; commit_interval = 5; default_pass_length = 16; clone_time = 0; default_clone_allowed = 500; };
logfile "%[1]s/atheme.log" { error; };
`, dir, ports[2]),
	}
	for _, m := range without {
		files["inspircd.conf"] = strings.Replace(files["inspircd.conf"], `<module name="`+m+`">`, "", 1)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if err := own(dir, "irc"); err != nil {
		return nil, err
	}
	p, err := start("irc", bin, "--config", filepath.Join(dir, "inspircd.conf"), "--nofork", "--nolog")
	if err != nil {
		return nil, err
	}
	s.procs = append(s.procs, p)
	_, tlsPort, _ := net.SplitHostPort(s.TLS)
	err = p.until("inspircd", 15*time.Second, dial("127.0.0.1:"+tlsPort))
	if err == nil {
		p, err = start("irc", atheme, "-n", "-c", filepath.Join(dir, "atheme.conf"), "-D", dir, "-l", filepath.Join(dir, "atheme.log"), "-p", filepath.Join(dir, "atheme.pid"))
		if err == nil {
			s.procs = append(s.procs, p)
			err = p.until("atheme", 20*time.Second, func() error {
				c, err := DialIRC(ctx, s.Addr, "probe")
				if err != nil {
					return err
				}
				defer c.Close()
				c.Send("WHOIS NickServ")
				_, err = c.Wait(` 311 `, 500*time.Millisecond)
				return err
			})
		}
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Register makes an account for a nick, and logs that client in.
func (s *AccountIRCd) Register(c *IRCClient, password string) error {
	c.Say("NickServ", "REGISTER "+password+" "+c.Nick+"@lab.test")
	_, err := c.Wait(` 900 |now registered`, 10*time.Second)
	return err
}

// Stop ends both and removes the folder.
func (s *AccountIRCd) Stop() {
	for i := len(s.procs) - 1; i >= 0; i-- {
		s.procs[i].stop(syscall.SIGTERM)
	}
	_ = os.RemoveAll(s.dir)
}
