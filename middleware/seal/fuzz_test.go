package seal_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// A blank seals by a token of zeros.
type blank struct{}

func (blank) Seal(dst, plain []byte) ([]byte, int, error) {
	signature := append([]byte{5, 4, 3, 0xff, 0, 0, 0, 28}, make([]byte, 52)...)
	return append(append(dst, signature...), make([]byte, len(plain))...), len(signature), nil
}

func (blank) Open(_, data []byte) ([]byte, error) { return data, nil }

// FuzzAnswer: whatever a server that does not know the key answers, nothing of it
// is taken for verified.
func FuzzAnswer(f *testing.F) {
	kind := winrm.SPNEGO.ContentType()
	framed, err := winrm.Seal(nil, winrm.SPNEGO, blank{}, winrm.SOAP, make([]byte, 40))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []struct {
		status int
		kind   string
		body   []byte
	}{
		{200, kind, framed}, {500, kind, framed[:100]}, {200, kind, nil}, {200, winrm.SOAP, []byte("<Envelope/>")},
		{302, "", nil}, {401, "text/plain", []byte("no")}, {200, strings.ReplaceAll(kind, "SPNEGO", "CredSSP"), framed},
	} {
		f.Add(seed.status, seed.kind, seed.body)
	}
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{}))(func(r *http.Request) (*http.Response, error) {
			if r.ContentLength == 0 {
				return stagetest.Bearing(stagetest.ServerOK, stagetest.Respond(200, ""))(r)
			}
			resp, err := stagetest.Respond(status, "", "Content-Type", kind)(r)
			if err != nil {
				return nil, err
			}
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			return resp, nil
		})
		resp, err := next(request(t, "http://a.example/wsman", "message"))
		switch {
		case err != nil:
			var e *middleware.Error
			if !errors.As(err, &e) || e.Reason == middleware.ReasonNone {
				t.Errorf("error %v", err)
			}
			return
		case len(body) > 0 && status != 401 && status != 407:
			t.Errorf("status %d, %q: taken", status, kind)
		}
		if sc := middleware.SecurityOf(resp.Request); sc != nil && sc.Verified() {
			t.Errorf("status %d, %q: verified", status, kind)
		}
	})
}
