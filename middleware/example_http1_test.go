package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
)

// either is a transport that speaks HTTP/2, and HTTP/1.1 when asked to.
func either(r *http.Request) (*http.Response, error) {
	if middleware.HTTP1Wanted(r) {
		return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, Body: http.NoBody, Request: r}, nil
	}
	resp := &http.Response{StatusCode: http.StatusUnauthorized, ProtoMajor: 2, Body: http.NoBody, Request: r}
	resp.Request = middleware.OfferHTTP1(r)
	return resp, nil
}

// A stage asks for HTTP/1.1 where the transport heeds it.
func ExampleWantHTTP1() {
	stage := func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err != nil || resp.StatusCode != http.StatusUnauthorized || !middleware.HTTP1Offered(resp) {
				return resp, err
			}
			return next(middleware.WantHTTP1(r))
		}
	}
	resp, err := stage(either)(httptest.NewRequest(http.MethodGet, "https://www.example.com/", nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.StatusCode)
	// Output:
	// 200
}

func ExampleHTTP1Wanted() {
	r := httptest.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	fmt.Println(middleware.HTTP1Wanted(r), middleware.HTTP1Wanted(middleware.WantHTTP1(r)))
	// Output:
	// false true
}

func ExampleOfferHTTP1() {
	r := httptest.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	resp := &http.Response{ProtoMajor: 2, Request: r}
	fmt.Println(middleware.HTTP1Offered(resp))
	resp.Request = middleware.OfferHTTP1(r)
	fmt.Println(middleware.HTTP1Offered(resp))
	// Output:
	// false
	// true
}

func ExampleHTTP1Offered() {
	resp, err := either(httptest.NewRequest(http.MethodGet, "https://www.example.com/", nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.StatusCode, middleware.HTTP1Offered(resp))
	// Output:
	// 401 true
}
