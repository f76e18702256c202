package keys

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// The git host is known as every host is: a bad line about another one closes nothing, a revoked key opens nothing.
func TestTheGitHostIsKnownAsEveryHostIs(t *testing.T) {
	g, err := real.StartGitolite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	known, err := os.ReadFile(g.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Join(strings.Fields(string(known))[1:3], " ")
	file := filepath.Join(t.TempDir(), "known_hosts")
	w, err := New(Config{Gitolite: Gitolite{Admin: g.Admin, Key: g.AdminKey, KnownHosts: file}})
	if err != nil {
		t.Fatal(err)
	}
	clone := func(text string) error {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		co, err := w.checkout(t.Context(), clipboard.Instance{Hostname: "loki", FQDN: "loki"})
		if err == nil {
			co.close()
		}
		return err
	}
	if err := clone("elsewhere ssh-ed25519 bad!\n" + string(known)); err != nil {
		t.Errorf("after a bad line: %v", err)
	}
	if err := clone(string(known) + "\n@revoked * " + key + "\n"); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "is revoked") {
		t.Errorf("a revoked key: %v", err)
	}
	if err := clone("elsewhere " + key + "\n"); err == nil || !strings.Contains(err.Error(), "is not known; add it to") {
		t.Errorf("a stranger: %v", err)
	}
	// Known, but not ours to read.
	if w, err = New(Config{Gitolite: Gitolite{Admin: strings.Replace(g.Admin, "gitolite-admin", "another", 1), Key: g.AdminKey, KnownHosts: file}}); err != nil {
		t.Fatal(err)
	}
	if err := clone(string(known)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "gitolite does not let us; our key must be an admin's") {
		t.Errorf("a repository that is not ours: %v", err)
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = New(Config{Gitolite: Gitolite{Admin: g.Admin, KnownHosts: file}, Signer: signer, PublicKey: "ssh-ed25519 AAAA jarvis"}); err != nil {
		t.Fatal(err)
	}
	if err := clone(string(known)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "does not take our key; give it ssh-ed25519 AAAA jarvis") {
		t.Errorf("a key that nobody knows: %v", err)
	}
}

// TestTwoHostsOfOneShortName: web1.prod.example and web1.test.example share gitolite's name root-web1. What is done for
// one neither replaces nor removes the key of the other.
func TestTwoHostsOfOneShortName(t *testing.T) {
	g, err := real.StartGitolite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	w, err := New(Config{Gitolite: Gitolite{Admin: g.Admin, Key: g.AdminKey, KnownHosts: g.KnownHosts}})
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]pipeline.Step{}
	for _, s := range w.Steps() {
		steps[s.Name] = s
	}
	const prodKey, testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBP6XQ/kx0/CeVUVhrjGz4HIFDdNT1iYfS+dJ8dGVQ1u"
	host := func(fqdn, key string) *clipboard.Clipboard {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: web1\n  fqdn: " + fqdn + "\n  root_pubkey: " + key + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	there := func() (key string) {
		t.Helper()
		co, err := w.checkout(t.Context(), clipboard.Instance{Hostname: "web1", FQDN: "web1.prod.example"})
		if err != nil {
			t.Fatal(err)
		}
		defer co.close()
		return co.key
	}
	prod := host("web1.prod.example", prodKey)
	if err := steps["keys:update_deploy_key"].Do(t.Context(), prod); err != nil {
		t.Fatal(err)
	}
	test := host("web1.test.example", testKey)
	for _, step := range []string{"keys:update_deploy_key", "keys:remove_deploy_key"} {
		if err := steps[step].Do(t.Context(), test); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "is the key of web1.prod.example, not of web1.test.example") {
			t.Errorf("%s: %v", step, err)
		}
	}
	if err := steps["keys:update_deploy_key"].Undo(t.Context(), test); err != nil {
		t.Error(err) // it changed nothing, and there is nothing to take back
	}
	if got := there(); got != prodKey+" root@web1.prod.example" {
		t.Errorf("the key that is there: %q", got)
	}
	if err := steps["keys:remove_deploy_key"].Undo(t.Context(), prod); err != nil {
		t.Errorf("undo of nothing: %v", err)
	}
	if err := steps["keys:remove_deploy_key"].Do(t.Context(), prod); err != nil {
		t.Fatal(err)
	}
	if got := there(); got != "" {
		t.Errorf("the key stayed: %q", got)
	}
	if what, _ := pipeline.AsStays(steps["keys:remove_deploy_key"].Undo(t.Context(), prod)); what != "its deploy key stays removed from the git host" {
		t.Errorf("undo says %q", what)
	}
	// A key that somebody put there by hand is nobody's to take; one that says nothing is the host's when its runs made
	// it.
	const bob = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2bJ8bA0QmC6cYJq3rJm2x1mBqvOq0hXhOq3n5a6l2P nightly backup, made by bob"
	put := func(key string) {
		t.Helper()
		by := &record{made: []string{key}}
		c := host("web1.prod.example", key)
		if _, err := w.gitolite(pipeline.WithHost(t.Context(), by), c, clipboard.Instance{Hostname: "web1", FQDN: "web1.prod.example"}, func(string) (string, error) { return key, nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(bob)
	for _, step := range []string{"keys:update_deploy_key", "keys:remove_deploy_key"} {
		for _, ctx := range []context.Context{t.Context(), pipeline.WithHost(t.Context(), &record{made: []string{prodKey}})} {
			if err := steps[step].Do(ctx, host("web1.prod.example", prodKey)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "is no key that a run of web1.prod.example made") {
				t.Errorf("%s: %v", step, err)
			}
		}
	}
	if got := there(); got != bob {
		t.Errorf("bob's key is %q", got)
	}
	if err := steps["keys:remove_deploy_key"].Do(pipeline.WithHost(t.Context(), &record{made: []string{bob}}), host("web1.prod.example", prodKey)); err != nil || there() != "" {
		t.Errorf("a key that a run made stays: %v", err)
	}
}

// TestSeveralWriteToGitolite: another server pushes between our clone and our push; one that hangs holds up nobody for
// longer than their own time; what a killed process left is removed, and what is in use is not.
func TestSeveralWriteToGitolite(t *testing.T) {
	g, err := real.StartGitolite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	t.Setenv("TMPDIR", t.TempDir())
	left, used := filepath.Join(os.TempDir(), copyPrefix+"1"), filepath.Join(os.TempDir(), copyPrefix+"2")
	for dir, age := range map[string]time.Duration{left: 3 * hostTime, used: 0} {
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chtimes(dir, time.Time{}, time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	worker := func() *Worker {
		w, err := New(Config{Gitolite: Gitolite{Admin: g.Admin, Key: g.AdminKey, KnownHosts: g.KnownHosts}})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO root@"
	put := func(ctx context.Context, w *Worker, host string, meanwhile func()) error {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: " + host + "\n  fqdn: " + host + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.gitolite(ctx, c, clipboard.Instance{Hostname: host, FQDN: host}, func(string) (string, error) { meanwhile(); return key + host, nil })
		return err
	}
	w, other := worker(), worker()
	if err := put(t.Context(), w, "web1", func() {
		if err := put(t.Context(), other, "web2", func() {}); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		cancel(enough)
		if err := put(ctx, w, "web3", func() {}); !errors.Is(err, enough) {
			t.Errorf("one that waits and is given up: %v", err)
		}
	}); err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "somebody else pushed in the same moment") || strings.Contains(err.Error(), "hint") {
		t.Errorf("%v", err)
	}
	if err := put(t.Context(), w, "web1", func() {}); err != nil {
		t.Error(err)
	}
	if found, err := filepath.Glob(filepath.Join(os.TempDir(), copyPrefix+"*")); len(found) != 1 || found[0] != used {
		t.Errorf("%v, %v", found, err)
	}
}

// record is the host of a step, with what earlier runs gave.
type record struct{ made []string }

func (r *record) Progress(string)                                         {}
func (r *record) Log(string)                                              {}
func (r *record) Keep(context.Context, *clipboard.Clipboard) error        { return nil }
func (r *record) Facts() pipeline.Facts                                   { return pipeline.Facts{Token: "jarvis-0badc0de-1"} }
func (r *record) Given(context.Context, string, string) ([]string, error) { return r.made, nil }
