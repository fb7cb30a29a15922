package fakekdc

import "context"

// GSS-API context flags, as in [Caller.Flags] (RFC 2744 appendix A).
const (
	GSSDeleg    uint32 = 1
	GSSMutual   uint32 = 2
	GSSReplay   uint32 = 4
	GSSSequence uint32 = 8
	GSSConf     uint32 = 0x10
	GSSInteg    uint32 = 0x20
)

// A Caller is who a web service has authenticated, with what the ticket and
// the authenticator said.
type Caller struct {
	Name    string // name@REALM, from the ticket
	Service string // name@REALM of the service that the ticket is for
	Etype   int32  // of the session key
	Flags   uint32 // GSS-API context flags
	Mutual  bool   // the client asked for proof of the service
	Bound   bool   // the client's channel bindings are those of the connection
	Aware   bool   // the client says that it knows of channel bindings (KERB_AP_OPTIONS_CBT)
}

type callerKey struct{}

// CallerOf returns who made the request of that context, for handlers behind a
// [Handler]; ok is false when nobody was authenticated.
func CallerOf(ctx context.Context) (caller Caller, ok bool) {
	caller, ok = ctx.Value(callerKey{}).(Caller)
	return caller, ok
}

func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}
