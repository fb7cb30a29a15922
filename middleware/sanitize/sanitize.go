package sanitize

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// Options are the choices of [New]. The zero value empties every error response
// that was not verified.
type Options struct {
	// Keep returns true for responses to pass as they are. It is called with error
	// responses that were not verified, must be safe for concurrent use, and must
	// neither read the body nor change the response. Nil keeps none.
	Keep func(*http.Response) bool
}

// New returns the stage. It has no state, and may be wired any number of times. It
// reports each response that it empties as a [middleware.SanitizedEvent].
//
// It does not change the response from below, but returns a new one.
func New(o Options) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			out, call := middleware.Begin(r)
			resp, err := next(out)
			sc := call.Security(resp)
			verified := sc != nil && sc.Verified() || call.Trusted(resp)
			call.End(resp)
			if err != nil || resp == nil || resp.StatusCode < 400 || verified || o.Keep != nil && o.Keep(resp) {
				return resp, err
			}
			middleware.Emit(r.Context(), middleware.SanitizedEvent{Host: stage.Host(r), Status: resp.StatusCode})
			return empty(resp), nil
		}
	}
}

// KeepWSMan is an [Options.Keep] for WinRM (WS-Management): it keeps what can be a
// SOAP fault: status 500 with content of type application/soap+xml, or
// multipart/encrypted where messages are encrypted. WinRM reports even that a poll
// timed out by such a fault. The text of plain faults must not be trusted.
func KeepWSMan(resp *http.Response) bool {
	if resp.StatusCode != http.StatusInternalServerError {
		return false
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return kind == "application/soap+xml" || kind == "multipart/encrypted"
}

// drainLimit is up to how many bytes of a body are read so that its connection
// can be used again.
const drainLimit = 64 << 10

// empty ends the body of resp and returns what may be left of it.
func empty(resp *http.Response) *http.Response {
	// The body is not used, so its errors do not matter.
	_, _ = replay.Drain(resp, drainLimit, replay.DefaultDrainTime)
	names := []string{"Date", "Server"}
	switch resp.StatusCode { // nobody could answer these without the challenges
	case http.StatusUnauthorized:
		names = append(names, "Www-Authenticate")
	case http.StatusProxyAuthRequired:
		names = append(names, "Proxy-Authenticate")
	}
	header := make(http.Header)
	for _, name := range names {
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
