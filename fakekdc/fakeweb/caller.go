package fakeweb

import (
	"context"

	"github.com/kerbchain/kerbchain/fakekdc"
)

type (
	callerKey struct{}
	ticketKey struct{}
)

// CallerOf returns who made the request of that context, for handlers behind a
// [Handler]; ok is false when nobody was authenticated.
func CallerOf(ctx context.Context) (caller fakekdc.Caller, ok bool) {
	caller, ok = ctx.Value(callerKey{}).(fakekdc.Caller)
	return caller, ok
}

// TicketOf returns the ticket with which the request of that context, or its
// connection, was authenticated, DER (RFC 4120 section 5.3), for handlers behind a
// [Handler]; nil when nobody was. It is what a service acts for its caller with (S4U2Proxy).
func TicketOf(ctx context.Context) []byte {
	ticket, _ := ctx.Value(ticketKey{}).([]byte)
	return ticket
}

// ContextWithCaller returns a context of which [CallerOf] says that the caller made
// the request, for tests of a handler without a [Handler] around it.
func ContextWithCaller(ctx context.Context, c fakekdc.Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}
