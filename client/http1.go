package client

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// http1Origins bounds the origins that are remembered to need HTTP/1.1.
const http1Origins = 1024

// http1Fallback speaks HTTP/2, and HTTP/1.1 to servers that do not authenticate over
// HTTP/2: http.sys (IIS) resets the stream with HTTP_1_1_REQUIRED (RFC 9113 section 7),
// others keep answering 401. A request is sent again once, if its body can be, and the
// origin is remembered.
type http1Fallback struct {
	any   http.RoundTripper // whatever protocol the server chooses
	plain http.RoundTripper // HTTP/1.1

	origins lru.Map[string, struct{}] // those that need HTTP/1.1
}

// withHTTP1 returns wire(t), with the fallback to HTTP/1.1 if t may choose HTTP/2 by
// itself. A TLS dialer of t's own makes that choice.
func withHTTP1(t *http.Transport, wire func(*http.Transport) http.RoundTripper) http.RoundTripper {
	if !choosesHTTP2(t) {
		return wire(t)
	}
	return &http1Fallback{any: wire(t), plain: wire(http1Only(t))}
}

func choosesHTTP2(t *http.Transport) bool {
	switch {
	//lint:ignore SA1019 it still counts
	case t.DialTLSContext != nil, t.DialTLS != nil:
		return false
	case t.Protocols != nil:
		return t.Protocols.HTTP2()
	}
	return t.TLSNextProto == nil || t.TLSNextProto["h2"] != nil
}

// http1Only returns a transport like t that never speaks HTTP/2.
func http1Only(t *http.Transport) *http.Transport {
	t = t.Clone()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	// This removes an HTTP/2 implementation that was configured.
	t.TLSNextProto = nil
	if t.TLSClientConfig != nil {
		t.TLSClientConfig.NextProtos = slices.DeleteFunc(slices.Clone(t.TLSClientConfig.NextProtos), func(p string) bool { return p == "h2" })
	}
	return t
}

// RoundTrip sends r, over HTTP/1.1 if r or what is known of its origin says so.
func (f *http1Fallback) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil || !strings.EqualFold(r.URL.Scheme, "https") {
		return f.any.RoundTrip(r)
	}
	key := middleware.TargetOfURL(r.URL).Origin()
	if stage.HTTP1Wanted(r) {
		resp, err := f.plain.RoundTrip(r)
		if err == nil && resp.StatusCode != http.StatusUnauthorized {
			f.remember(key)
		}
		return resp, err
	}
	if _, needs := f.origins.Get(key); needs {
		return f.plain.RoundTrip(r)
	}
	return f.either(r, key)
}

// either sends r, and sends it again over HTTP/1.1 if the server demands that.
func (f *http1Fallback) either(r *http.Request, key string) (*http.Response, error) {
	bodies, err := replay.New(r, replay.Options{Limit: -1})
	if err != nil {
		return nil, err
	}
	defer func() { _ = bodies.Close() }() // these bodies were not sent, and an error is returned already
	sent, err := bodies.Next()
	if err != nil {
		return nil, err
	}
	resp, err := f.any.RoundTrip(sent)
	if err != nil && needsHTTP1(err) {
		again, berr := bodies.Next()
		if berr != nil {
			return nil, &middleware.Error{
				Stage: "client", Kind: middleware.ErrBodyNotReplayable, Host: stage.Host(r),
				Err: errors.Join(err, berr), Hint: "the server wants HTTP/1.1: set Request.GetBody, or Protocols of the transport",
			}
		}
		f.remember(key)
		middleware.Emit(r.Context(), middleware.FallbackEvent{Host: stage.Host(r), Err: err})
		sent = again
		resp, err = f.plain.RoundTrip(again)
	}
	if err != nil {
		return nil, err
	}
	if resp.Request == sent {
		resp.Request = r
	}
	if resp.ProtoMajor >= 2 && resp.Request != nil {
		resp.Request = stage.OfferHTTP1(resp.Request)
	}
	return resp, nil
}

// CloseIdleConnections closes those of both protocols.
func (f *http1Fallback) CloseIdleConnections() {
	closeIdle(f.any)
	closeIdle(f.plain)
}

// remember notes that an origin needs HTTP/1.1. If it is forgotten, its next request falls
// back again.
func (f *http1Fallback) remember(key string) { f.origins.Put(key, struct{}{}, http1Origins) }

// A streamError has the fields of http2.StreamError, so that errors.As converts the one
// that net/http bundles into it.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return fmt.Sprintf("stream %d: code %d", e.StreamID, e.Code) }

// errHTTP11Required is the error code HTTP_1_1_REQUIRED of RFC 9113 section 7.
const errHTTP11Required = 0xd

// needsHTTP1 reports whether the server ended a stream or a connection to demand
// HTTP/1.1. The error for a connection, and all errors of golang.org/x/net/http2, are
// only known by their text.
func needsHTTP1(err error) bool {
	if e, ok := errors.AsType[streamError](err); ok {
		return e.Code == errHTTP11Required
	}
	text := err.Error()
	return strings.Contains(text, "; HTTP_1_1_REQUIRED") || strings.Contains(text, "ErrCode=HTTP_1_1_REQUIRED")
}
