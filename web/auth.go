package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/access"
)

type (
	peerKey   struct{}
	callerKey struct{}
)

// viaSocket is the way in of people on this machine.
const viaSocket = "socket"

// caller is who sends a request.
type caller struct {
	person access.Person
	asker  string // how they are called where nobody vouches for them
	via    string // "socket", "api/192.0.2.1"
	free   bool   // not counted
}

// callerOf gives the zero caller, a stranger, where authenticate did not run.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// withPeer notes who opened a connection to the socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if uc, ok := c.(*net.UnixConn); ok {
		return context.WithValue(ctx, peerKey{}, peer(uc))
	}
	return ctx
}

// peer asks the kernel who opened the connection (unix(7), SO_PEERCRED); "" when it does not say.
func peer(uc *net.UnixConn) string {
	raw, err := uc.SyscallConn()
	if err != nil {
		return ""
	}
	name := ""
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		name = strconv.Itoa(int(cred.Uid))
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
	})
	return name
}

// local gives who asks over the socket. Whoever runs the server, and root, may do everything: they could read the
// database, too.
func (s *Server) local(login string) caller {
	c := caller{asker: login, via: viaSocket}
	if login == "" {
		return c
	}
	me := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	c.free = login == me || login == "root" // a limit would stop nothing that they do
	c.person = s.Access.Who(access.Identity{Network: "local", Account: login})
	if c.person.Name == "" && c.free {
		c.person = access.Person{Name: login, Roles: []string{access.Admin}, Unnamed: true, Operator: true}
	}
	return c
}

// authenticate puts the caller into the request's context. Over the address, nobody gets in without a token, and nobody
// has more under way than their share. A good token is looked up first: what others do wrong is not its owner's fault.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if login, ok := r.Context().Value(peerKey{}).(string); ok {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, s.local(login))))
			return
		}
		addr := s.proxies.client(r)
		c := caller{asker: addr.String(), via: "api/" + addr.String()}
		scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") { // in any case of letters (RFC 9110 §11.1)
			w.Header().Set("WWW-Authenticate", `Bearer realm="jarvis"`)
			s.problem(w, r, &Problem{Status: http.StatusUnauthorized, Kind: "denied", Detail: "this needs a token", Hint: "`jarvis token new NAME` makes one; send it as `Authorization: Bearer TOKEN`"})
			return
		}
		p, err := s.bearer(r.Context(), strings.TrimSpace(secret))
		if err != nil {
			s.refuse(w, r, addr, c, err)
			return
		}
		leave, ok := s.requests.take(p.Name)
		if !ok {
			s.problem(w, r, busy(fmt.Sprintf("%d requests of yours are under way", personRequests)))
			return
		}
		defer leave()
		if g, ok := r.Context().Value(guestKey{}).(*guest); ok {
			defer g.serving()()
		}
		if in, ok := r.Body.(*intake); ok {
			in.who = p.Name
			if len(p.Roles) == 0 {
				in.limit = strangerBody
			}
		}
		c.person = p
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// errNoToken is for what the record need not be asked about.
var errNoToken = errors.New("this is no token: one begins with " + access.TokenPrefix)

// maxToken is longer than any token.
const maxToken = 200

// bearer does not ask the record about what cannot be a token: errNoToken.
func (s *Server) bearer(ctx context.Context, secret string) (access.Person, error) {
	if !strings.HasPrefix(secret, access.TokenPrefix) || len(secret) > maxToken {
		return access.Person{}, errNoToken
	}
	return s.Access.Bearer(ctx, secret)
}

// refuse answers a token that stands for nobody, and counts it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, addr netip.Addr, c caller, err error) {
	if !gone(err) {
		s.problem(w, r, s.trouble(fmt.Errorf("look up a token: %w", err)))
		return
	}
	if wait := s.failures.note(addr, access.Record{Who: "stranger " + c.asker, Via: c.via, Line: r.Method + " " + r.URL.Path, Outcome: err.Error()}); wait > 0 {
		s.problem(w, r, tooFast(wait))
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="jarvis", error="invalid_token"`)
	s.problem(w, r, &Problem{Status: http.StatusUnauthorized, Kind: "denied", Detail: err.Error(), Hint: "`jarvis token new NAME` makes a new one"})
}
