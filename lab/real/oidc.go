package real

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// The lab's client at its provider of OpenID Connect.
const (
	OIDCClient = "jarvis-web"
	OIDCSecret = "websecret-websecret-websecret"
)

// oidcVersion of npm's oidc-provider.
const oidcVersion = "9.13.3"

//go:embed oidc.mjs
var oidcProgram []byte

// OIDC is a provider of OpenID Connect: alice (groups ops, dev), bob (dev), carol (audit, as a text), eve (groups with
// markup), mallory (no group, and alice's address, not verified), locked (refused). The password of NAME is pw-NAME;
// PKCE is required. It can be restarted on its port, and then knows nobody's login any more.
type OIDC struct {
	Issuer string
	CA     string // file

	UserInfo bool // from the next start on, claims are in userinfo alone

	dir, modules, redirect string
	port                   int
	keys                   []map[string]string
	proc                   *proc
}

// StartOIDC starts a provider whose client may send people back to one address. The package is fetched once, into the
// user's cache folder.
func StartOIDC(ctx context.Context, redirect string) (*OIDC, error) {
	node, err := need("node", "nodejs npm")
	if err != nil {
		return nil, err
	}
	if err := run(ctx, "", node, "-e", "process.exit(process.versions.node.split('.')[0] < 20 ? 1 : 0)"); err != nil {
		return nil, errors.New("oidc-provider needs node 20 or newer; run: npm install -g n && n 20")
	}
	modules, err := npm("oidc-provider", oidcVersion)
	if err != nil {
		return nil, err
	}
	o := &OIDC{modules: modules, redirect: redirect}
	if o.dir, err = folder("oidc"); err != nil {
		return nil, err
	}
	o.CA = filepath.Join(o.dir, "ca.pem")
	if err := errors.Join(ca(o.dir), os.WriteFile(filepath.Join(o.dir, "oidc.mjs"), oidcProgram, 0o644)); err != nil {
		return nil, err
	}
	if o.port, err = FreePort(); err != nil {
		return nil, err
	}
	// By a name: for a browser it is another site than one at 127.0.0.1.
	o.Issuer = "https://localhost:" + strconv.Itoa(o.port)
	if err := o.newKey(); err != nil {
		return nil, err
	}
	return o, o.Start()
}

// newKey makes the key that signs from the next start on. The one before it stays published.
func (o *OIDC) newKey() error {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	n := func(i *big.Int) string { return base64.RawURLEncoding.EncodeToString(i.Bytes()) }
	jwk := map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "lab-" + strconv.FormatInt(time.Now().UnixNano(), 36), "n": n(k.N), "e": n(big.NewInt(int64(k.E))), "d": n(k.D),
		"p": n(k.Primes[0]), "q": n(k.Primes[1]), "dp": n(k.Precomputed.Dp), "dq": n(k.Precomputed.Dq), "qi": n(k.Precomputed.Qinv)}
	o.keys = append([]map[string]string{jwk}, o.keys...)
	o.keys = o.keys[:min(len(o.keys), 2)]
	b, err := json.Marshal(map[string]any{"keys": o.keys})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.dir, "jwks.json"), b, 0o600)
}

// Start starts it again after Kill.
func (o *OIDC) Start() error {
	bin, err := need("node", "nodejs npm")
	if err != nil {
		return err
	}
	where := ""
	if o.UserInfo {
		where = "userinfo"
	}
	at := func(name string) string { return filepath.Join(o.dir, name) }
	if o.proc, err = start("", bin, at("oidc.mjs"), o.modules, o.Issuer, strconv.Itoa(o.port), at("jwks.json"), at("srv.pem"), at("srv.key"), o.redirect, where); err != nil {
		return err
	}
	return o.proc.until("oidc-provider", 30*time.Second, dial("127.0.0.1:"+strconv.Itoa(o.port)))
}

// Kill ends it at once.
func (o *OIDC) Kill() { o.proc.kill() }

// Rotate has it sign with a new key.
func (o *OIDC) Rotate() error {
	o.Kill()
	return errors.Join(o.newKey(), o.Start())
}

// Stop ends it and removes its folder.
func (o *OIDC) Stop() {
	o.proc.stop(syscall.SIGTERM)
	_ = os.RemoveAll(o.dir)
}

// OIDCBrowser is somebody's browser at the provider: what it is logged in as there, it stays.
type OIDCBrowser struct {
	o    *OIDC
	http *http.Client
}

// Browser gives one that is not logged in.
func (o *OIDC) Browser() (*OIDCBrowser, error) {
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	host := "localhost:" + strconv.Itoa(o.port)
	return &OIDCBrowser{o, &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.URL.Host != host {
				return http.ErrUseLastResponse
			}
			return nil
		}}}, nil
}

var formAction = regexp.MustCompile(`action="([^"]+)"`)

// Login opens the address to which a client sent somebody, fills the form where there is one, and gives the address to
// which the provider sends him back.
func (b *OIDCBrowser) Login(ctx context.Context, at, user string) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	res, err := b.http.Do(req)
	if err != nil {
		return nil, err
	}
	page, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	if m := formAction.FindSubmatch(page); m != nil {
		to, err := res.Request.URL.Parse(string(m[1]))
		if err != nil {
			return nil, err
		}
		if res, err = b.http.PostForm(to.String(), url.Values{"user": {user}, "password": {"pw-" + user}}); err != nil {
			return nil, err
		}
		_ = res.Body.Close()
	}
	back, err := res.Location()
	if err != nil {
		return nil, fmt.Errorf("the provider answered %d, and sends nobody back: %s", res.StatusCode, page)
	}
	return back, nil
}
