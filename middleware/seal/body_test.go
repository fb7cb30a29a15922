package seal_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// A message that cannot be read whole, or is not what it says, is never sealed, not
// even in part.
func TestMessageIsWhole(t *testing.T) {
	bad := errors.New("bad")
	for name, tc := range map[string]struct {
		body   io.Reader
		length int64
		limit  int64
		sent   bool
		want   error // nil for any
	}{
		"as declared":       {strings.NewReader("message"), 7, 0, true, nil},
		"not declared":      {strings.NewReader("message"), -1, 0, true, nil},
		"just the limit":    {strings.NewReader("message"), 7, 7, true, nil},
		"the same, unknown": {strings.NewReader("message"), -1, 7, true, nil},
		"too long":          {strings.NewReader("message"), 7, 6, false, middleware.ErrConfiguration},
		"too long, unknown": {strings.NewReader("message"), -1, 6, false, middleware.ErrConfiguration},
		"longer than said":  {strings.NewReader("message"), 6, 0, false, nil},
		"shorter than said": {strings.NewReader("message"), 8, 0, false, nil},
		"fails":             {io.MultiReader(strings.NewReader("mess"), iotest.ErrReader(bad)), -1, 0, false, bad},
		"panics":            {io.MultiReader(strings.NewReader("mess"), panicking{}), -1, 0, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			srv, closes := stagetest.NewServer(stagetest.Respond(200, "answer")), 0
			messages := 0
			next := kerbchain.Chain(seal.New(auth(initiator()), seal.Options{MaxBody: tc.limit}), func(next kerbchain.Next) kerbchain.Next {
				return func(r *http.Request) (*http.Response, error) {
					if r.ContentLength != 0 {
						messages++
					}
					return next(r)
				}
			}, server)(srv.Next)
			r := request(t, "http://a.example/", "x")
			r.Body, r.ContentLength, r.GetBody = closer{tc.body, &closes}, tc.length, nil
			resp, err := next(r)
			if resp != nil {
				resp.Body.Close()
			}
			// The limit is for the answer, too, which is longer here.
			if tc.limit == 0 && (err == nil) != tc.sent || !tc.sent && (err == nil || tc.want != nil && !errors.Is(err, tc.want)) || (messages > 0) != tc.sent {
				t.Errorf("%d messages, error %v", messages, err)
			}
			if closes != 1 {
				t.Errorf("the body was closed %d times", closes)
			}
		})
	}
}

type panicking struct{ io.Reader }

func (panicking) Read([]byte) (int, error) { panic("no reader") }

type closer struct {
	io.Reader
	n *int
}

func (c closer) Close() error {
	*c.n++
	return nil
}
