package main

import "runtime/debug"

// stamp is set by the build: -ldflags "-X main.stamp=v1.2.3" (scripts/build).
var stamp string

// version is what this program calls itself.
var version = versionOf(stamp, debug.ReadBuildInfo)

// versionOf prefers the stamp. A program built without it, as by `go install`, knows from the Go tool of which version
// of the module it is, or at least of which commit.
func versionOf(stamp string, info func() (*debug.BuildInfo, bool)) string {
	if stamp != "" {
		return stamp
	}
	b, ok := info()
	if !ok {
		return "devel"
	}
	if v := b.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	said := map[string]string{}
	for _, s := range b.Settings {
		said[s.Key] = s.Value
	}
	commit := said["vcs.revision"]
	if commit == "" {
		return "devel"
	}
	v := "devel-" + commit[:min(len(commit), 12)]
	if said["vcs.modified"] == "true" {
		v += "-modified"
	}
	return v
}
