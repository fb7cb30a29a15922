package sign_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/middleware"
)

// known is a context that tells as whom it was made.
type known struct {
	target    middleware.Target
	principal string
}

func (k known) Step(context.Context, []byte) ([]byte, error) { return []byte("token"), nil }
func (k known) Verified() bool                               { return false }
func (k known) Target() middleware.Target                    { return k.target }
func (k known) Principal() string                            { return k.principal }

// A token that is made when the request has its connection is of the user whose
// connection it is, or is not sent.
func TestExpect(t *testing.T) {
	for name, tc := range map[string]struct {
		told     bool
		expected string
		optional bool
		sent     string // what the server sees
		err      error
	}{
		"not told":               {false, "", false, "Negotiate dG9rZW4=", nil},
		"hers":                   {true, "alice", false, "Negotiate dG9rZW4=", nil},
		"somebody else's":        {true, "bob", false, "", middleware.ErrConnection},
		"nobody's":               {true, "", false, "", middleware.ErrConnection},
		"hers, optional":         {true, "alice", true, "Negotiate dG9rZW4=", nil},
		"another's and optional": {true, "bob", true, "", middleware.ErrConnection},
	} {
		t.Run(name, func(t *testing.T) {
			sent := ""
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if sent = r.Header.Get("Authorization"); sent == "" {
					sent = "none"
				}
			}))
			defer srv.Close()
			s := sign.Signer{Stage: "test", Initiator: middleware.InitiatorFunc(func(_ context.Context, t middleware.Target) (middleware.SecurityContext, error) {
				return known{t, "alice"}, nil
			})}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			target := middleware.TargetOfURL(r.URL)
			token := s.Later(target)
			if tc.optional {
				token = s.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, true })
			}
			if pending, must := sign.Pending(r); pending || must {
				t.Error("a request of no attempt is to be signed")
			}
			var passed *http.Request
			resp, err := s.Send(func(r *http.Request) (*http.Response, error) {
				if pending, must := sign.Pending(r); !pending || must == tc.optional {
					t.Error("it is not known that the request is to be signed")
				}
				if tc.told {
					sign.Expect(r, tc.expected, "somebody")
				}
				passed = r
				return srv.Client().Transport.RoundTrip(r)
			}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
			if resp != nil {
				resp.Body.Close()
			}
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) || sent != tc.sent {
				t.Errorf("sent %q, error %v; want %q and %v", sent, err, tc.sent, tc.err)
			}
			if pending, must := sign.Pending(passed); pending || must {
				t.Error("a request that was answered is still to be signed")
			}
			var e *middleware.Error
			if errors.As(err, &e) && !e.Temporary() {
				t.Errorf("%v is not said to be temporary", err)
			}
		})
	}
}
