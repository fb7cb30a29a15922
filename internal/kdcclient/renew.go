package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// renew asks for the ticket anew (RFC 4120 section 3.3.3). What cannot be
// renewed is not sent; a ticket that has run out is, for it is the KDC's clock
// that counts.
func (t *tgsCall) renew(ctx context.Context) (*krb.Ticket, *Error) {
	t.server = t.first.Server
	const hint = "run kinit; kinit -r, or renew_lifetime in krb5.conf, asks for a renewable ticket"
	now := t.c.o.Now().Add(t.c.Offset(t.realm))
	switch till := t.first.RenewTill; {
	case t.first.Flags&krb.FlagRenewable == 0:
		return nil, t.fail(KindRequest, errors.New("the ticket is not renewable"), hint)
	case !till.IsZero() && now.Sub(till) > t.c.o.Clockskew:
		return nil, t.fail(KindRequest, fmt.Errorf("the ticket was renewable until %s", till.UTC().Format(time.RFC3339)), hint)
	}
	return t.ask(ctx, wanted{server: t.first.Server, renew: true, options: t.o.Options})
}

// checkRenewed verifies that a renewed ticket lives no longer than the old one
// was allowed to.
func checkRenewed(part *krb.EncKDCRepPart, old *krb.Ticket) error {
	if old.RenewTill.IsZero() {
		return nil
	}
	if part.EndTime.After(old.RenewTill) {
		return fmt.Errorf("the renewed ticket ends at %v, it was renewable until %v", part.EndTime, old.RenewTill)
	}
	if part.RenewTill.After(old.RenewTill) {
		return fmt.Errorf("the renewed ticket is renewable until %v, before it was until %v", part.RenewTill, old.RenewTill)
	}
	return nil
}
