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
	}
	want := []string{
		"any", "AS", "TGS", "other",
		"AS/udp alice@A for krbtgt/A@A: aes256-cts-hmac-sha1-96",
		"TGS/tcp alice@A for HTTP/x@A: KRB_AP_ERR_SKEW [delay]",
		"other/udp  for : no ticket",
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
