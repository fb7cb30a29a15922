package kerberos_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"
	"testing"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// gokrb5Client logs in at the realm with gokrb5.
func gokrb5Client(t testing.TB, realm *fakekdc.Realm) *client.Client {
	t.Helper()
	conf, err := config.NewFromString(realm.Config())
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewWithPassword("alice", realm.Name(), password, conf, client.DisablePAFXFAST(true))
	if err := c.Login(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Destroy)
	return c
}

// warm returns an initiator with a ticket at hand, and a target with a certificate to
// bind to.
func warm(t testing.TB, etype int32) (middleware.Initiator, middleware.Target) {
	t.Helper()
	realm := start(t, fakekdc.WithEtypes(etype))
	o := environment(realm)
	o.Now = nil
	source, err := kerberos.CCache(write(t, "cc", realm.CCache("alice", spn)), o)
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Bindings: kerberos.BindingsRequire})
	if err != nil {
		t.Fatal(err)
	}
	server := realm.Serve(http.NotFoundHandler(), fakekdc.ServerOptions{TLS: true})
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{server.Certificate()}}
	return in, middleware.Target{Host: "localhost", Port: "8443", Secure: true, TLS: state}
}

// header makes what an Authorization header takes.
func header(t testing.TB, in middleware.Initiator, target middleware.Target) (middleware.SecurityContext, http.Header) {
	sc, err := in.Initiate(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	token, err := sc.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := make(http.Header)
	h.Set(stage.Field(target), stage.Value(sc, token))
	return sc, h
}

// BenchmarkHeader is one Authorization header with the ticket at hand: ours, with
// subkey, mutual flag, bindings and base64; gokrb5's, which has neither subkey nor
// mutual flag nor bindings; and what the encryption of a 300-byte authenticator alone
// costs.
func BenchmarkHeader(b *testing.B) {
	for _, etype := range []int32{18, 17, 20, 19} {
		realm := start(b, fakekdc.WithEtypes(etype))
		b.Run(krb.EtypeName(etype)+"/kerbchain", func(b *testing.B) {
			in, target := warm(b, etype)
			b.ReportAllocs()
			for b.Loop() {
				header(b, in, target)
			}
		})
		b.Run(krb.EtypeName(etype)+"/gokrb5", func(b *testing.B) {
			c := gokrb5Client(b, realm)
			r, err := http.NewRequest("GET", "http://localhost/", nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := spnego.SetSPNEGOHeader(c, r, spn); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(krb.EtypeName(etype)+"/crypto", func(b *testing.B) {
			key, err := krb.GenerateKey(etype)
			if err != nil {
				b.Fatal(err)
			}
			plain := make([]byte, 300)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Seal(krb.UsageAPReqAuth, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLookup is a ticket that is at hand.
func BenchmarkLookup(b *testing.B) {
	realm := start(b)
	source, err := kerberos.CCache(write(b, "cc", realm.CCache("alice", spn)), environment(realm))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := source.ServiceTicket(b.Context(), spn); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstUse is 100 goroutines that want the same ticket of a cold
// source at once. It reports the exchanges that this took, per run.
func BenchmarkFirstUse(b *testing.B) {
	realm := start(b)
	path := write(b, "cc", realm.CCache("alice"))
	runs := 0
	for b.Loop() {
		runs++
		source, err := kerberos.CCache(path, environment(realm))
		if err != nil {
			b.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := source.ServiceTicket(b.Context(), spn); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(realm.Count(fakekdc.TGS))/float64(runs), "TGS/op")
}
