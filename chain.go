// Package kerbchain puts stages around an HTTP transport. Most programs begin with
// package client, whose New returns an [http.Client] that speaks Kerberos.
//
// A stage is a [Middleware], a func(Next) Next. It sees one request on its way out
// and that request's response on its way back. This package only composes them:
// [Chain] joins stages, [Wrap] puts them around a transport, [When] applies one to
// some requests. The stages that speak Kerberos (HTTP Negotiate, RFC 4559) are the
// packages below middleware.
package kerbchain

import (
	"net/http"
	"slices"
)

// Next sends one request and returns its response. It obeys the contract of
// [http.RoundTripper]: the request is not changed, its body is closed on every
// path, and the result is a response or an error, never both. A caller closes
// the response's body.
//
// A Next is safe for concurrent use.
type Next func(*http.Request) (*http.Response, error)

// RoundTrip calls n, so that a chain is an [http.RoundTripper].
func (n Next) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

// Middleware wraps a Next. It runs once for each chain that it is part of, not once
// for each request: what it allocates is shared by all requests of that chain, which
// is called a wiring in this module. The Next it returns must be safe for concurrent
// use.
type Middleware func(Next) Next

// Chain joins stages into one. The first is outermost: it sees a request first
// and its response last. Nil stages are skipped, and a chain of none passes
// everything through. The slice is copied, and the result may be wired any
// number of times.
func Chain(stages ...Middleware) Middleware {
	stages = slices.Clone(stages)
	return func(next Next) Next {
		for _, stage := range slices.Backward(stages) {
			if stage != nil {
				next = stage(next)
			}
		}
		return next
	}
}

// Wrap returns rt behind the given stages, the first outermost. A nil rt means a
// transport of its own ([NewTransport]). Do not give [http.DefaultTransport] to
// stages that authenticate: a server may authenticate the connection, and serves
// every other request of the program that goes over it as the same user.
//
// The result has a method CloseIdleConnections if rt has one.
func Wrap(rt http.RoundTripper, stages ...Middleware) http.RoundTripper {
	if rt == nil {
		rt = NewTransport()
	}
	next := Chain(stages...)(rt.RoundTrip)
	if c, ok := rt.(idleCloser); ok {
		return transport{next, c}
	}
	return next
}

type idleCloser interface{ CloseIdleConnections() }

// A transport has the CloseIdleConnections of its base, for which [http.Client]
// looks.
type transport struct {
	Next
	idleCloser
}

// When applies m to the requests that match; the others skip it. m is wired once, and
// so keeps what it remembers between requests. A nil m does nothing. match must be
// safe for concurrent use, and must not change its request or read the body.
func When(match func(*http.Request) bool, m Middleware) Middleware {
	if m == nil {
		return Chain()
	}
	return func(next Next) Next {
		with := m(next)
		return func(r *http.Request) (*http.Response, error) {
			if match(r) {
				return with(r)
			}
			return next(r)
		}
	}
}

// Adapt turns a decorator of [http.RoundTripper], the form in which most other
// libraries ship their transports, into a stage.
func Adapt(decorate func(http.RoundTripper) http.RoundTripper) Middleware {
	if decorate == nil {
		return Chain()
	}
	return func(next Next) Next {
		return decorate(next).RoundTrip
	}
}
