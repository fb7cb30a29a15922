package stagetest

import (
	"io"
	"net/http"
	"strings"
)

// A shape is a kind of request that a caller may send.
type shape struct {
	name   string
	header bool // its header matters
	make   func(l *lab) *http.Request
}

func shapes() []shape {
	build := func(l *lab, method, url string, body io.ReadCloser, length int64) *http.Request {
		r, err := http.NewRequest(method, url, nil)
		if err != nil {
			panic(err)
		}
		r.Body = body
		r.ContentLength = length
		r.Header.Add("X-Several", "one")
		r.Header.Add("X-Several", "two")
		return r
	}
	const plain, secure = "http://origin.example/path?query=1", "https://user@origin.example:8443/path"
	whole := int64(len(payload))
	return []shape{
		{"GET", false, func(l *lab) *http.Request { return build(l, "GET", plain, nil, 0) }},
		{"GET over TLS", false, func(l *lab) *http.Request { return build(l, "GET", secure, nil, 0) }},
		{"GET without Header", true, func(l *lab) *http.Request {
			r := build(l, "GET", plain, nil, 0)
			r.Header = nil
			return r
		}},
		{"GET with the caller's own Authorization", true, func(l *lab) *http.Request {
			r := build(l, "GET", plain, nil, 0)
			r.Header.Set("Authorization", "Basic b3duOm93bg==")
			r.Header.Set("Proxy-Authorization", "Basic b3duOm93bg==")
			return r
		}},
		{"POST with NoBody", false, func(l *lab) *http.Request { return build(l, "POST", plain, http.NoBody, 0) }},
		{"POST with GetBody", false, func(l *lab) *http.Request {
			r := build(l, "POST", plain, l.newRequestBody(), whole)
			r.GetBody = func() (io.ReadCloser, error) { return l.newRequestBody(), nil }
			return r
		}},
		{"POST of a stream", false, func(l *lab) *http.Request { return build(l, "POST", secure, l.newRequestBody(), whole) }},
		{"POST of a stream of unknown length", false, func(l *lab) *http.Request {
			r := build(l, "POST", plain, l.newRequestBody(), -1)
			r.Trailer = http.Header{"X-Sum": nil}
			return r
		}},
		{"PUT with GetBody that fails", false, func(l *lab) *http.Request {
			r := build(l, "PUT", plain, l.newRequestBody(), whole)
			r.GetBody = func() (io.ReadCloser, error) { return nil, errGetBody }
			return r
		}},
		{"GET with an odd URL", false, func(l *lab) *http.Request {
			return build(l, "GET", "HTTP://"+strings.ToUpper("origin.example")+":80", nil, 0)
		}},
	}
}
