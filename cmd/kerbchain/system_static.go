//go:build !windows && !(cgo || darwin || gssapi)

package main

import (
	"errors"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/middleware"
)

// bySystem says how to build a program that can load the GSS-API library.
func (f *getFlags) bySystem(o client.Options) (client.Options, error) {
	return o, &middleware.Error{
		Stage: "kerbchain", Kind: middleware.ErrConfiguration,
		Err:  errors.New("this kerbchain was built without cgo, and so is linked statically and cannot load the system's GSS-API library"),
		Hint: "build it with CGO_ENABLED=1 or with -tags gssapi, or use --credentials own",
	}
}
