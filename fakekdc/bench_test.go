package fakekdc

import (
	"net"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// ask sends prepared packets over one UDP socket, one after the other, time and again.
func ask(b *testing.B, r *Realm, packets [][]byte) {
	b.Helper()
	r.KDCs()[0].forgetful = true
	c, err := net.Dial("udp", r.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	tag := byte(0)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := c.Write(packets[i%len(packets)]); err != nil {
			b.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil || n == 0 {
			b.Fatal(err)
		}
		tag = buf[0]
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
	if tag == byte(krb.App(krb.MsgKRBError)) {
		b.Fatal("KRB-ERROR")
	}
}

func BenchmarkAS(b *testing.B) {
	for _, e := range []int32{AES256SHA1, AES256SHA384} {
		b.Run(krb.EtypeName(e), func(b *testing.B) {
			r := Start(b, WithUser("alice", "secret"))
			req, _ := asReq(b, r, "alice", "secret", e, body(r, "alice", e))
			exchange(b, r, "udp", req) // string-to-key is done once
			ask(b, r, [][]byte{req})
		})
	}
}

func BenchmarkTGS(b *testing.B) {
	for _, e := range []int32{AES256SHA1, AES256SHA384} {
		b.Run(krb.EtypeName(e), func(b *testing.B) {
			r := Start(b, WithUser("alice", "secret"), WithService("HTTP/localhost"))
			tgt := minted(b, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
			packets := make([][]byte, 512)
			for i := range packets {
				packets[i], _ = tgsReq(b, r, tgt, forService(r, "HTTP/localhost", e), nil)
			}
			ask(b, r, packets)
		})
	}
}

// BenchmarkReady is the time from nothing to a realm that answers.
func BenchmarkReady(b *testing.B) {
	for b.Loop() {
		r, err := New(WithUser("alice", "secret"), WithService("HTTP/localhost"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := try(r, "udp", marshalReq(b, krb.MsgASReq, nil, body(r, "alice")), time.Minute); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

func BenchmarkAccept(b *testing.B) {
	r := Start(b, WithUser("alice", "secret"), WithService("HTTP/localhost"))
	c := &plainclient.Client{TB: b, Now: r.Now, Ticket: minted(b, r, "alice", "HTTP/localhost")}
	d := demand{service: krb.NewPrincipal(r.Name(), "HTTP", "localhost")}
	for b.Loop() {
		b.StopTimer()
		req := c.APReq()[17:]
		b.StartTimer()
		a, no := r.accept(req, d)
		if no != nil {
			b.Fatal(no.text)
		}
		if _, err := a.proof(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart is the time to a ready realm with a user and a service, and to
// its end.
func BenchmarkStart(b *testing.B) {
	for name, opts := range map[string][]Option{"sockets": nil, "memory": {WithoutSockets()}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := New(append(opts, WithUser("alice", "secret"), WithService("HTTP/localhost"))...)
				if err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkAnswer is what the KDC does for an exchange, without sockets, on as many
// cores as -cpu says.
func BenchmarkAnswer(b *testing.B) {
	for _, e := range []int32{AES256SHA1, AES256SHA384} {
		r := Start(b, WithUser("alice", "secret"), WithService("HTTP/localhost"))
		as, _ := asReq(b, r, "alice", "secret", e, body(r, "alice", e))
		tgt := minted(b, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
		tgs, _ := tgsReq(b, r, tgt, forService(r, "HTTP/localhost", e), nil)
		for name, packet := range map[string][]byte{"AS/": as, "TGS/": tgs} {
			b.Run(name+krb.EtypeName(e), func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if out := r.answer(nil, "tcp", packet); out.reply[0] == byte(krb.App(krb.MsgKRBError)) {
							b.Error("KRB-ERROR")
						}
					}
				})
			})
		}
	}
}
