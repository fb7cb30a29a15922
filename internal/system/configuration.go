package system

import (
	"errors"

	"github.com/kerbchain/kerbchain/middleware"
)

// An advice is an error with what to try.
type advice struct{ text, hint string }

func (a *advice) Error() string { return a.text }

// Advise returns an error about options or the machine, with what to try.
func Advise(text, hint string) error { return &advice{text, hint} }

// Configuration returns the error of a constructor.
func Configuration(stage string, err error) *middleware.Error {
	e := &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, Err: err}
	if a, ok := errors.AsType[*advice](err); ok {
		e.Hint = a.hint
	}
	return e
}
