package clienttest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

func TestStrayTicket(t *testing.T) {
	ticket := StrayTicket(t, "alice@A.EXAMPLE", "HTTP/app.example", fakekdc.WithLifetime(time.Hour, 0), fakekdc.WithEtypes(fakekdc.AES128SHA256))
	if ticket.Client() != "alice@A.EXAMPLE" || ticket.SPN() != "HTTP/app.example@A.EXAMPLE" || ticket.Etype() != fakekdc.AES128SHA256 {
		t.Errorf("ticket %v of etype %d", ticket, ticket.Etype())
	}
	if left := time.Until(ticket.EndTime()); left > time.Hour || left < 55*time.Minute {
		t.Errorf("ends in %s", left)
	}
	if a, b := StrayTicket(t, "alice", "HTTP/localhost"), StrayTicket(t, "alice", "HTTP/localhost"); a.Client() == b.Client() {
		t.Errorf("the same realm twice: %s", a.Client())
	}
	for _, bad := range [][2]string{{"", "HTTP/localhost"}, {"alice@A/B", "HTTP/localhost"}, {"alice@A.EXAMPLE", "HTTP/localhost@B.EXAMPLE"}, {"alice", "alice"}} {
		b := &tb{}
		b.run(func() { StrayTicket(b, bad[0], bad[1]) })
		if !strings.HasPrefix(b.failed, "clienttest: ") {
			t.Errorf("%q: failed with %q", bad, b.failed)
		}
	}
}

// TestTicket: what was made without an exchange is taken by a service.
func TestTicket(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	in, err := kerberos.NewInitiator(minter{r, "alice"}, kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sc, err := in.Initiate(t.Context(), middleware.Target{Host: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := sc.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := fakeweb.New(r, "HTTP/localhost", fakeweb.Options{})
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Authorization", "Negotiate "+base64.StdEncoding.EncodeToString(token))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if w.Code != http.StatusOK || w.Body.String() != "hello alice@"+r.Name()+"\n" {
		t.Errorf("%d: %q", w.Code, w.Body)
	}
	if tgt := Ticket(t, r, "alice", "krbtgt/"+r.Name()); tgt.SPN() != fmt.Sprintf("krbtgt/%[1]s@%[1]s", r.Name()) {
		t.Errorf("ticket-granting ticket %v", tgt)
	}
	if n := len(r.Exchanges()); n != 0 {
		t.Errorf("%d exchanges", n)
	}
}

func TestSecurityContext(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/app.example"))
	for _, verified := range []bool{false, true} {
		sc := SecurityContext(t, r, "alice", "https://app.example:8443/x", verified)
		if sc.Verified() != verified || sc.Target().HostPort() != "app.example:8443" {
			t.Errorf("verified %v: target %+v", sc.Verified(), sc.Target())
		}
		req := middleware.WithSecurity(httptest.NewRequest(http.MethodGet, "/", nil), sc)
		if middleware.SecurityOf(req) != sc {
			t.Error("the request does not carry it")
		}
	}
	if n := len(r.Exchanges()); n != 0 {
		t.Errorf("%d exchanges", n)
	}
}
