//go:build !race

package client_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A light context costs one allocation, and takes every answer.
type light struct {
	target   middleware.Target
	verified atomic.Bool
}

func (c *light) Target() middleware.Target { return c.target }
func (c *light) Verified() bool            { return c.verified.Load() }

func (c *light) Step(_ context.Context, token []byte) ([]byte, error) {
	if token == nil {
		return lightToken, nil
	}
	c.verified.Store(true)
	return nil, nil
}

var lightToken = make([]byte, 600)

// What the standard stack itself allocates for a call that is signed at once: without the token, its
// verification (see package kerberos) and the transport.
func TestSignedCallAllocations(t *testing.T) {
	const most, mostBytes = 29, 6656
	stack, err := client.NewStack(client.Options{
		Initiator: middleware.InitiatorFunc(func(_ context.Context, t middleware.Target) (middleware.SecurityContext, error) {
			return &light{target: t}, nil
		}),
		Preemptive: preemptive.Always(),
	})
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Www-Authenticate": {"Negotiate oRQw"}}
	next := stack.Chain()(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: header, Body: http.NoBody, Request: r}, nil
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	call := func() {
		resp, err := next(r)
		if err != nil || !middleware.SecurityOf(resp.Request).Verified() {
			t.Fatal(resp, err)
		}
	}
	n := alloctest.Allocations(100, most, call)
	if t.Log(n); n > most {
		t.Errorf("%v allocations, want %d at most", n, most)
	}
	if n := alloctest.Bytes(100, mostBytes, call); n > mostBytes {
		t.Errorf("%d bytes, want %d at most", n, mostBytes)
	} else {
		t.Log(n, "bytes")
	}
}

// What all five stages allocate for a request that needs none of them: the four that ask
// who signed open a call each, whose marks and copies of the request are one piece for the
// outermost and one for the others, and negotiate watches for a connection that must not
// be used unsigned, which takes another such piece, and its hook. One more is the response.
func TestBareCallAllocations(t *testing.T) {
	const most = 2 + 2 + 1
	header := http.Header{"Content-Type": {"text/plain"}}
	next := idle(t).Chain()(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: header, Body: http.NoBody, Request: r}, nil
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	n := alloctest.Allocations(100, most, func() {
		if resp, err := next(r); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
	})
	if t.Log(n); n > most {
		t.Errorf("%v allocations, want %d at most", n, most)
	}
}
