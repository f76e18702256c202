package real

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// ZNC is a bouncer: it stays on an IRC server as jarvis, in #ops, and plays to who comes back what was said meanwhile,
// with the time at which it was, in a batch.
type ZNC struct {
	Addr     string // host:port in clear
	Password string // of the server, as clients see it

	dir  string
	proc *proc
}

// StartZNC starts a bouncer on the IRC server at that address, and waits until it is there in #ops, which watch sees.
func StartZNC(upstream string, watch *IRCClient) (*ZNC, error) {
	bin, err := need("znc", "znc")
	if err != nil {
		return nil, err
	}
	host, server, err := net.SplitHostPort(upstream)
	if err != nil {
		return nil, err
	}
	dir, err := folder("znc")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	z := &ZNC{Addr: "127.0.0.1:" + strconv.Itoa(port), Password: "jarvis/lab:zncpw", dir: dir}
	conf := fmt.Sprintf(`Version = 1.8.2
AnonIPLimit = 1000
ConnectDelay = 0
ServerThrottle = 1
<Listener plain>
	Host = 127.0.0.1
	Port = %d
	IPv4 = true
	IPv6 = false
	SSL = false
	AllowWeb = false
</Listener>
<User jarvis>
	Nick = jarvis
	AltNick = jarvis_
	Ident = jarvis
	RealName = bot
	ChanBufferSize = 50
	QueryBufferSize = 50
	<Network lab>
		Server = %s %s
		FloodBurst = 50
		FloodRate = 0.1
		<Chan #ops>
		</Chan>
	</Network>
	<Pass password>
		Method = plain
		Hash = zncpw
	</Pass>
</User>
`, port, host, server)
	if err := os.MkdirAll(filepath.Join(dir, "configs"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "configs", "znc.conf"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	if err := own(dir, "irc"); err != nil { // it refuses root
		return nil, err
	}
	if z.proc, err = start("irc", bin, "-f", "-d", dir); err != nil {
		return nil, err
	}
	err = z.proc.until("znc", 20*time.Second, dial(z.Addr))
	if err == nil {
		_, err = watch.Wait(`:jarvis!.* JOIN`, 20*time.Second)
	}
	if err != nil {
		z.Stop()
		return nil, err
	}
	return z, nil
}

// Stop ends it and removes its folder.
func (z *ZNC) Stop() {
	z.proc.stop(syscall.SIGTERM)
	_ = os.RemoveAll(z.dir)
}
