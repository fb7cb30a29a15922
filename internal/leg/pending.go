package leg

import (
	"context"
	"errors"

	"github.com/kerbchain/kerbchain/middleware"
)

// Later returns a token for t that is made when the connection is known which
// will carry it, as required channel bindings demand. A transport that does not
// tell gets the request unsigned.
func (s Signer) Later(t middleware.Target) Token { return Token{Context: pending{t}} }

// pending stands for the context of a token that is still to be made.
type pending struct{ target middleware.Target }

func (p pending) Target() middleware.Target { return p.target }
func (p pending) Verified() bool            { return false }

func (p pending) Step(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("the request was not signed, since its connection was never known")
}

func (t Token) pending() bool {
	_, ok := t.Context.(pending)
	return ok
}
