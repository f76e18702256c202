package cloudinit

import (
	_ "embed"
	"slices"
	"strings"
)

// Disk is a further disk that the first boot mounts, after making a file system on it when it is empty.
type Disk struct {
	Mount string
	// Find says how the machine finds it; the first that finds one counts. None holds a space.
	//
	//	path:FILE  the device, or a link to it
	//	scsi:N     the SCSI disk that is target N of its controller
	//	nvme:NAME  the NVMe disk that says of itself that EC2 knows it by that name
	Find []string
}

//go:embed disks.sh
var disksScript string

// mountDisks gives the command that mounts disks, for bootcmd: it comes before all that writes into them.
// cloud-init-per has it run until it has succeeded once; from then on fstab mounts them.
func mountDisks(disks []Disk) []string {
	disks = slices.Clone(disks)
	// What is mounted below another comes after it.
	slices.SortStableFunc(disks, func(a, b Disk) int { return strings.Compare(a.Mount, b.Mount) })
	command := []string{"cloud-init-per", "instance", "jarvis-disks", "sh", "-c", disksScript, "jarvis-disks"}
	for _, d := range disks {
		command = append(command, strings.Join(append([]string{d.Mount}, d.Find...), " "))
	}
	return command
}
