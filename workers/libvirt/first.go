package libvirt

import "github.com/jarvisops/jarvis/provider"

// First is provider.Settings.
func (Config) First() provider.First {
	return provider.First{Entry: func(_, _ func(string) string) string { return "{}   # images: docs/howto/libvirt.md" }}
}
