package ec2

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// What cloud-init writes to the console (cloudinit/config/cc_ssh.py, keys_to_console; cloudinit/cmd/main.py).
var (
	fingerprint = pattern.New(`SHA256:[A-Za-z0-9+/]{43}`)
	finished    = pattern.New(`Cloud-init v\. \S+ finished`)
)

// waitForConsole is a second opinion: the console, which nobody on the network can touch, must show the host key that
// keys:create made. EC2 shows a console only minutes after the boot.
func (w *Worker) waitForConsole() pipeline.Step {
	return pipeline.Step{
		Name:    "ec2:wait_for_console",
		Doc:     "waits until the console shows that cloud-init is done, and that the host key is ours",
		Needs:   []string{"provider_id", "hostkey_first"},
		Timeout: 20 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			out, err := call(ctx, w, "read the console", func(ctx context.Context, cl *ec2.Client) (*ec2.GetConsoleOutputOutput, error) {
				return cl.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(c.Get("provider_id"))})
			})
			if err != nil {
				return err
			}
			b, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
			if err != nil {
				return fmt.Errorf("read the console: it is not base64: %w", err)
			}
			text := string(b)
			if !finished.MatchString(text) {
				return pipeline.Wait(provider.Pause(ctx), "the console does not show the end of cloud-init yet")
			}
			key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(c.Get("hostkey_first")))
			if err != nil {
				return pipeline.Permanentf("hostkey_first is not a host key")
			}
			shown := fingerprint.FindAllString(text, -1)
			if len(shown) == 0 {
				pipeline.Progress(ctx, "cloud-init is done; the console shows no host keys")
				return nil
			}
			if want := gossh.FingerprintSHA256(key); !strings.Contains(text, want) {
				return pipeline.Permanentf("the console shows the host key %s, and we gave it %s: this is not our machine", shown[0], want)
			}
			pipeline.Progress(ctx, "cloud-init is done, and the console shows our host key")
			return nil
		},
	}
}
