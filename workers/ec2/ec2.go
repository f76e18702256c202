// Package ec2 is the worker for Amazon EC2: the steps that every provider has, and the wait for the console, over
// aws-sdk-go-v2 (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/).
//
//	provider.Steps ── calls.go ── ec2.Client, one attempt per call ──► ec2.REGION.amazonaws.com
//	                     └─ words.go: "Debian 12", "us-east-1a", 512 ──► ami-…, subnet-…, t3.nano
//
// The run's token is the client token of RunInstances, so asking twice makes one instance, and a tag; the host's owner is another. The SDK's own
// retries are off: they would sleep inside a step. This is the only package that imports the SDK of EC2, which is
// large: nothing else has to be compiled with it.
package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
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
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// Config of the worker.
type Config struct {
	Region         string            `yaml:"region" doc:"as in us-east-1; empty: that of the AWS default chain"`
	Endpoint       string            `yaml:"endpoint" doc:"URL of the API; empty: Amazon's for the region"`
	AccessKey      clipboard.Secret  `yaml:"access_key" doc:"access key id; empty: the AWS default chain (environment, ~/.aws, instance role)"`
	SecretKey      clipboard.Secret  `yaml:"secret_key" doc:"of access_key"`
	Images         map[string]string `yaml:"images" doc:"images of your own, as in {Debian 12: ami-0123456789abcdef0}; they come before those of the distributions"`
	Arch           string            `yaml:"arch" doc:"x86_64 or arm64" default:"x86_64"`
	Family         string            `yaml:"family" doc:"instance family from which a size in MB is chosen" default:"t3 (t4g for arm64)"`
	Subnet         string            `yaml:"subnet" doc:"subnet for new machines; empty: the default one of the zone"`
	SecurityGroups []string          `yaml:"security_groups" doc:"ids of the groups for new machines, which must let our SSH in; empty: the VPC's default group"`
	Private        bool              `yaml:"private" doc:"take the private address for the host's"`
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
	if (cfg.AccessKey == "") != (cfg.SecretKey == "") {
		return nil, errors.New("workers.ec2 needs access_key and secret_key, or neither for the AWS default chain")
	}
	if cfg.Endpoint != "" {
		if u, err := url.Parse(cfg.Endpoint); err != nil || u.Host == "" {
			return nil, fmt.Errorf("workers.ec2.endpoint is %q; it must be a URL", cfg.Endpoint)
		}
	}
	switch cfg.Arch {
	case "":
		cfg.Arch = "x86_64"
	case "x86_64", "arm64":
	default:
		return nil, fmt.Errorf("workers.ec2.arch is %q; x86_64 or arm64", cfg.Arch)
	}
	if cfg.Family == "" {
		cfg.Family = map[string]string{"x86_64": "t3", "arm64": "t4g"}[cfg.Arch]
	}
	return &Worker{cfg: cfg}, nil
}

// Steps lists what the worker offers. host reaches the machines over SSH.
func (w *Worker) Steps(host provider.Host) []pipeline.Step {
	return append(provider.Steps(w.calls(), host), w.waitForConsole())
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
		if n, err := strconv.Atoi(after); err == nil {
			d = time.Duration(n) * time.Second
		}
		return none, pipeline.Wait(d, "EC2 asks us to slow down, for "+d.Round(time.Second).String())
	case "InvalidInstanceID.NotFound":
		return none, provider.ErrGone
	case "IncorrectInstanceState", "IncorrectState":
		return none, pipeline.Wait(2*time.Second, what+": EC2 says "+msg)
	case "InsufficientInstanceCapacity":
		return none, fmt.Errorf("%s: EC2 has no capacity for it there now (%s)", what, msg)
	case "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException":
		return none, pipeline.Permanentf("%s: EC2 does not take the access key (%s)", what, c)
	case "UnauthorizedOperation":
		return none, pipeline.Permanentf("%s: the access key has no right to; allow ec2:%s", what, strings.TrimSpace(operation(err)))
	default:
		if status >= 500 {
			return none, fmt.Errorf("%s: EC2 says %s: %s", what, c, msg)
		}
		return none, pipeline.Permanentf("%s: EC2 refused: %s (%s)", what, msg, c)
	}
}

// operation names the API call of an error.
func operation(err error) string {
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return op.Operation()
	}
	return ""
}
