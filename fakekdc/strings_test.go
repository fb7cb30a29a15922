package fakekdc

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestStrings(t *testing.T) {
	got := []string{
		Any.String(), AS.String(), TGS.String(), Other.String(),
		Exchange{Kind: AS, Network: "udp", Client: "alice@A", Server: "krbtgt/A@A", Etype: AES256SHA1}.String(),
		Exchange{Kind: TGS, Network: "tcp", Client: "alice@A", Server: "HTTP/x@A", Code: krb.CodeSkew, Fault: "delay"}.String(),
		Exchange{Kind: Other, Network: "udp"}.String(),
		WebRecord{Method: "GET", URI: "/", Status: 401}.String(),
		WebRecord{Method: "PUT", URI: "/x", Scheme: "Negotiate", Token: 700, Status: 204, Caller: Caller{Name: "alice@A"}}.String(),
		WebRecord{Method: "GET", URI: "/", Scheme: "Negotiate", Token: 1, Status: 401, Reason: "ticket"}.String(),
	}
	want := []string{
		"any", "AS", "TGS", "other",
		"AS/udp alice@A for krbtgt/A@A: aes256-cts-hmac-sha1-96",
		"TGS/tcp alice@A for HTTP/x@A: KRB_AP_ERR_SKEW [delay]",
		"other/udp  for : no ticket",
		"GET /: 401",
		"PUT /x [Negotiate, 700 bytes]: 204 alice@A",
		"GET / [Negotiate, 1 bytes]: 401 (ticket)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestResetExchanges(t *testing.T) {
	r := Start(t)
	r.answer(nil, "udp", nil)
	r.ResetExchanges()
	if n := len(r.Exchanges()); n != 0 {
		t.Errorf("%d exchanges, want 0", n)
	}
}

// TestRecordsOfServices: a handler that serves for long forgets the oldest.
func TestRecordsOfServices(t *testing.T) {
	r := Start(t, WithService("HTTP/localhost"))
	h := r.Handler("HTTP/localhost", WebOptions{})
	h.records = make([]*WebRecord, maxRecords)
	for i := range h.records {
		h.records[i] = &WebRecord{Status: i}
	}
	q := webRequest(t)
	rec := h.begin(q, &conn{number: 5})
	got := h.Requests()
	if len(got) != maxRecords*3/4+1 || got[0].Status != maxRecords/4 || got[len(got)-1] != *rec || rec.Conn != 5 {
		t.Errorf("%d records from %v to %v", len(got), got[0], got[len(got)-1])
	}
}
