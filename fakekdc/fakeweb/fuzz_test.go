package fakeweb

import (
	"encoding/base64"
	"net/http/httptest"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// FuzzAuthorization feeds the web service credentials.
func FuzzAuthorization(f *testing.F) {
	r := fakekdc.Start(f, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	h := New(r, "HTTP/localhost", Options{})
	c := &plainclient.Client{TB: f, Now: r.Now, Ticket: minted(f, r, "alice", "HTTP/localhost")}
	f.Add("Negotiate", c.First())
	f.Add("negotiate", c.APReq())
	f.Add("Negotiate", spnego.EncodeInit([]spnego.OID{spnego.NTLM, spnego.KRB5}, c.APReq()))
	f.Add("Negotiate", spnego.Resp{State: spnego.AcceptIncomplete, ResponseToken: c.APReq(), MechListMIC: []byte("x")}.Append(nil))
	f.Add("Basic", []byte("alice:secret"))
	f.Fuzz(func(t *testing.T, scheme string, token []byte) {
		q := httptest.NewRequest("GET", "/", nil)
		q.Header.Set("Authorization", scheme+" "+base64.StdEncoding.EncodeToString(token))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if w.Code != 200 && w.Code != 401 {
			t.Errorf("status %d", w.Code)
		}
		if sc, err := r.Accept(token, fakekdc.AcceptOptions{}); (err == nil) != (sc != nil && sc.Caller().Name != "") {
			t.Errorf("context %v, error %v", sc, err)
		}
	})
}
