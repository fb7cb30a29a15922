package kerberos_test

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// A context that was given one bad token proves nothing any more: neither is a
// forgery followed by a better one, nor a proof by a forgery.
func TestBadTokenIsTheEnd(t *testing.T) {
	realm := start(t)
	source, err := kerberos.FromCCache(write(t, "cc", realm.CCache("alice", spn)), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), fakeweb.ServerOptions{})
	tr := server.Transport()
	defer tr.CloseIdleConnections()
	// begin returns a context and the genuine answer to its token.
	begin := func() (middleware.SecurityContext, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		sc, err := in.Initiate(t.Context(), middleware.TargetOfURL(r.URL))
		if err != nil {
			t.Fatal(err)
		}
		token, err := sc.Step(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Negotiate "+base64.StdEncoding.EncodeToString(token))
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), " ")
		answer, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(answer) == 0 {
			t.Fatalf("answer %q, %v", answer, err)
		}
		return sc, answer
	}
	_, foreign := begin() // of another context
	for name, bad := range map[string]func(good []byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"garbage":   func([]byte) []byte { return []byte("garbage") },
		"changed":   func(good []byte) []byte { b := append([]byte(nil), good...); b[len(b)-1] ^= 1; return b },
		"foreign":   func([]byte) []byte { return foreign },
		"NTLM":      func([]byte) []byte { return []byte("NTLMSSP\x00\x02\x00\x00\x00") },
		"rejection": func([]byte) []byte { return spnego.Resp{State: spnego.Reject}.Append(nil) },
	} {
		for _, order := range []string{"bad, good", "good, bad", "good, bad, good", "bad, good, good"} {
			t.Run(name+": "+order, func(t *testing.T) {
				sc, good := begin()
				var first error
				for _, which := range strings.Split(order, ", ") {
					token := good
					if which == "bad" {
						token = bad(good)
					}
					out, err := sc.Step(t.Context(), token)
					switch {
					case first != nil && err != first:
						t.Errorf("after %v: %v", first, err)
					case which == "bad" && err == nil:
						t.Error("a bad token was taken")
					case which == "good" && first == nil && (err != nil || !sc.Verified()):
						t.Fatalf("a genuine token: verified %t, %v", sc.Verified(), err)
					}
					if err != nil && (sc.Verified() || out != nil) {
						t.Errorf("verified %t, %q after %v", sc.Verified(), out, err)
					}
					if first == nil {
						first = err
					}
				}
				if first == nil || sc.Verified() {
					t.Errorf("verified %t after %v", sc.Verified(), first)
				}
				if out, _, err := sc.(middleware.Sealer).Seal(nil, []byte("x")); err == nil || out != nil || !errors.Is(err, middleware.ErrToken) {
					t.Errorf("sealed %q, %v", out, err)
				}
			})
		}
	}
}
