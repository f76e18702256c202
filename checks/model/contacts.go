package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/post"
)

// check says what is wrong with one.
func (c *Contact) check() error {
	ways := 0
	for _, yes := range []bool{c.Person != "", c.Channel != "", c.Mail != "", len(c.Command) > 0, c.Webhook != ""} {
		if yes {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("names one of person, channel, mail, command and webhook")
	}
	if _, ok := post.Address(c.Mail); c.Mail != "" && !ok {
		return fmt.Errorf("has the mail %q; it is an address, as in alice@example.org", c.Mail)
	}
	if c.Webhook != "" && !strings.HasPrefix(string(c.Webhook), "https://") && !strings.HasPrefix(string(c.Webhook), "http://") {
		return errors.New("has a webhook that is no https:// URL")
	}
	if len(c.Command) == 0 {
		return nil
	}
	if file := c.Command[0]; !filepath.IsAbs(file) {
		return fmt.Errorf("has the command %q; it begins with the whole path of a program, as in /usr/local/bin/sms", file)
	}
	return nil
}

// program says why the program of one cannot be run now. That is trouble of this contact alone: its letters wait for
// it.
func (c *Contact) program() error {
	if len(c.Command) == 0 || c.check() != nil {
		return nil
	}
	file := c.Command[0]
	if st, err := os.Stat(file); err != nil {
		return errors.New("has a command that is not there: " + plain.Why(err))
	} else if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return fmt.Errorf("has the command %s, which is no program that may be run", file)
	}
	return nil
}

// CheckMail says which contacts are told by mail while no server takes any.
func (c *Config) CheckMail(server string) error {
	return c.eachContact(func(x *Contact) error {
		if x.Mail != "" && server == "" {
			return errors.New("is told by mail, and mail.server is not set")
		}
		return nil
	})
}

// CheckPrograms says which contacts are told by a program that is not there. It keeps no server from starting.
func (c *Config) CheckPrograms() error { return c.eachContact((*Contact).program) }

// eachContact tells at its place what check says against each contact. Files that cannot be read are left to Check.
func (c *Config) eachContact(check func(*Contact) error) error {
	all, _ := c.loadEach(func(string) bool { return false }) // Check tells the rest
	var wrong mistake.List
	for i, x := range all.Contacts {
		if err := check(&x); err != nil {
			wrong.Add(all.place(KindContact, i).mistake("", fmt.Sprintf(": contact %s %v", x.Name, err)))
		}
	}
	return wrong.Err()
}

// Untold reports whether files declare checks, and nothing that tells anybody outside of chat, or does anything about
// them.
func (c *Config) Untold() bool {
	all, _ := c.loadEach(func(string) bool { return false })
	acts := func(a Action) bool {
		return a.Webhook != "" || a.Run != "" || a.Task != "" || slices.ContainsFunc(a.Notify, func(name string) bool {
			return slices.ContainsFunc(all.Contacts, func(x Contact) bool { return x.Name == name && !x.InChat() })
		})
	}
	return len(all.HostTasks) > 0 && !slices.ContainsFunc(all.Actions, acts)
}

// InChat reports whether it is told in chat; the zero Contact is the first channel.
func (c *Contact) InChat() bool { return c.Mail == "" && len(c.Command) == 0 && c.Webhook == "" }

// Contact gives one by its name.
func (c *Catalog) Contact(name string) (Contact, bool) {
	x, ok := c.contacts[name]
	return x, ok
}

// ContactsOf gives who an action tells, of those alone that are named (nil: all); the zero Contact is the first
// channel.
func (c *Catalog) ContactsOf(name string, only []string) []Contact {
	if name == "" {
		return []Contact{{}}
	}
	for _, a := range c.Rules {
		if a.Name != name {
			continue
		}
		var out []Contact
		for _, n := range a.Notify {
			if only == nil || slices.Contains(only, n) {
				out = append(out, c.contacts[n])
			}
		}
		if out == nil && len(a.Notify) > 0 {
			return c.ContactsOf(name, nil) // who was meant is no longer told by it; somebody should hear it
		}
		return out
	}
	return []Contact{{}} // the action is gone; somebody should hear it all the same
}
