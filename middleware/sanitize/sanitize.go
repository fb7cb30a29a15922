package sanitize

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
)

// Options are the choices of [New]. The zero value empties every error response
// that was not verified.
type Options struct {
	// Keep names exceptions: a response for which it returns true is passed as
	// it is. It is asked about error responses that were not verified, must be
	// safe for concurrent use, and must neither read the body nor change the
	// response. Nil keeps none.
	Keep func(*http.Response) bool
}

// New returns the stage. It holds no state, and so may be wired any number of
// times. Each response that it empties is reported as a
// [middleware.SanitizedEvent].
//
// The response below is not changed: the caller gets another one.
func New(o Options) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			before := verified(r)
			// The mark of an earlier response is no business of this one.
			resp, err := next(middleware.WithTrust(r, false))
			if err != nil || resp == nil || !isError(resp.StatusCode) || proved(resp, before) || o.Keep != nil && o.Keep(resp) {
				return resp, err
			}
			middleware.Emit(r.Context(), middleware.SanitizedEvent{Host: host(r), Status: resp.StatusCode})
			return empty(resp), nil
		}
	}
}

// KeepWSMan is an [Options.Keep] for WinRM (WS-Management): it keeps what can
// be a SOAP fault, that is status 500 with content of type
// application/soap+xml, or multipart/encrypted where messages are encrypted.
// WinRM reports with such a fault even that a poll timed out. Whoever keeps
// plain faults must not trust their text.
func KeepWSMan(resp *http.Response) bool {
	if resp.StatusCode != http.StatusInternalServerError {
		return false
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return kind == "application/soap+xml" || kind == "multipart/encrypted"
}

func isError(status int) bool {
	return status >= 400 && status != http.StatusUnauthorized && status != http.StatusProxyAuthRequired
}

// empty closes the body of resp and returns what may be left of it.
func empty(resp *http.Response) *http.Response {
	if resp.Body != nil {
		resp.Body.Close() // nothing of it is used, so its error says nothing
	}
	header := make(http.Header)
	for _, name := range []string{"Date", "Server"} {
		if v := resp.Header.Values(name); len(v) > 0 {
			header[name] = slices.Clone(v)
		}
	}
	if v := retryAfter(resp, time.Now()); v != "" {
		header.Set("Retry-After", v)
	}
	return &http.Response{
		Status:     resp.Status,
		StatusCode: resp.StatusCode,
		Proto:      resp.Proto,
		ProtoMajor: resp.ProtoMajor,
		ProtoMinor: resp.ProtoMinor,
		Header:     header,
		Body:       http.NoBody,
		Close:      resp.Close,
		Request:    resp.Request,
		TLS:        resp.TLS,
	}
}

// verified returns the context that says that a response to r was verified, nil
// when none does. Over plain HTTP a proxy that r was signed for is the peer,
// unless r was signed for its origin server too.
func verified(r *http.Request) middleware.SecurityContext {
	sc := middleware.SecurityOf(r)
	if sc == nil {
		if sc = middleware.ProxySecurityOf(r); sc == nil || r.URL == nil || middleware.TargetOf(r.URL).Secure {
			return nil
		}
	}
	if !sc.Verified() {
		return nil
	}
	return sc
}

// proved reports whether resp was verified, by itself or by its connection. A
// context that had verified another response before this call, as one of a
// request that was taken from an earlier response has, says nothing about resp.
func proved(resp *http.Response, before middleware.SecurityContext) bool {
	if middleware.Trusted(resp.Request) {
		return true
	}
	sc := verified(resp.Request)
	if sc == nil || before == nil || reflect.TypeOf(sc) != reflect.TypeOf(before) {
		return sc != nil
	}
	// What cannot be compared is taken for the same.
	return reflect.ValueOf(sc).Comparable() && sc != before
}

func host(r *http.Request) string {
	if r.URL == nil {
		return ""
	}
	return middleware.TargetOf(r.URL).HostPort()
}
