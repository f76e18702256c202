package main

import "strings"

// nodeShown gives the name of this node, where there are several.
func (a *app) nodeShown() string {
	if !a.db.Shared() {
		return ""
	}
	return a.db.Node().Name
}

// pagesAt gives the address of the pages: what people are told of, else where this node listens; "" when it does not.
func (a *app) pagesAt() string {
	if a.conf.Listen == "" {
		return ""
	}
	if a.conf.HTTP.URL != "" {
		return strings.TrimSuffix(a.conf.HTTP.URL, "/")
	}
	addr, _ := a.listens.Load().(string)
	if addr == "" {
		return ""
	}
	if a.conf.HTTP.TLS.Cert != "" {
		return "https://" + addr
	}
	return "http://" + addr
}
