// Package nagios reads the object files of Nagios 3 and 4 and of Icinga 1: what is written, and what it comes to. It
// parses text and nothing else: it contacts nobody and runs nothing of what it reads.
//
//	nagios.cfg ─► cfg_file, cfg_dir, resource_file ─► objects as they are written ─► templates ─► groups ─► services, each on its hosts
//
// The rules are those of xdata/xodtemplate.c of Nagios. Where Nagios refuses to start, this goes on and notes a Fault
// with its file and line: whoever moves wants to know all that is wrong, and not the first of it.
//
// Every attribute keeps where it stands. A Value says of which attributes it was made, over templates, so that a reader
// of the tree can say of each attribute what became of it.
package nagios
