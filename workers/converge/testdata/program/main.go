// Command program is run by the step converge:apply in a test.
package main

import (
	"fmt"

	"github.com/jarvisops/jarvis/converge"
)

func main() {
	converge.MainWith(func(n *converge.Node) error {
		n.Want(converge.File{Path: "/etc/motd", Content: "this is " + n.Prop("fqdn") + "\n"})
		if n.Value("ports") != nil {
			ports, err := converge.PropAs[map[string][]int](n, "ports")
			if err != nil {
				return err
			}
			n.Want(converge.File{Path: "/etc/ports", Content: fmt.Sprintln(ports["web"], n.Value("keep"))})
		}
		if n.In("bad") {
			n.Want(converge.Command{Name: "bad", Run: "echo no >&2; exit 3", Unless: "false"})
		}
		if n.In("facts") {
			n.Want(converge.Template{Path: "/etc/facts", Text: "{{.Props.fqdn}} {{.Facts.OS.ID}} {{.Facts.Own.site}}\n"})
		}
		return nil
	}, converge.Options{Facts: map[string]converge.Fact{"site": func(n *converge.Node) (any, error) { return "site of " + n.Name(), nil }}})
}
