package system

import (
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/beside"
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

// defaultCalls is how many calls into a library run at once where no option says.
const defaultCalls = 64

// Calls returns the bound of calls into a library, by the option of that name.
func Calls(n int, library string) (calls beside.Calls, err error) {
	if n < 0 {
		return calls, fmt.Errorf("%d calls at once: want one or more, or 0 for %d", n, defaultCalls)
	}
	if n == 0 {
		n = defaultCalls
	}
	return beside.New(n, library), nil
}
