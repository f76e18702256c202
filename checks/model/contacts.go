package model

// ContactsOf gives who an action tells; the zero Contact is the first channel.
func (c *Catalog) ContactsOf(name string) []Contact {
	if name == "" {
		return []Contact{{}}
	}
	for _, a := range c.Rules {
		if a.Name != name {
			continue
		}
		var out []Contact
		for _, n := range a.Notify {
			x := c.contacts[n]
			x.Name = ""
			out = append(out, x)
		}
		return out
	}
	return []Contact{{}} // the action is gone; somebody should hear it all the same
}
