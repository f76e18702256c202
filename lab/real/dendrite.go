package real

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// MatrixServer is the name of the lab's homeserver: it ends every user id.
const MatrixServer = "mx.lab.test"

// dendriteVersion is the last one under this module path.
const dendriteVersion = "v0.13.8"

// Dendrite is a Matrix homeserver without federation. It can be restarted on the same ports.
type Dendrite struct {
	URL   string // https://127.0.0.1:port
	CA    string // file
	Plain string // http://127.0.0.1:port, for the lab's own people

	dir  string
	db   *Postgres // with SQLite, one request given up in a wrong moment has it answer 500 from then on
	proc *proc
}

// DendriteOptions are what a test may want otherwise.
type DendriteOptions struct {
	Limited bool // answers M_LIMIT_EXCEEDED soon
}

// dendriteTools gives the folder of its programs, which stay in the user's cache. They are built from source: Debian
// has no package.
func dendriteTools() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "jarvis-lab", "dendrite-"+dendriteVersion)
	const module = "github.com/matrix-org/dendrite/cmd/"
	line := []string{"install"}
	for _, name := range []string{"dendrite", "generate-keys", "create-account"} {
		line = append(line, module+name+"@"+dendriteVersion)
	}
	if _, err := os.Stat(filepath.Join(dir, "create-account")); err == nil {
		return dir, nil
	}
	tool, err := need("go", "golang-go")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), "dendrite-") // two tests may want it in the same moment
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(made) }()
	cmd := exec.Command(tool, line...)
	cmd.Dir = os.TempDir() // in no module
	cmd.Env = append(os.Environ(), "GOBIN="+made, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("dendrite is not installed, and cannot be built; run: GOBIN=%s CGO_ENABLED=0 go %s: %w: %s", dir, strings.Join(line, " "), err, out)
	}
	if err := os.Rename(made, dir); err != nil {
		if _, there := os.Stat(filepath.Join(dir, "create-account")); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// StartDendrite starts a homeserver with an account for each name; the password of NAME is "pw-NAME-lab".
func StartDendrite(o DendriteOptions, accounts ...string) (_ *Dendrite, err error) {
	tools, err := dendriteTools()
	if err != nil {
		return nil, err
	}
	dir, err := folder("dendrite")
	if err != nil {
		return nil, err
	}
	s := &Dendrite{dir: dir, CA: filepath.Join(dir, "ca.pem")}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if err := ca(dir); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if s.db, err = StartPostgres(ctx); err != nil {
		return nil, err
	}
	db, err := s.db.Database(ctx)
	if err != nil {
		return nil, err
	}
	ports := [2]int{}
	for i := range ports {
		if ports[i], err = FreePort(); err != nil {
			return nil, err
		}
	}
	s.Plain, s.URL = "http://127.0.0.1:"+strconv.Itoa(ports[0]), "https://127.0.0.1:"+strconv.Itoa(ports[1])
	conf := fmt.Sprintf(`version: 2
global:
  server_name: %[1]s
  private_key: %[2]s/key.pem
  disable_federation: true
  trusted_third_party_id_servers: []
  presence: {enable_inbound: false, enable_outbound: false}
  report_stats: {enabled: false}
  database: {connection_string: %[4]q, max_open_conns: 20, max_idle_conns: 5, conn_max_lifetime: -1}
  server_notices: {enabled: false}
  metrics: {enabled: false}
  dns_cache: {enabled: false}
  cache: {max_size_estimated: 64mb, max_age: 1h}
  jetstream: {addresses: [], topic_prefix: D, in_memory: false, storage_path: %[2]s/js, disable_tls_validation: false}
app_service_api: {disable_tls_validation: false, config_files: []}
client_api: {registration_disabled: true, guests_disabled: true, registration_shared_secret: lab, rate_limiting: {enabled: %[3]t, threshold: 5, cooloff_ms: 500}}
federation_api: {send_max_retries: 1, key_perspectives: []}
media_api: {base_path: %[2]s/media, max_file_size_bytes: 1048576, dynamic_thumbnails: false, max_thumbnail_generators: 1}
mscs: {mscs: []}
sync_api: {search: {enabled: false}}
user_api: {bcrypt_cost: 4}
logging: [{type: std, level: warn}]
`, MatrixServer, dir, o.Limited, db)
	if err := os.WriteFile(filepath.Join(dir, "dendrite.yaml"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	for _, sub := range []string{"media", "js"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := run(ctx, "", filepath.Join(tools, "generate-keys"), "--private-key", filepath.Join(dir, "key.pem")); err != nil {
		return nil, err
	}
	if err := s.Start(); err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if err := run(ctx, "", filepath.Join(tools, "create-account"), "--config", filepath.Join(dir, "dendrite.yaml"), "-url", s.Plain, "-username", a, "-password", "pw-"+a+"-lab"); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Start starts it again after End.
func (s *Dendrite) Start() error {
	tools, err := dendriteTools()
	if err != nil {
		return err
	}
	if s.proc, err = start("", filepath.Join(tools, "dendrite"), "--config", filepath.Join(s.dir, "dendrite.yaml"), "--http-bind-address", s.Plain[len("http://"):],
		"--https-bind-address", s.URL[len("https://"):], "--tls-cert", filepath.Join(s.dir, "srv.pem"), "--tls-key", filepath.Join(s.dir, "srv.key")); err != nil {
		return err
	}
	return s.proc.until("dendrite", Patience(20*time.Second), func() error {
		res, err := http.Get(s.Plain + "/_matrix/client/versions")
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("HTTP %d", res.StatusCode)
		}
		return dial(s.URL[len("https://"):])()
	})
}

// Log gives what it said last.
func (s *Dendrite) Log() string { return s.proc.out.String() }

// End ends it, and breaks every link. It may put away its streams of events: killed outright it can lose its place in
// them, and then accepts what it never shows to anybody.
func (s *Dendrite) End() { s.proc.stop(syscall.SIGTERM) }

// Stop ends it and removes its folder.
func (s *Dendrite) Stop() {
	if s.proc != nil {
		s.proc.stop(syscall.SIGTERM)
	}
	if s.db != nil {
		s.db.Stop()
	}
	_ = os.RemoveAll(s.dir)
}

// call does one request of the client-server API as somebody, and reads the answer into out.
func (s *Dendrite) call(ctx context.Context, token, method, path string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.Plain+"/_matrix/client/v3/"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	if method == http.MethodGet {
		req.Body, req.ContentLength = nil, 0
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		var said struct {
			Errcode string `json:"errcode"`
			Error   string `json:"error"`
			After   int64  `json:"retry_after_ms"`
		}
		_ = json.NewDecoder(res.Body).Decode(&said)
		if said.Errcode == "M_LIMIT_EXCEEDED" {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(max(said.After, 100)) * time.Millisecond):
			}
			return s.call(ctx, token, method, path, body, out)
		}
		return fmt.Errorf("%s %s: HTTP %d %s: %s", method, path, res.StatusCode, said.Errcode, said.Error)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}
