package kerberos_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/testmain"
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

// warm returns an initiator with a ticket at hand, a target with a certificate to
// bind to, and who accepts what it makes.
func warm(t testing.TB, etype int32) (middleware.Initiator, middleware.Target, http.Handler) {
	t.Helper()
	realm := start(t, fakekdc.WithEtypes(etype))
	o := environment(realm)
	o.Now = nil
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice", spn)), o)
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Bindings: kerberos.BindingsRequired})
	if err != nil {
		t.Fatal(err)
	}
	handler := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, handler, fakeweb.ServerOptions{TLS: true})
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{server.Certificate()}}
	return in, middleware.Target{Host: "localhost", Port: "8443", Secure: true, TLS: state}, handler
}

// An answer is what came back to a header, and is good for one verification.
type answer struct {
	sc    middleware.SecurityContext
	lines []string
}

func answers(t testing.TB, n int, in middleware.Initiator, target middleware.Target, server http.Handler) []answer {
	t.Helper()
	all := make([]answer, n)
	for i := range all {
		r := httptest.NewRequest(http.MethodGet, "https://localhost:8443/", nil)
		sc := header(t, in, target, r.Header)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		all[i] = answer{sc, w.Header()["Www-Authenticate"]}
	}
	return all
}

// verify takes an answer as the mutual stage does.
func (a answer) verify(t testing.TB) {
	if proved, why, err := stage.Prove(t.Context(), a.sc, a.lines); !proved || why != nil || err != nil {
		t.Fatal(proved, why, err)
	}
}

// header puts an Authorization field into the header of a request.
func header(t testing.TB, in middleware.Initiator, target middleware.Target, h http.Header) middleware.SecurityContext {
	sc, err := in.Initiate(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	token, err := sc.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.Set(stage.Field(target), stage.Value(sc, token))
	return sc
}

// BenchmarkHeader is one Authorization header with the ticket at hand: ours, with
// subkey, mutual flag, bindings and base64; gokrb5's, which has neither subkey nor
// mutual flag nor bindings; and what a new subkey and the encryption of a 300-byte
// authenticator alone cost.
func BenchmarkHeader(b *testing.B) {
	for _, etype := range []int32{18, 17, 20, 19} {
		realm := start(b, fakekdc.WithEtypes(etype))
		b.Run(krb.EtypeName(etype)+"/kerbchain", func(b *testing.B) {
			in, target, _ := warm(b, etype)
			h := make(http.Header)
			b.ReportAllocs()
			for b.Loop() {
				header(b, in, target, h)
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
				if _, err := krb.GenerateKey(etype); err != nil {
					b.Fatal(err)
				}
				if _, err := key.Seal(krb.UsageAPReqAuth, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerify is the verification of one answer: the challenge is parsed, then the
// NegTokenResp and the AP-REP in it, which has a subkey; and what the decryption and the
// making of a key alone cost.
func BenchmarkVerify(b *testing.B) {
	for _, etype := range []int32{18, 17, 20, 19} {
		b.Run(krb.EtypeName(etype)+"/kerbchain", func(b *testing.B) {
			in, target, server := warm(b, etype)
			one := answers(b, 1, in, target, server)[0]
			var left []answer
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				if len(left) == 0 {
					b.StopTimer()
					left = make([]answer, min(10_000, b.N-i))
					for j := range left {
						left[j] = answer{kerberos.CopyUnverified(one.sc), one.lines}
					}
					b.StartTimer()
				}
				left[0].verify(b)
				left = left[1:]
			}
		})
		b.Run(krb.EtypeName(etype)+"/crypto", func(b *testing.B) {
			key, err := krb.GenerateKey(etype)
			if err != nil {
				b.Fatal(err)
			}
			subkey, err := krb.GenerateKey(etype)
			if err != nil {
				b.Fatal(err)
			}
			value := subkey.Bytes()
			rep, err := krb.MakeAPRep(key, &krb.EncAPRepPart{CTime: time.Now(), Cusec: 123456, Subkey: subkey, Seq: 1 << 29, HasSeq: true})
			if err != nil {
				b.Fatal(err)
			}
			f := krb.OpenApp("AP-REP", 15, rep)
			f.Int32(0)
			f.Int32(1)
			sealed := f.Encrypted(2).Cipher
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Open(krb.UsageAPRepEncPart, sealed); err != nil {
					b.Fatal(err)
				}
				if _, err := krb.NewKey(etype, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// manyTickets returns a source with tickets for that many services at hand, which it
// has looked up, and their names.
func manyTickets(t testing.TB, n int) (*kerberos.Source, []string) {
	t.Helper()
	spns := make([]string, n)
	var services []fakekdc.Option
	for i := range spns {
		spns[i] = fmt.Sprintf("HTTP/host%d.example.test", i)
		services = append(services, fakekdc.WithService(spns[i]))
	}
	realm := start(t, services...)
	o := environment(realm)
	o.Now = nil
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice", spns...)), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, spn := range spns {
		if _, err := source.ServiceTicket(t.Context(), spn); err != nil {
			t.Fatal(err)
		}
	}
	return source, spns
}

// BenchmarkLookup is a ticket that is at hand among a thousand, for one goroutine and
// for as many as run at the same time; and the clock, which it reads.
func BenchmarkLookup(b *testing.B) {
	source, spns := manyTickets(b, 1000)
	lookup := func(i int) {
		if _, err := source.ServiceTicket(b.Context(), spns[i%len(spns)]); err != nil {
			b.Error(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			lookup(i)
		}
	})
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				lookup(i)
			}
		})
	})
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			time.Now()
		}
	})
}

// BenchmarkFirstUse is 100 goroutines that want the same ticket of a cold
// source at once. It reports the exchanges that this took, per run.
func BenchmarkFirstUse(b *testing.B) {
	realm := start(b)
	path := write(b, "cc", realm.CCache("alice"))
	runs := 0
	for b.Loop() {
		runs++
		source, err := kerberos.FromCCache(path, environment(realm))
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
