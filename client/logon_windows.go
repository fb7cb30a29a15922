package client

import (
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/sspi"
)

// logon makes what signs as Windows knows the user.
func (o Options) logon(sealing bool) (middleware.Initiator, error) { return sspi.New(o.sspi(sealing)) }
