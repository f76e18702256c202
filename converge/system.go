package converge

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Service is a service of systemd, or of SysV init where there is none.
type Service struct {
	Name    string // without ".service"; other units with what they are: "backup.timer"
	Stopped bool   // it shall not run. A unit that runs to its end (Type=oneshot) is started when it is enabled, or failed
	// Disabled: it shall not be started at boot. What cannot be enabled (a static unit) can neither be disabled.
	Disabled bool
}

// ID implements Resource.
func (s Service) ID() string { return "service " + s.Name }

// Plan implements Resource.
func (s Service) Plan(n *Node) ([]Action, error) {
	if err := checkName("service", s.Name); err != nil {
		return nil, err
	}
	r, err := n.fact("service", s.Name)
	if err != nil {
		return nil, err
	}
	is := map[string]string{} // empty: its package may be about to be installed
	for _, l := range strings.Split(r.text, "\n") {
		k, v, _ := strings.Cut(l, "=")
		is[k] = v
	}
	state := is["ActiveState"]
	active := state == "active" || state == "reloading" || state == "refreshing"
	enabled := is["Enabled"] == "enabled"
	fixed := slices.Contains([]string{"static", "alias", "indirect", "generated", "transient"}, is["Enabled"]) // as its file says, and not for us to change
	if is["Type"] == "oneshot" && is["RemainAfterExit"] == "no" {
		// It ran, or will at boot, or when its timer says so. Whether it did, systemd forgets.
		active = active || state == "activating" || state == "inactive" && !s.Stopped && (enabled || fixed || s.Disabled)
	}
	name := quote(s.Name)
	do := func(desc, have, want, systemd, sysv string) Action {
		return Action{Desc: desc + " " + s.Name, Have: have, Want: want, Script: "if [ -d /run/systemd/system ]; then systemctl " + systemd + " -- " + name + "; else " + sysv + "; fi"}
	}
	var out []Action
	if _, done := n.texts[fact{"systemd", "units"}]; !done && is["NeedDaemonReload"] == "yes" {
		n.will("systemd", "units", "read")
		out = append(out, Action{Desc: "have systemd read its units again", Have: "other units than the files'", Want: "read", Script: "systemctl daemon-reload"})
	}
	switch { // before it is enabled: a oneshot unit that is enabled counts as one that ran
	case active && s.Stopped:
		out = append(out, do("stop the service", state, "inactive", "stop", "service "+name+" stop"))
	case !active && !s.Stopped && state == "failed": // also when it failed too often
		out = append(out, do("start the service", state, "active", "reset-failed -- "+name+" && systemctl start", "service "+name+" start"))
	case !active && !s.Stopped:
		out = append(out, do("start the service", state, "active", "start", "service "+name+" start"))
	}
	switch {
	case enabled && s.Disabled:
		out = append(out, do("disable the service", is["Enabled"], "disabled", "disable", "update-rc.d "+name+" disable"))
	case !enabled && !fixed && !s.Disabled:
		out = append(out, do("enable the service", is["Enabled"], "enabled", "enable", "{ update-rc.d "+name+" defaults && update-rc.d "+name+" enable; }"))
	}
	return out, nil
}

// Command is run when its guard says so.
type Command struct {
	Name   string
	Run    string                                  // a script
	Do     func(ctx context.Context, h Host) error // instead of Run, as Action.Do
	Unless string                                  // a script that only reads: Run is not needed when it ends with 0
}

// ID implements Resource.
func (c Command) ID() string { return "command " + c.Name }

// Plan implements Resource.
func (c Command) Plan(n *Node) ([]Action, error) {
	if c.Name == "" || (c.Run == "") == (c.Do == nil) || c.Unless == "" {
		return nil, fmt.Errorf("it must have a name, a script or a function to run, and a guard")
	}
	r, err := n.fact("script", c.Unless)
	if err != nil {
		return nil, err
	}
	if r.exit == 0 {
		return nil, nil
	}
	return []Action{{Desc: "run " + c.Name, Have: fmt.Sprintf("its guard says %d", r.exit), Want: "0", Script: c.Run, Do: c.Do}}, nil
}
