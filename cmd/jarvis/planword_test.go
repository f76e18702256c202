package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
)

// TestPlanByWord: a word that is no file here and is a host on record is that host, as in chat; what is neither is told
// as neither; and a verb that lacks its words is told with those of the command line.
func TestPlanByWord(t *testing.T) {
	rack := lab.NewRack(84, 22, func(string, string) (lab.Machine, error) { return nil, errors.New("no machine is to be made") })
	t.Cleanup(rack.Stop)
	cloud := must[*lablinode.Server](t)(lablinode.Start(rack))
	t.Cleanup(cloud.Stop)
	conf := filepath.Join(t.TempDir(), "jarvis.yaml")
	text := fmt.Sprintf("data: ./data\nlisten: \"\"\napprovals: {off: true}\npipelines:\n  deploy: {linode: [\"keys:create\"]}\n  redeploy: {linode: [\"linode:shutdown\", \"keys:create\"]}\nworkers:\n%s", cloud.Config())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, _ := serveInProcess(t, conf)
	defer stop()
	clip := "instance:\n  hostname: odin\n  fqdn: odin.websages.com\n  provider: Linode\n"
	if code, out, errs := jarvis(t, clip, "--config", conf, "deploy", "-"); code != exitOK {
		t.Fatalf("deploy: exit %d, %s%s", code, out, errs)
	}
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"plan odin", exitOK, "1/2 linode:shutdown: "},
		{"plan odin.websages.com", exitOK, "2/2 keys:create: "},
		{"plan redeploy odin", exitOK, "1/2 linode:shutdown: "},
		{"plan thor", exitNotFound, `"thor" is no host on record, no file, no URL and no cn=NAME`},
		{"plan ./thor.yaml", exitNotFound, "cannot read ./thor.yaml"},
		{"deploy", exitUsage, "`deploy` is used as: deploy URL | cn=NAME | FILE | - [at TIME]; as in `deploy loki.yaml`"},
		{"plan", exitUsage, "`plan` is used as: plan [redeploy | destroy] URL | cn=NAME | HOST | FILE | -"},
		{"retry", exitUsage, "`retry` is used as: retry HOST | CLUSTER [from STEP]"},
		{"redeploy", exitUsage, "`redeploy` is used as: redeploy HOST | URL | cn=NAME | FILE | - [at TIME]"},
	} {
		if code, out, errs := jarvis(t, "", append([]string{"--config", conf}, strings.Fields(c.args)...)...); code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit %d, %s%s; want %d, %s", c.args, code, out, errs, c.code, c.want)
		}
	}
	// A file of that name is what is here.
	if err := os.WriteFile("odin", []byte(strings.ReplaceAll(clip, "odin", "fenrir")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "plan", "odin"); code != exitOK || !strings.Contains(out, "1/1 keys:create: ") {
		t.Errorf("plan of a file: exit %d, %s%s", code, out, errs)
	}
}
