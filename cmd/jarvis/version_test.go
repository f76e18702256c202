package main

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	info := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}
	for name, c := range map[string]struct {
		stamp string
		info  *debug.BuildInfo
		want  string
	}{
		"the stamp wins":                       {"v0.2.0", info("v0.1.0", commit), "v0.2.0"},
		"go install knows the module":          {"", info("v0.1.0"), "v0.1.0"},
		"a checkout knows its commit":          {"", info("(devel)", commit), "devel-0123456789ab"},
		"a changed checkout says so":           {"", info("(devel)", commit, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "devel-0123456789ab-modified"},
		"a checkout that was not changed":      {"", info("", commit, debug.BuildSetting{Key: "vcs.modified", Value: "false"}), "devel-0123456789ab"},
		"a short commit is no reason to panic": {"", info("", debug.BuildSetting{Key: "vcs.revision", Value: "01"}), "devel-01"},
		"files without git":                    {"", info("(devel)"), "devel"},
		"no information at all":                {"", nil, "devel"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := versionOf(c.stamp, func() (*debug.BuildInfo, bool) { return c.info, c.info != nil }); got != c.want {
				t.Errorf("versionOf(%q) = %q, want %q", c.stamp, got, c.want)
			}
		})
	}
}
