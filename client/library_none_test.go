//go:build !interop

package client_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
)

// signing returns o as it is: package kerberos signs.
func signing(_ *testing.T, _ *fakekdc.Realm, _ string, o client.Options) client.Options { return o }

// asSigned returns a forgery as it is.
func asSigned(f forgery, _ string, _ int32) forgery { return f }
