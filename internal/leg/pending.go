package leg

import (
	"context"
	"errors"
	"net"

	"github.com/kerbchain/kerbchain/middleware"
)

// Later returns a token for t that is made when the connection is known which
// will carry it, as required channel bindings demand. A transport that does not
// tell gets the request unsigned.
func (s Signer) Later(t middleware.Target) Token { return Token{Context: pending{target: t}} }

// LaterIf returns a token that is made when the connection is known, if when says
// so and for the target that it returns. If it does not, if no token can be had, or
// if the transport does not tell, the request goes unsigned. when is called with
// each connection in turn, before anything is written to it.
func (s Signer) LaterIf(t middleware.Target, when func(net.Conn) (middleware.Target, bool)) Token {
	return Token{Context: pending{t, when}}
}

// pending stands for the context of a token that is still to be made.
type pending struct {
	target middleware.Target
	when   func(net.Conn) (middleware.Target, bool) // nil: in any case
}

func (p pending) Target() middleware.Target { return p.target }
func (p pending) Verified() bool            { return false }

func (p pending) Step(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("the request was not signed, since its connection was never known")
}

func (t Token) pending() bool {
	_, ok := t.Context.(pending)
	return ok
}

// optional returns what decides on a token that may be left out, nil for others.
func (t Token) optional() func(net.Conn) (middleware.Target, bool) {
	p, _ := t.Context.(pending)
	return p.when
}
