package middleware_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/kerbchain/kerbchain/middleware"
)

func TestTrust(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	trusted := middleware.WithTrust(r, true)
	for name, tc := range map[string]struct {
		r    *http.Request
		want bool
	}{
		"no request":       {nil, false},
		"never said":       {r, false},
		"said no":          {middleware.WithTrust(r, false), false},
		"said yes":         {trusted, true},
		"said yes twice":   {middleware.WithTrust(trusted, true), true},
		"taken back":       {middleware.WithTrust(trusted, false), false},
		"a clone":          {trusted.Clone(trusted.Context()), true},
		"the one with yes": {trusted, true},
	} {
		if got := middleware.Trusted(tc.r); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// The second response bears no proof of its own.
func ExampleWithTrust() {
	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	resp := &http.Response{StatusCode: http.StatusOK, Request: r}

	resp.Request = middleware.WithTrust(resp.Request, true)
	fmt.Println(middleware.Trusted(resp.Request), middleware.SecurityOf(resp.Request))
	// Output:
	// true <nil>
}

func ExampleTrusted() {
	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	fmt.Println(middleware.Trusted(r), middleware.Trusted(nil))
	// Output:
	// false false
}
