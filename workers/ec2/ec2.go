// Package ec2 is the worker for Amazon EC2: the steps that every provider has, and the wait for the console, over
// aws-sdk-go-v2 (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/).
//
//	provider.Steps ── calls.go ── ec2.Client, one attempt per call ──► ec2.REGION.amazonaws.com
//	                     └─ words.go: "Debian 12", "us-east-1a", 512 ──► ami-…, subnet-…, t3.nano
//
// The run's token is the client token of RunInstances, so asking twice makes one instance, and a tag; the host's owner
// is another. The SDK's own retries are off: they would sleep inside a step. This is the only package that imports the
// SDK of EC2, which is large: nothing else has to be compiled with it.
package ec2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// Config of the worker.
type Config struct {
	Account        string            `yaml:"account" doc:"name by which a clipboard's account chooses this entry, when there are several"`
	Region         string            `yaml:"region" doc:"as in us-east-1; empty: that of the AWS default chain"`
	Endpoint       string            `yaml:"endpoint" doc:"URL of the API; empty: Amazon's for the region"`
	AccessKey      clipboard.Secret  `yaml:"access_key" doc:"access key id; empty: the AWS default chain (environment, ~/.aws, instance role)"`
	SecretKey      clipboard.Secret  `yaml:"secret_key" doc:"of access_key"`
	Images         map[string]string `yaml:"images" doc:"images of your own, as in {Debian 12: ami-0123456789abcdef0}; they come before those of the distributions"`
	Arch           string            `yaml:"arch" doc:"x86_64 or arm64" default:"x86_64"`
	Family         string            `yaml:"family" doc:"instance family from which a size in MB is chosen" default:"t3 (t4g for arm64)"`
	Subnet         string            `yaml:"subnet" doc:"subnet for new machines: id, name, or tag as in Tier=web; empty: the default one of the zone"`
	SecurityGroups []string          `yaml:"security_groups" doc:"ids or names of the groups for new machines, which must let our SSH in; empty: the VPC's default group"`
	Private        bool              `yaml:"private" doc:"take the private address for the host's"`
	// InstanceProfiles bounds what rights a clipboard can give its host.
	InstanceProfiles []string      `yaml:"instance_profiles" doc:"IAM instance profiles that clipboards may name; empty: none"`
	Defaults         provider.Wish `yaml:"defaults" doc:"what machines are like when the clipboard does not say it, in its words"`
}

// Worker offers the steps.
type Worker struct {
	cfg Config

	mu     sync.Mutex
	client *ec2.Client
	region string
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	var wrong mistake.List
	if (cfg.AccessKey == "") != (cfg.SecretKey == "") {
		wrong.At("workers.ec2", "needs access_key and secret_key, or neither for the AWS default chain")
	}
	if cfg.Endpoint != "" {
		if u, err := url.Parse(cfg.Endpoint); err != nil || u.Host == "" {
			wrong.At("workers.ec2.endpoint", "is %q; it must be a URL", cfg.Endpoint)
		}
	}
	switch cfg.Arch {
	case "":
		cfg.Arch = "x86_64"
	case "x86_64", "arm64":
	default:
		wrong.At("workers.ec2.arch", "is %q; x86_64 or arm64", cfg.Arch)
	}
	if a, b := provider.Twice(cfg.Images); a != "" {
		wrong.At("workers.ec2.images", "has %q and %q, which are the same to whoever says them", a, b)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg}
	return w, w.Calls().CheckDefaults()
}

// defaults are the wishes of the configuration, its older keys among them.
func (w *Worker) defaults() provider.Wish {
	d := w.cfg.Defaults
	d.Network.Subnet = cmp.Or(d.Network.Subnet, w.cfg.Subnet)
	if d.Network.SecurityGroups == nil {
		d.Network.SecurityGroups = w.cfg.SecurityGroups
	}
	return d
}

// Close ends nothing: there is no session.
func (w *Worker) Close() {}

// Steps lists what the worker offers. host reaches the machines over SSH.
func (w *Worker) Steps(host provider.Host) []pipeline.Step {
	return append(provider.Steps(w.Calls(), host), w.waitForConsole())
}

// connect makes the client at first use: the default chain may have to ask for credentials.
func (w *Worker) connect(ctx context.Context) (*ec2.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil {
		return w.client, nil
	}
	opts := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout)),
		awsconfig.WithAppID("jarvis"),
	}
	if w.cfg.Region != "" {
		opts = append(opts, awsconfig.WithRegion(w.cfg.Region))
	}
	if w.cfg.AccessKey != "" {
		opts = append(opts, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(string(w.cfg.AccessKey), string(w.cfg.SecretKey), "")))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, pipeline.Permanentf("read the AWS configuration: %v", err)
	}
	if cfg.Region == "" {
		return nil, pipeline.Permanentf("no region is configured; set workers.ec2.region")
	}
	w.region = cfg.Region
	w.client = ec2.NewFromConfig(cfg, func(o *ec2.Options) {
		if w.cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(w.cfg.Endpoint)
		}
	})
	return w.client, nil
}

// callTimeout bounds one call.
const callTimeout = 30 * time.Second

// call makes one attempt and puts what went wrong into words, by EC2's error code
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html).
func call[T any](ctx context.Context, w *Worker, what string, f func(context.Context, *ec2.Client) (T, error)) (T, error) {
	var none T
	cl, err := w.connect(ctx)
	if err != nil {
		return none, err
	}
	one, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := f(one, cl)
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		var e interface{ Unwrap() error }
		for errors.As(err, &e) && e.Unwrap() != nil { // "operation error EC2: …, https response error StatusCode: …"
			err = e.Unwrap()
		}
		return none, fmt.Errorf("%s: %w", what, err)
	}
	status, after := 0, ""
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil {
		status, after = resp.HTTPStatusCode(), resp.Response.Header.Get("Retry-After")
	}
	msg := strings.TrimSuffix(api.ErrorMessage(), ".")
	switch c := api.ErrorCode(); c {
	case "RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "EC2ThrottledException":
		d := provider.Pause(ctx) + time.Second
		if said, ok := plain.RetryAfter(after); ok {
			d = said
		}
		return none, pipeline.Wait(d, "EC2 asks us to slow down, for "+d.Round(time.Second).String())
	case "InvalidInstanceID.Malformed":
		return none, pipeline.Permanentf("%s: that is not the id of a machine at EC2, which is like i-0123456789abcdef0", what)
	case "InvalidInstanceID.NotFound":
		return none, provider.ErrGone
	case "IncorrectInstanceState", "IncorrectState":
		return none, pipeline.Wait(2*time.Second, what+": EC2 says "+msg)
	case "InsufficientInstanceCapacity":
		return none, fmt.Errorf("%s: %w (%s)", what, errNoCapacity, msg)
	case "IdempotentInstanceTerminated", "IdempotentParameterMismatch":
		return none, err // run knows what they mean
	case "InvalidAllocationID.NotFound", "InvalidAddressID.NotFound":
		return none, pipeline.Permanentf("%s: EC2 knows no such address here (%s)", what, msg)
	case "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException":
		return none, pipeline.Permanentf("%s: EC2 does not take the access key (%s)", what, c)
	case "UnauthorizedOperation":
		return none, pipeline.Permanentf("%s: the access key has no right to; allow %s", what, right(err, msg))
	default:
		if status >= 500 {
			return none, fmt.Errorf("%s: EC2 says %s: %s", what, c, msg)
		}
		return none, pipeline.Permanentf("%s: EC2 refused: %s (%s)", what, msg, c)
	}
}

// lacking is how EC2 names the right that lacks, which may be another than that of the call: RunInstances with tags
// needs ec2:CreateTags, and with a profile iam:PassRole.
var lacking = pattern.New(`not authorized to perform: ([a-z0-9]+:[A-Za-z]+)`)

// right names the right that an error says we lack.
func right(err error, msg string) string {
	if m := lacking.FindStringSubmatch(msg); m != nil {
		return m[1]
	}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return "ec2:" + op.Operation()
	}
	return "it"
}
