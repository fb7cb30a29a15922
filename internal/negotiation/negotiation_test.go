package negotiation

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// teller is a mechanism that is asked for errors alone.
type teller struct{ Mechanism }

func (teller) Fail(reason middleware.Reason, err error) *middleware.Error {
	return &middleware.Error{Kind: middleware.ErrToken, Reason: reason, Err: err}
}

// TestServerGivesNoReason: KRB_ERR_GENERIC is no reason, what the server writes beside it
// is one.
func TestServerGivesNoReason(t *testing.T) {
	for text, want := range map[string]string{
		"": "the server gave no reason: its log may have one",
		"channel bindings are those of another connection": "",
	} {
		err, ok := ServerError(teller{}, "HTTP/localhost", &krb.KRBError{Code: krb.CodeGeneric, Text: text}).(*middleware.Error)
		if !ok || err.Hint != want || err.Code != krb.CodeGeneric {
			t.Errorf("%q: %v", text, err)
		}
	}
}
