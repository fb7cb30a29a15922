package seal_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// BenchmarkRoundTrip is a message and an answer through the stage, with the
// server's half of the work and without a network: each is sealed once and opened
// once. "crypto" is that work with the encryption type alone.
func BenchmarkRoundTrip(b *testing.B) {
	for _, etype := range []int32{krb.AES128SHA1, krb.AES256SHA1, krb.AES128SHA256, krb.AES256SHA384, krb.RC4HMAC} {
		for _, n := range []int{1 << 10, 64 << 10} {
			message := bytes.Repeat([]byte("x"), n)
			name := fmt.Sprintf("%s/%d", krb.EtypeName(etype), n)
			b.Run(name, func(b *testing.B) {
				c := newConversation(b, etype)
				b.SetBytes(4 * int64(n))
				b.ReportAllocs()
				for b.Loop() {
					c.say(b, message)
				}
			})
			b.Run(name+"/crypto", func(b *testing.B) {
				key, err := krb.GenerateKey(etype)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(4 * int64(n))
				b.ReportAllocs()
				for b.Loop() {
					for _, usage := range []uint32{krb.UsageInitiatorSeal, krb.UsageAcceptorSeal} {
						sealed, err := key.Seal(usage, message)
						if err != nil {
							b.Fatal(err)
						}
						if _, err := key.Open(usage, sealed); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// A conversation is messages through the stage to a server that answers each with
// itself. Only the stage allocates, save for the requests' and the answers' frames.
type conversation struct {
	next             kerbchain.Next
	header           http.Header
	url              *url.URL
	message          bytes.Reader
	server           *sealer
	received, answer []byte
}

func newConversation(t testing.TB, etype int32) *conversation {
	c := &conversation{header: http.Header{"Content-Type": {winrm.SOAP}}, url: &url.URL{Scheme: "http", Host: "a.example", Path: "/wsman"}}
	c.next = seal.New(auth(initiatorOf(etype)), seal.Options{})(c.serve)
	c.say(t, []byte("what sets up the session"))
	return c
}

func (c *conversation) say(t testing.TB, message []byte) {
	c.message.Reset(message)
	resp, err := c.next(&http.Request{
		Method: http.MethodPost, URL: c.url, Header: c.header, Body: io.NopCloser(&c.message), ContentLength: int64(len(message)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.Copy(io.Discard, resp.Body); err != nil || got != int64(len(message)) {
		t.Fatal(got, err)
	}
}

func (c *conversation) serve(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") != "" {
		c.server = middleware.SecurityOf(r).(*sealer)
		return stagetest.Bearing(stagetest.ServerOK, stagetest.Respond(200, ""))(r)
	}
	c.received = slices.Grow(c.received[:0], int(r.ContentLength))[:r.ContentLength]
	if _, err := io.ReadFull(r.Body, c.received); err != nil {
		return nil, err
	}
	m, err := winrm.Open(r.Header.Get("Content-Type"), c.received, c.server.peer)
	if err != nil {
		return nil, err
	}
	if c.answer, err = winrm.Seal(c.answer[:0], m.Protocol, c.server.peer, m.Type, m.Plain); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: 200, ProtoMajor: 1, Header: http.Header{"Content-Type": {m.Protocol.ContentType()}},
		Body: io.NopCloser(bytes.NewReader(c.answer)), ContentLength: int64(len(c.answer)), Request: r,
	}, nil
}
