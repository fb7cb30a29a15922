package kdcclient

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// checkReply verifies what AS-REP and TGS-REP have in common. That it opened
// under the right key is known; names and the relation to the clock are for the
// caller.
func checkReply(rep *krb.KDCRep, part *krb.EncKDCRepPart, body *krb.KDCReqBody, etypes []int32) error {
	if part.Nonce != body.Nonce {
		return errors.New("the reply bears another nonce than the request")
	}
	if !rep.Ticket.Server.Equal(part.Server) {
		return fmt.Errorf("the ticket is named for %s outside, for %s inside", show(rep.Ticket.Server), show(part.Server))
	}
	if !slices.Contains(etypes, part.Key.Etype()) {
		return fmt.Errorf("the session key is of type %s, allowed are %s", krb.EtypeName(part.Key.Etype()), etypeNames(etypes))
	}
	if !part.EndTime.After(startOf(part)) {
		return fmt.Errorf("the ticket ends at %v, before it starts at %v", part.EndTime, startOf(part))
	}
	if body.Options&krb.OptionRenew == 0 && part.EndTime.After(body.Till) {
		return fmt.Errorf("the ticket ends at %v, asked was for until %v", part.EndTime, body.Till)
	}
	return nil
}

func startOf(part *krb.EncKDCRepPart) time.Time {
	if part.StartTime.IsZero() {
		return part.AuthTime
	}
	return part.StartTime
}

// newTicket copies what outlives the reply.
func newTicket(rep *krb.KDCRep, part *krb.EncKDCRepPart, server krb.Principal) *krb.Ticket {
	return &krb.Ticket{
		Client: rep.Client, Server: server, Raw: bytes.Clone(rep.RawTicket), Key: part.Key, Flags: part.Flags,
		AuthTime: part.AuthTime, StartTime: startOf(part), EndTime: part.EndTime, RenewTill: part.RenewTill,
	}
}
