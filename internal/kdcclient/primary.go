package kdcclient

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// primaryTimeout bounds the search for the primary KDCs of a realm, which is for
// an answer that is most likely the same.
const primaryTimeout = 5 * time.Second

// askPrimary asks a primary KDC for what another one refused: a replica may not
// know yet of a new password or principal. That happens where the refusal came
// from none of the primary ones, as with MIT krb5, at most once, and never at an
// address that the refused message was sent to: a wrong key counts once at each
// KDC, and no more than with kinit. A one-time password is spent by then. Without an
// answer the refusal stands.
func (a *asCall) askPrimary(ctx context.Context, refused *Error) (*krb.Ticket, *Error) {
	switch {
	case a.c.o.LocatePrimary == nil || a.answer == nil || refused.Kept || len(a.otp.sent) > 0:
		return nil, refused
	case refused.Kind != KindRefused && refused.Kind != KindKey && refused.Kind != KindSkew:
		return nil, refused
	}
	look, cancel := context.WithTimeout(ctx, primaryTimeout)
	defer cancel()
	primaries, err := a.c.o.LocatePrimary(look, a.realm)
	if err != nil || len(primaries) == 0 || slices.ContainsFunc(primaries, a.answer.from.is) {
		return nil, refused
	}
	a.only = &chosen{kdcs: primaries, except: a.answer.asked}
	a.answer = nil
	a.begin()
	a.offset = a.c.Offset(a.realm)
	t, fail := a.run(ctx)
	if fail == nil {
		return t, nil
	}
	if fail.Kind == KindUnreachable || fail.Kind == KindNoKDC {
		return nil, refused
	}
	fail.KDCs = slices.Concat(refused.KDCs, fail.KDCs)
	return nil, fail
}

// is reports whether two KDCs are one, by name.
func (k KDC) is(o KDC) bool {
	host := func(k KDC) string { return strings.ToLower(strings.TrimSuffix(k.Host, ".")) }
	same := host(k) == host(o) && k.port() == o.port()
	if a, b := net.ParseIP(k.Host), net.ParseIP(o.Host); a != nil && b != nil {
		same = a.Equal(b) && k.port() == o.port()
	}
	return same && (k.Network == "https") == (o.Network == "https") && (k.Network == "unix") == (o.Network == "unix")
}
