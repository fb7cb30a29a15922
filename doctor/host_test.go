package doctor

import "testing"

// TestServiceHost: the host of a service's name, without a port.
func TestServiceHost(t *testing.T) {
	for service, want := range map[string]string{
		"HTTP/www.example.com":                  "www.example.com",
		"HTTP/www.example.com@EXAMPLE.COM":      "www.example.com",
		"HTTP/www.example.com:8080@EXAMPLE.COM": "www.example.com",
		"HTTP/::1":                              "::1",
		"HTTP/2001:db8::1@EXAMPLE.COM":          "2001:db8::1",
	} {
		x := &examination{report: Report{Service: service}}
		if got := x.serviceHost(); got != want {
			t.Errorf("%s: %q, want %q", service, got, want)
		}
	}
}
