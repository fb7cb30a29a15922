package client_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// What servers say no with, and what is told of it.
func TestRefusalsExplained(t *testing.T) {
	var crowd []uint32
	for rid := range uint32(900) {
		crowd = append(crowd, 5000+rid)
	}
	realm := start(t, fakekdc.WithPAC(), fakekdc.WithUser("crowded", password, fakekdc.Groups(crowd...)))
	code := func(c int32) fakekdc.Quirks { return fakekdc.Quirks{Reject: true, RejectCode: c} }
	// What nginx and Apache do with their default limits, for a field.
	limited := func(status int) fakekdc.Quirks {
		return fakekdc.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.Header.Get("Authorization")) > 8190 {
				w.WriteHeader(status)
				return
			}
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
		})}
	}
	for name, tc := range map[string]struct {
		quirks fakekdc.Quirks
		user   string
		status int
		reason middleware.Reason
		words  []string // that the event's error has
	}{
		"wrong key":           {code(31), "alice", 401, middleware.KRBError, []string{"KRB_AP_ERR_BAD_INTEGRITY", "keytab is stale", spn, "a fresh ticket was asked for already"}},
		"key version":         {code(44), "alice", 401, middleware.KRBError, []string{"KRB_AP_ERR_BADKEYVER", "keytab is stale"}},
		"wrong SPN":           {code(35), "alice", 401, middleware.KRBError, []string{"KRB_AP_ERR_NOT_US", "another principal"}},
		"skew":                {code(37), "alice", 401, middleware.KRBError, []string{"KRB_AP_ERR_SKEW", "time synchronisation", "the server's clock says 2", "ours 2"}},
		"replay":              {code(34), "alice", 401, middleware.KRBError, []string{"KRB_AP_ERR_REPEAT", "sent the request twice"}},
		"no reason":           {code(60), "alice", 401, middleware.KRBError, []string{"channel bindings"}},
		"NTLM":                {fakekdc.Quirks{Reject: true, Rejection: fakekdc.RejectNTLM}, "alice", 401, middleware.WrongMechanism, []string{"NTLM", "SPN is not registered", "another account", "address in place of its name"}},
		"a state":             {fakekdc.Quirks{Reject: true, Rejection: fakekdc.RejectState}, "alice", 401, middleware.Refused, []string{"rejected the negotiation"}},
		"large token, 400":    {limited(400), "crowded", 400, middleware.TokenTooLarge, []string{"bad request", "large_client_header_buffers", "LimitRequestFieldSize"}},
		"large token, 431":    {limited(431), "crowded", 431, middleware.TokenTooLarge, []string{"request header fields too large", "groups"}},
		"large token, 413":    {limited(413), "crowded", 413, middleware.TokenTooLarge, []string{"MaxRequestBytes"}},
		"small token, no 431": {limited(431), "alice", 401, middleware.Refused, nil},
	} {
		t.Run(name, func(t *testing.T) {
			handler := realm.Handler(spn, fakekdc.WebOptions{Quirks: tc.quirks})
			server := realm.Serve(handler, fakekdc.ServerOptions{})
			o := bare(realm)
			o.CCache = write(t, "krb5cc", realm.CCache(tc.user, spn))
			o.Transport, o.Mutual = server.Transport(), mutual.Optional
			c := newClient(t, o)
			var got []middleware.RefusedEvent
			sent := 0
			r := put(t, server.URL(), strings.NewReader("data"))
			r = r.WithContext(middleware.WithTrace(t.Context(), func(e middleware.Event) {
				switch e := e.(type) {
				case middleware.RefusedEvent:
					got = append(got, e)
				case middleware.TokenEvent:
					sent = e.Bytes
				}
			}))
			status, _, err := do(t, c, r)
			if status != tc.status || err != nil {
				t.Errorf("status %d, %v", status, err)
			}
			if len(got) != 1 || got[0].Status != tc.status || got[0].Reason != tc.reason || got[0].Bytes != sent || sent == 0 {
				t.Fatalf("events %+v, a token of %d bytes", got, sent)
			}
			words := tc.words
			if tc.reason == middleware.TokenTooLarge {
				words = append(words, fmt.Sprintf("a token of %d bytes", sent))
			}
			for _, word := range words {
				if text := fmt.Sprint(got[0].Err); !strings.Contains(text, word) {
					t.Errorf("%q does not say %q", text, word)
				}
			}
		})
	}
}
