//go:build !windows

package client

import (
	"runtime"

	"github.com/kerbchain/kerbchain/middleware"
)

// logon is for Windows. Elsewhere nothing of package sspi is linked.
func (o Options) logon(bool) (middleware.Initiator, error) { return nil, notHere(runtime.GOOS) }
