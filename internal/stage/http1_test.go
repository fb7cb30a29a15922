package stage_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stage"
)

// What a request says of HTTP/1.1 is the last word of it, and of the response
// that a transport made of it.
func TestHTTP1(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "https://a.test/", nil)
	if stage.HTTP1Wanted(r) || stage.HTTP1Wanted(nil) || stage.HTTP1Offered(nil) {
		t.Error("wanted or offered by nobody")
	}
	over2 := func(r *http.Request) *http.Response { return &http.Response{ProtoMajor: 2, Request: r} }
	if stage.HTTP1Offered(over2(nil)) || stage.HTTP1Offered(over2(r)) {
		t.Error("offered by a transport that knows nothing of it")
	}
	offered := stage.OfferHTTP1(r)
	if !stage.HTTP1Offered(over2(offered)) || stage.HTTP1Wanted(offered) {
		t.Error("not offered, or wanted")
	}
	if stage.HTTP1Offered(&http.Response{ProtoMajor: 1, Request: offered}) {
		t.Error("offered where it is what was used")
	}
	wanted := stage.WantHTTP1(offered)
	if !stage.HTTP1Wanted(wanted) || stage.HTTP1Offered(over2(wanted)) || stage.HTTP1Wanted(r) {
		t.Error("not wanted, or still offered, or wanted of the old request")
	}
}
