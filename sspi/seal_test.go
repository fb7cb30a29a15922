package sspi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// Messages are sealed for a WinRM endpoint, by encryption type, and what was forged on
// the way back is refused.
func TestSeal(t *testing.T) {
	for _, etype := range []int32{fakekdc.AES128SHA1, fakekdc.AES256SHA1} {
		t.Run(fmt.Sprint("etype", etype), func(t *testing.T) {
			r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"), fakekdc.WithEtypes(etype))
			endpoint := fakewinrm.New(r, "HTTP/localhost", fakewinrm.Options{})
			server := fakeweb.Serve(r, endpoint, fakeweb.ServerOptions{})
			transport := server.Transport()
			transport.MaxConnsPerHost = 1
			defer transport.CloseIdleConnections()
			in := initiatorOn(t, newFake(t, r), Options{Sealing: true})
			auth := kerbchain.Chain(mutual.New(mutual.Options{}), preemptive.New(in, preemptive.Always(), preemptive.Options{}), negotiate.New(in, negotiate.Options{}))
			c := &http.Client{Transport: kerbchain.Wrap(transport, mutual.New(mutual.Options{}), seal.New(auth, seal.Options{}))}
			post := func() (string, error) {
				resp, err := c.Post(server.URL()+"/wsman", "application/soap+xml;charset=UTF-8", strings.NewReader("<message/>"))
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err == nil && resp.StatusCode != http.StatusOK {
					err = fmt.Errorf("%s", resp.Status)
				}
				return string(b), err
			}
			for name, reason := range map[string]middleware.Reason{
				"replayed": middleware.ReasonOutOfOrder, "reflected": middleware.ReasonReflected,
				"last bit of the data": middleware.ReasonTampered, "signature cut to one byte": middleware.ReasonMalformed,
			} {
				forge := fakewinrm.Forgeries()[name]
				if forge == nil {
					t.Fatalf("no forgery %q", name)
				}
				endpoint.SetForgery(nil)
				for range 2 {
					if got, err := post(); err != nil || got != "<message/>" {
						t.Fatalf("%q, %v: %+v", got, err, endpoint.Messages())
					}
				}
				endpoint.SetForgery(forge)
				var e *middleware.Error
				if got, err := post(); !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != reason {
					t.Errorf("%s: %q, %v", name, got, err)
				}
			}
		})
	}
}

// established returns a context that may seal, and the service's side.
func established(t *testing.T, r *fakekdc.Realm, f *fake) *sealer {
	t.Helper()
	sc, token, err := first(t, initiatorOn(t, f, Options{Sealing: true}))
	if err != nil {
		t.Fatal(err)
	}
	s := sc.(*sealer)
	if out, _, err := s.Seal(nil, []byte("early")); !errors.Is(err, middleware.ErrToken) || out != nil {
		t.Errorf("sealed %q before the proof, %v", out, err)
	}
	if _, err := sc.Step(t.Context(), answer(t, r, token)); err != nil {
		t.Fatal(err)
	}
	return s
}

// EncryptMessage and DecryptMessage take and give memory as they are documented to, and
// what Windows says of a message is believed only if it was sealed.
func TestMessages(t *testing.T) {
	r := newRealm(t)
	// What was sealed on this side comes back as the server's.
	reflected := func(t *testing.T, f *fake) (*sealer, []byte, []byte) {
		t.Helper()
		s := established(t, r, f)
		plain := []byte("a message")
		out, header, err := s.Seal([]byte("before "), plain)
		if err != nil || header != 60 || !bytes.HasPrefix(out, []byte("before ")) || len(out) != 7+60+len(plain) || string(plain) != "a message" {
			t.Fatalf("%d of %d bytes, %v", header, len(out), err)
		}
		token := out[7:]
		// RFC 4121 section 4.2.6.2: sealed, with the acceptor's subkey, no filler; and
		// rotated by 28 bytes, [MS-KILE] section 3.4.5.4.1.
		if want := []byte{5, 4, 6, 0xff, 0, 0, 0, 28}; !bytes.Equal(token[:8], want) {
			t.Errorf("header % x, want % x", token[:8], want)
		}
		return s, token[:header], token[header:]
	}
	t.Run("reflected", func(t *testing.T) {
		s, header, data := reflected(t, newFake(t, r))
		var e *middleware.Error
		if _, err := s.Open(header, data); !errors.As(err, &e) || e.Reason != middleware.ReasonReflected {
			t.Error(err)
		}
		if !bytes.Equal(data, make([]byte, len(data))) {
			t.Error("data are left of a message that was refused")
		}
		if _, _, err := s.Seal(nil, nil); !errors.As(err, &e) || e.Reason != middleware.ReasonReflected {
			t.Errorf("after a forged message: %v", err)
		}
	})
	for name, tc := range map[string]struct {
		s    status
		want middleware.Reason
	}{
		"sequence": {statusOutOfSequence, middleware.ReasonOutOfOrder},
		"altered":  {statusMessageAltered, middleware.ReasonTampered},
		"token":    {statusInvalidToken, middleware.ReasonMalformed},
	} {
		f := newFake(t, r)
		s := established(t, r, f)
		f.refuse = map[string]status{"DecryptMessage": tc.s}
		var e *middleware.Error
		if plain, err := s.Open([]byte{5, 4, 7}, []byte("x")); !errors.As(err, &e) || e.Reason != tc.want || plain != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, call := range []string{"EncryptMessage", "QueryContextAttributes"} {
		f := newFake(t, r)
		s := established(t, r, f)
		f.refuse = map[string]status{call: 0x80090304}
		if out, _, err := s.Seal(nil, []byte("x")); !errors.Is(err, middleware.ErrToken) || out != nil || !strings.Contains(err.Error(), call) {
			t.Errorf("%s: %q, %v", call, out, err)
		}
	}
	for name, tc := range map[string]struct {
		set  func(*fake)
		want middleware.Reason // ReasonNone: "plain"
	}{
		"in place":   {func(*fake) {}, middleware.ReasonNone},
		"further on": {func(f *fake) { f.moves = 3 }, middleware.ReasonNone},
		"too far":    {func(f *fake) { f.moves = 4 }, middleware.ReasonMalformed},
		"before":     {func(f *fake) { f.moves = -1 }, middleware.ReasonMalformed},
		"unsealed":   {func(f *fake) { f.unsealed = true }, middleware.ReasonUnsealed},
	} {
		f := newFake(t, r)
		s := established(t, r, f)
		f.plain = []byte("plain")
		tc.set(f)
		room := []byte("....8 bytes")
		plain, err := s.Open([]byte{5, 4, 7}, room[3:])
		var e *middleware.Error
		switch {
		case tc.want == middleware.ReasonNone && (err != nil || string(plain) != "plain"):
			t.Errorf("%s: %q, %v", name, plain, err)
		case tc.want != middleware.ReasonNone && (!errors.As(err, &e) || e.Reason != tc.want || plain != nil || !bytes.Equal(room[3:], make([]byte, 8))):
			t.Errorf("%s: %q, %q, %v", name, plain, room, err)
		}
	}
}
