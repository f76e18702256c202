package plain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Why says for people what the system or the network says, without words of Go: no "dial tcp", no "stat …: no such file
// or directory". What wraps such an error goes; one that is neither stays as it is. Nil is "".
//
//	stat /nowhere/sms: no such file or directory        ──► /nowhere/sms is not there
//	Post "https://x/": dial tcp 192.0.2.1:443: connect: connection refused ──► 192.0.2.1:443: connection refused
//	context deadline exceeded                           ──► no answer in time
func Why(err error) string {
	var path *fs.PathError
	var link *os.LinkError
	var dns *net.DNSError
	var op *net.OpError
	var asked *url.Error
	var program *exec.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &path):
		return ofFile(path.Path, path.Err)
	case errors.As(err, &link):
		return ofFile(link.New, link.Err)
	case errors.As(err, &program):
		return ofFile(program.Name, program.Err)
	case errors.As(err, &dns):
		return ofName(dns)
	case late(err):
		return at(err) + "no answer in time"
	case errors.Is(err, context.Canceled):
		return "it was stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return at(err) + "connection refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return at(err) + "it closed the connection"
	case errors.As(err, &op):
		return at(err) + inner(op.Err)
	case errors.As(err, &asked):
		return asked.Err.Error()
	}
	return err.Error()
}

// Error is an error that says what Why does, and is what it was to errors.Is and errors.As.
func Error(err error) error {
	if err == nil || Why(err) == err.Error() {
		return err
	}
	return &inWords{Why(err), err}
}

type inWords struct {
	text string
	err  error
}

func (e *inWords) Error() string { return e.text }
func (e *inWords) Unwrap() error { return e.err }

// ofFile says what is wrong with a file.
func ofFile(name string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		return name + " is not there"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not use " + name
	}
	return fmt.Sprintf("%s: %v", name, err)
}

// ofName says what is wrong with the name of a host.
func ofName(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "there is no host " + err.Name
	case err.IsTimeout:
		return "the name server gives no answer in time about " + err.Name
	}
	return fmt.Sprintf("the name server does not tell of %s: %s", err.Name, err.Err)
}

// late reports whether an error is a time-out, whoever set it.
func late(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// at names the other end of a connection, where it is known.
func at(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil && op.Addr.String() != "" {
		return op.Addr.String() + ": "
	}
	return ""
}

// inner gives the words of the system.
func inner(err error) string {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), "tls: ")
}
