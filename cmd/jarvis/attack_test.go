package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// fort is a server that can be attacked by every way in.
type fort struct {
	*apiSite
	irc   *real.AccountIRCd
	xmpp  *real.Prosody
	gist  string
	files map[string]string // what the web server has, by path
}

func newFort(t *testing.T, block int) *fort {
	t.Helper()
	f := &fort{apiSite: &apiSite{}, files: map[string]string{}}
	f.irc = must[*real.AccountIRCd](t)(real.StartAccountIRCd(t.Context()))
	t.Cleanup(f.irc.Stop)
	owner := must[*real.IRCClient](t)(real.DialIRC(t.Context(), f.irc.Addr, "jarvis"))
	if err := f.irc.Register(owner, "sekrit123"); err != nil {
		t.Fatal(err)
	}
	owner.Close()
	f.xmpp = must[*real.Prosody](t)(real.StartProsody("jarvis", "alice", "mallory"))
	t.Cleanup(f.xmpp.Stop)
	f.world = must[*lab.World](t)(lab.Start(t.Context(), lab.Options{Block: block, Port: must[int](t)(freePort())}))
	t.Cleanup(f.world.Stop)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to, ok := strings.CutPrefix(r.URL.Path, "/to/"); ok {
			b, _ := base64.RawURLEncoding.DecodeString(to)
			http.Redirect(w, r, string(b), http.StatusFound)
			return
		}
		_, _ = fmt.Fprint(w, f.files[r.URL.Path])
	}))
	t.Cleanup(web.Close)
	f.gist = web.URL
	f.files["/loki"] = lab.Clipboard("loki")
	dir := t.TempDir()
	f.conf = filepath.Join(dir, "jarvis.yaml")
	text := f.world.Config(filepath.Join(dir, "data"), fmt.Sprintf("sources: {urls: [%q]}\n", web.URL+"/"))
	text = strings.NewReplacer("approvals: {off: true}\n", "", "limit: {burst: 1000}\n", "", "listen: \"\"\n", "listen: 127.0.0.1:0\n").Replace(text)
	text += fmt.Sprintf(`chat:
  - irc: {server: %q, tls: true, ca: %q, sasl: {user: jarvis, password: sekrit123}, nick: jarvis, channels: ["#ops"], rate: {burst: 50, interval: 20ms}}
  - xmpp: {server: %q, ca: %q, jid: jarvis@%[5]s, password: pw-jarvis, rooms: ["ops@%[6]s"]}
people:
  - {name: alice, irc: alice, xmpp: alice@%[5]s, roles: [deploy]}
`, f.irc.TLS, f.irc.CA, f.xmpp.Addr, f.xmpp.CA, real.XMPPDomain, real.XMPPRooms)
	if err := os.WriteFile(f.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, log := serveInProcess(t, f.conf)
	f.url = "http://" + regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())[1]
	f.token = f.newToken(t, "alice")
	for range 500 {
		if strings.Contains(log.String(), "made a room") && strings.Contains(log.String(), "the irc link is up") {
			return f
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("no links:\n", log)
	return nil
}

// records gives the audit rows.
func (f *fort) records(t *testing.T) []access.Record {
	t.Helper()
	_, out, errs := jarvis(t, "", "--config", f.conf, "audit", "1000", "--json")
	var a struct{ Data []access.Record }
	if err := contract.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err, errs)
	}
	return a.Data
}

// TestAttacks: each is refused and on record, and nothing was started by any of them.
func TestAttacks(t *testing.T) {
	t.Parallel()
	f := newFort(t, 104)
	const room = "ops@" + real.XMPPRooms
	url := f.gist + "/loki"
	chat := must[*real.IRCClient](t)(real.DialIRC(t.Context(), f.irc.Addr, "alice", "#ops")) // mallory, under her nick
	t.Cleanup(chat.Close)
	mallory := must[*real.XMPPClient](t)(real.DialXMPP(t.Context(), f.xmpp, "mallory", room))
	t.Cleanup(mallory.Close)
	alice := must[*real.XMPPClient](t)(real.DialXMPP(t.Context(), f.xmpp, "alice", room))
	t.Cleanup(alice.Close)
	say := func(text string) func() { return func() { alice.Say(room, "jarvis: "+text) } }
	to := func(target string) string {
		return f.gist + "/to/" + base64.RawURLEncoding.EncodeToString([]byte(target))
	}
	api := func(token, body string, header ...string) func() {
		return func() { f.call(t, "POST", "/v1/deploy", token, body, header...) }
	}
	expired := f.newToken(t, "alice", "days", "1")
	f.expire(t, expired)
	deploy := fmt.Sprintf(`{"source": %q}`, url)

	attacks := []struct {
		name string
		do   func()
		who  string // of the audit row
		want string // its outcome
	}{
		{"an imitated nick on IRC", func() { chat.Say("#ops", "jarvis: deploy "+url) }, "stranger alice", `needs the role "deploy", and I do not know you`},
		{"the same in private", func() { chat.Say("jarvis", "deploy "+url) }, "stranger alice", `needs the role "deploy", and I do not know you`},
		{"a JID whose resource is another's JID", func() {
			_ = mallory.Raw("<message to='jarvis@" + real.XMPPDomain + "' from='mallory@" + real.XMPPDomain + "/alice@" + real.XMPPDomain + "' type='chat'><body>deploy " + url + "</body></message>")
		}, "stranger mallory", `I do not know you`},
		{"a room nick that is another's JID", func() {
			_ = mallory.Raw("<presence to='" + room + "/alice@" + real.XMPPDomain + "'/>")
			time.Sleep(300 * time.Millisecond)
			mallory.Say(room, "jarvis: deploy "+url)
		}, "stranger alice@" + real.XMPPDomain, `I do not know you`},
		{"an occupant's item inside a message", func() {
			_ = mallory.Raw("<message to='" + room + "' type='groupchat'><body>jarvis: retry loki</body><x xmlns='http://jabber.org/protocol/muc#user'><item jid='alice@" + real.XMPPDomain + "'/></x></message>")
		}, "stranger alice@" + real.XMPPDomain, `I do not know you`},
		{"a presence that plays the room", func() {
			_ = mallory.Raw("<presence to='jarvis@" + real.XMPPDomain + "'><x xmlns='http://jabber.org/protocol/muc#user'><item jid='alice@" + real.XMPPDomain + "' role='moderator'/></x></presence>")
			time.Sleep(200 * time.Millisecond)
			mallory.Say("jarvis@"+real.XMPPDomain, "cancel loki")
		}, "stranger mallory", `I do not know you`},
		{"a second line inside a line", func() { alice.Say(room, "jarvis: whoami\njarvis: deploy "+url) }, "alice", "ok"},
		{"control characters", func() { chat.Say("#ops", "jarvis: \x02dep\x03loy\x0f "+url+"\x1f") }, "stranger alice", `I do not know you`},
		{"loopback", say("deploy http://127.0.0.1/x"), "alice", "I do not fetch from"},
		{"loopback, decimal", say("deploy http://2130706433/x"), "alice", "I do not fetch from"},
		{"loopback, hexadecimal", say("deploy http://0x7f.1/x"), "alice", "I do not fetch from"},
		{"loopback, IPv6", say("deploy http://[::1]/x"), "alice", "I do not fetch from"},
		{"loopback, IPv4 in IPv6", say("deploy http://[::ffff:127.0.0.1]/x"), "alice", "I do not fetch from"},
		{"the metadata service", say("deploy http://169.254.169.254/latest/meta-data/"), "alice", "I do not fetch from"},
		{"a name like the listed one", say("deploy " + strings.Replace(f.gist, "127.0.0.1", "127.0.0.1.evil.test", 1) + "/loki"), "alice", "I do not fetch from"},
		{"a user in the URL", say("deploy " + strings.Replace(f.gist, "//", "//gist.github.com@", 1) + "/loki"), "alice", "I do not fetch from"},
		{"a redirect to the metadata service", say("deploy " + to("http://169.254.169.254/")), "alice", "not on my list"},
		{"a redirect to loopback", say("deploy " + to("http://localhost:8080/")), "alice", "not on my list"},
		{"a redirect to a file", say("deploy " + to("file:///etc/passwd")), "alice", "not on my list"},
		{"a file of the server", say("deploy /etc/passwd"), "alice", "is neither a URL nor cn=NAME"},
		{"an LDAP filter", say("deploy cn=x)(|(cn=*))"), "alice", "there is no host"},
		{"an LDAP wildcard", say("deploy cn=*"), "alice", "there is no host"},
		{"a DN outside of the base", say("deploy cn=admin,dc=websages,dc=com"), "alice", "is no entry below"},
		{"a guessed token", api("jarvis_AAAA", deploy), "stranger 127.0.0.1", "not known here"},
		{"an expired token", api(expired, deploy), "stranger 127.0.0.1", "has expired"},
		{"SQL for a token", api("' OR 1=1 --", deploy), "stranger 127.0.0.1", "is no token"},
		{"more than the token may", api(f.newToken(t, "alice", "role", "view"), deploy), "alice", `needs the role "deploy"`},
	}
	for i, path := range []string{"../../../bin/sh:x", "a/b:go", ".:go", "nobody;sh:go", "$(sh):go"} {
		name := fmt.Sprintf("/steps%d", i)
		f.files[name] = lab.Clipboard("loki") + "steps: [\"" + path + "\"]\n"
		attacks = append(attacks, struct {
			name string
			do   func()
			who  string
			want string
		}{"a step of one's own: " + path, say("deploy " + f.gist + name), "alice", `needs the role "run"`})
	}
	for _, a := range attacks {
		before := len(f.records(t))
		a.do()
		ok := false
		var got []access.Record
		for range 250 {
			got = f.records(t)[before:]
			ok = slices.ContainsFunc(got, func(r access.Record) bool { return r.Who == a.who && strings.Contains(r.Outcome, a.want) })
			if ok {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !ok {
			t.Errorf("%s: no row of %s with %q; the first are %+v", a.name, a.who, a.want, got[:min(len(got), 5)])
		}
		time.Sleep(500 * time.Millisecond) // under the limit: it is not what is tested here
	}

	// Approving one's own: alice asks for what destroys, in one place, and approves it in others.
	_, _, body := f.call(t, "POST", "/v1/deploy", f.token, fmt.Sprintf(`{"clipboard": %q}`, lab.Clipboard("hela")))
	if !strings.Contains(body, "run 1") {
		t.Fatal(body)
	}
	f.rest(t, "hela")
	time.Sleep(10 * time.Second) // so that the limit does not come in between
	f.call(t, "POST", "/v1/destroy", f.token, `{"source": "hela"}`)
	alice.Say(room, "jarvis: approve 2")
	if _, err := alice.Wait("you asked for run 2 yourself", 20*time.Second); err != nil {
		t.Error(err)
	}
	if code, _, body := f.call(t, "POST", "/v1/runs/2/approve", f.newToken(t, "alice"), ""); code != http.StatusForbidden || !strings.Contains(body, "yourself") {
		t.Errorf("approve by another token of hers: %d %s", code, body)
	}
	if _, _, body := f.call(t, "GET", "/v1/status/hela", f.token, ""); !strings.Contains(body, "waits for a second person") {
		t.Error(body)
	}
	if got := f.world.VSphere.Machines(); !slices.Equal(got, []string{"hela"}) {
		t.Errorf("machines are %v; none but hela was ever asked for by somebody who may", got)
	}
}

// A thousand commands at once from one person: every one is on record, almost none is answered, others are not kept
// waiting, and nothing is started.
func TestAFloodFromOnePersonHurtsNobody(t *testing.T) {
	t.Parallel()
	f := newFort(t, 105)
	const room = "ops@" + real.XMPPRooms
	mallory := must[*real.XMPPClient](t)(real.DialXMPP(t.Context(), f.xmpp, "mallory", room))
	t.Cleanup(mallory.Close)
	alice := must[*real.XMPPClient](t)(real.DialXMPP(t.Context(), f.xmpp, "alice", room))
	t.Cleanup(alice.Close)
	flood := time.Now()
	for range 1000 {
		mallory.Say("jarvis@"+real.XMPPDomain, "deploy "+f.gist+"/loki")
	}
	began := time.Now()
	alice.Say(room, "jarvis: status")
	if _, err := alice.Wait("alice: nothing is under way", 20*time.Second); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("alice waited %s", took)
	}
	count := 0
	for range 800 { // those that were not answered are counted in one row a minute: "(991 lines)"
		count = f.count(t, "SELECT count(*) FROM audit WHERE who = 'stranger mallory'") +
			f.count(t, "SELECT coalesce(sum(cast(substr(line, 2, instr(line, ' ') - 2) AS integer)), 0) FROM audit WHERE who = 'strangers'")
		if count == 1000 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if count != 1000 {
		t.Errorf("%d of 1000 commands are on record", count)
	}
	// 30 at once, then two a second, each with a word that the limit is reached.
	if n, most := mallory.Count(`^jarvis@`), 31+4*int(time.Since(flood).Seconds()); n > most {
		t.Errorf("it answered %d of 1000; the limit allows %d", n, most)
	}
	if got := f.world.VSphere.Machines(); len(got) != 0 {
		t.Errorf("machines: %v", got)
	}
}
