// Package converge is a library to build your own configuration management: a program says in Go what hosts shall be
// like, and brings them there.
//
//	report, err := converge.Run(ctx, targets, func(n *converge.Node) error {
//		n.Want(converge.User{Name: "alice", Shell: "/bin/bash"})
//		if n.In("web") {
//			n.Want(converge.Package{Name: "nginx"}, converge.File{Path: "/etc/motd", Content: "hello\n"})
//		}
//		return nil
//	}, converge.Options{Confirm: ask})
//
// Run analyzes all hosts at once, which only reads, gives the list of what is missing to Confirm, and then modifies all
// hosts at once; a host where something fails is left out from then on. It begins again until nothing is missing, or
// names what never settles. Everything that the resources must know of a host is read in one exchange.
//
// The package prints nothing and asks nobody: output and confirmation are functions of whoever uses it. Beside
// the standard library it imports three small packages of internal (guard, lcs, plain). A Host is whatever runs a shell
// script: package remote's connections do.
//
// Why not a language, or an agent on the host: docs/adr/0018-converge-is-a-library.md
package converge
