// Package visit tells the handler behind one of fakeweb what it needs for protecting
// messages with the security context of their connection.
package visit

import (
	"context"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A Visit is an authenticated request.
type Visit struct {
	Conn        int                      // number of the connection, from 1; 0 if not known
	Scheme      string                   // in which it was authenticated
	Established *fakekdc.SecurityContext // by this request; nil if it was by an earlier one of the connection

	Load   func() any  // what Store kept for handler and connection; nil for nothing
	Store  func(v any) // until the connection ends or is forgotten
	Forget func()      // makes the connection one that nobody authenticated
}

type key struct{}

// With adds a visit to the context of its request.
func With(ctx context.Context, v *Visit) context.Context { return context.WithValue(ctx, key{}, v) }

// Of returns the visit of a request's context; nil if no handler of fakeweb's passed it on.
func Of(ctx context.Context) *Visit {
	v, _ := ctx.Value(key{}).(*Visit)
	return v
}

// Key returns a key of a security context in the form that tokens are made with.
func Key(k fakekdc.Key) (krb.Key, error) {
	if k.IsZero() {
		return krb.Key{}, nil
	}
	return krb.NewKey(k.Etype(), k.Bytes())
}
