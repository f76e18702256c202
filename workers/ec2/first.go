package ec2

import "github.com/jarvisops/jarvis/provider"

// First is provider.Settings.
func (Config) First() provider.First {
	return provider.First{
		Ask:   []provider.Question{{Key: "region", Text: "EC2 region (keys are those of the AWS default chain)", Usual: "us-east-1"}},
		Entry: func(text, _ func(string) string) string { return "{region: " + text("region") + "}" },
	}
}
