package fakeweb

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// newClient makes a client with a ticket of alice's.
func newClient(tb testing.TB, r *fakekdc.Realm, s *Server) *plainclient.Client {
	tb.Helper()
	tr := s.Transport()
	tb.Cleanup(tr.CloseIdleConnections)
	return &plainclient.Client{TB: tb, Now: r.Now, Transport: tr, Ticket: minted(tb, r, "alice", "HTTP/localhost")}
}

// minted is a ticket made without an exchange.
func minted(tb testing.TB, r *fakekdc.Realm, user, service string) *krb.Ticket {
	tb.Helper()
	var services []string
	if !strings.HasPrefix(service, "krbtgt/") {
		services = append(services, service)
	}
	return plainclient.TicketFrom(tb, r.CCache(user, services...), service)
}

// modified is a ticket of alice's for HTTP/localhost, made while the service was another.
func modified(tb testing.TB, r *fakekdc.Realm, change, back fakekdc.PrincipalOption) *krb.Ticket {
	tb.Helper()
	if err := r.Modify("HTTP/localhost", change); err != nil {
		tb.Fatal(err)
	}
	t := minted(tb, r, "alice", "HTTP/localhost")
	if err := r.Modify("HTTP/localhost", back); err != nil {
		tb.Fatal(err)
	}
	return t
}

var allEtypes = []int32{fakekdc.AES256SHA1, fakekdc.AES128SHA1, fakekdc.AES256SHA384, fakekdc.AES128SHA256, fakekdc.RC4HMAC}

const codeInappChecksum = 50 // KRB_AP_ERR_INAPP_CKSUM

func webRequest(tb testing.TB) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://localhost/", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}
