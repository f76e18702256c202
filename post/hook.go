package post

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/cafile"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Headers of a webhook, as Standard Webhooks names them (https://www.standardwebhooks.com/).
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp" // seconds since 1970, of this try
	HeaderSignature = "webhook-signature" // v1,BASE64 of HMAC-SHA256 over ID.TIMESTAMP.BODY; only with a secret
)

// secretPrefix stands before a secret that is in base64.
const secretPrefix = "whsec_"

// maxAnswer is how much of an answer is read: its text is of no use, and a connection may be used again after it.
const maxAnswer = 64 << 10

// Hook is a webhook.
type Hook struct {
	url    string
	secret []byte // nil: it is not signed
	http   *http.Client
}

var _ Sender = (*Hook)(nil)

// plainHooks serves all webhooks that have no authority of their own.
var plainHooks = &http.Client{Timeout: Timeout, CheckRedirect: noRedirect}

// noRedirect: what was signed for one receiver is not carried to another.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// NewHook makes one. Its secret signs; "": nothing does. ca is a PEM file of who signed the receiver's certificate; "":
// the system's. The error names the keys to, secret and ca.
func NewHook(address string, secret clipboard.Secret, ca string) (*Hook, error) {
	h := &Hook{url: address, http: plainHooks}
	var wrong mistake.List
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		wrong.At("to", "is no URL; it must be like https://hooks.example.org/jarvis")
	}
	if secret != "" {
		h.secret = []byte(secret)
		if b64, ok := strings.CutPrefix(string(secret), secretPrefix); ok {
			key, err := base64.StdEncoding.DecodeString(b64)
			if err != nil {
				wrong.At("secret", "begins with %s, and the rest is not base64", secretPrefix)
			}
			h.secret = key
		}
		if len(h.secret) < 16 {
			wrong.At("secret", "has less than 16 bytes; make one with `openssl rand -hex 32`")
		}
	}
	pool, err := cafile.Pool("ca", ca)
	wrong.Add(err)
	if pool != nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		h.http = &http.Client{Timeout: Timeout, CheckRedirect: noRedirect, Transport: t}
	}
	return h, wrong.Err()
}

// Send is Sender. The receiver took it when it answers 2xx.
func (h *Hook) Send(ctx context.Context, m Message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(m.Body))
	if err != nil {
		return errors.New("its URL is not a valid one") // the error would hold it, and it may be a secret
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "jarvis")
	req.Header.Set(HeaderID, m.ID)
	req.Header.Set(HeaderTimestamp, now)
	if h.secret != nil {
		req.Header.Set(HeaderSignature, Signature(h.secret, m.ID, now, m.Body))
	}
	res, err := h.http.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // without the URL
		}
		return fmt.Errorf("the webhook: %w", plain.Error(err))
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer))
	switch {
	case res.StatusCode/100 == 2:
		return nil
	case res.StatusCode/100 == 4 && !ofAll(res.StatusCode):
		return fmt.Errorf("the webhook answered %d %s: %w", res.StatusCode, http.StatusText(res.StatusCode), ErrRefused)
	}
	return fmt.Errorf("the webhook answered %d %s", res.StatusCode, http.StatusText(res.StatusCode))
}

// ofAll reports whether a refusal is not of this message, but of all: who we are, where we ask, or how often.
func ofAll(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return false
}

// Signature is the value of HeaderSignature.
func Signature(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Try connects as Send does, sends nothing, and says what it reached.
func (h *Hook) Try(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	u, err := url.Parse(h.url)
	if err != nil {
		return "", fmt.Errorf("the address of the webhook: %w", err)
	}
	var conn net.Conn
	if u.Scheme == "https" {
		d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}
		if t, ok := h.http.Transport.(*http.Transport); ok {
			d.Config = t.TLSClientConfig.Clone()
		}
		conn, err = d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")))
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")))
	}
	if err != nil {
		return "", fmt.Errorf("reach %s: %w", u.Hostname(), plain.Error(err))
	}
	return u.Hostname() + " is reached; nothing was sent", conn.Close()
}
