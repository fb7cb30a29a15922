package sanitize_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

// trusting is what mutual does with a response whose connection is trusted.
func trusting(next kerbchain.Next) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		out, call := middleware.Begin(r)
		resp, err := next(out)
		if err == nil {
			call.Trust(resp)
		}
		return resp, err
	}
}

// A response that its connection speaks for is kept whole; the request that it
// names speaks for no other.
func TestTrusted(t *testing.T) {
	closed := 0
	stage := sanitize.New(sanitize.Options{})
	reply := func(r *http.Request) (*http.Response, error) { return evil(r, 500, &closed), nil }
	resp, err := kerbchain.Chain(stage, trusting)(reply)(httptest.NewRequest(http.MethodGet, "http://web.test/", nil))
	if err != nil || closed != 0 || resp.Header.Get("Location") == "" || !middleware.Trusted(resp.Request) {
		t.Fatalf("got error %v, body closed %d times, header %v, want it kept", err, closed, resp.Header)
	}
	again := resp.Request.Clone(resp.Request.Context())
	if resp, err = stage(reply)(again); err != nil || closed != 1 || middleware.Trusted(resp.Request) {
		t.Errorf("sent again: got error %v, body closed %d times, want it closed once", err, closed)
	}
	if _, err = kerbchain.Chain(stage, trusting)(reply)(again); err != nil || closed != 1 {
		t.Errorf("sent again, and trusted: got error %v, body closed %d times, want it kept", err, closed)
	}
}

// proven is a context that has verified a response.
type proven struct{}

func (proven) Step(context.Context, []byte) ([]byte, error) { return nil, nil }
func (proven) Verified() bool                               { return true }
func (proven) Target() middleware.Target                    { return middleware.Target{} }

// What an earlier response proved is said of no other, whatever the transport names
// as its request: it is emptied, and the application is not told that it is proved.
func TestEarlierProof(t *testing.T) {
	earlier := middleware.WithSecurity(httptest.NewRequest(http.MethodGet, "http://web.test/", nil), proven{})
	for _, status := range []int{200, 500} {
		closed := 0
		resp, err := sanitize.New(sanitize.Options{})(func(*http.Request) (*http.Response, error) {
			return evil(earlier, status, &closed), nil
		})(httptest.NewRequest(http.MethodGet, "http://web.test/", nil))
		if err != nil || (closed == 1) != (status == 500) {
			t.Errorf("status %d: body closed %d times, %v", status, closed, err)
		}
		if sc := middleware.SecurityOf(resp.Request); sc != nil {
			t.Errorf("status %d: said to be of %v", status, sc)
		}
	}
}
