package seal

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stage"
)

const name = "seal"

const (
	defaultMaxBody = 64 << 20
	// defaultIdle is half of what http.sys gives an idle connection, and WinRM with it.
	defaultIdle = time.Minute
)

// A Mode says which requests are sealed.
type Mode int

// The modes. A value that is none of them acts as Auto.
const (
	// Auto seals what is sent over plain HTTP.
	Auto Mode = iota
	// Always seals over TLS as well.
	Always
	// Never seals nothing. Over plain HTTP, anybody on the way can then read and
	// change every message.
	Never
)

var modes = [...]string{Auto: "auto", Always: "always", Never: "never"}

// String returns "auto", "always" or "never".
func (m Mode) String() string {
	if m < 0 || int(m) >= len(modes) {
		return fmt.Sprintf("mode %d", int(m))
	}
	return modes[m]
}

// Seals reports whether a request is sealed in this mode, which its URL tells. One
// without a URL is not.
func (m Mode) Seals(r *http.Request) bool {
	if r.URL == nil || m == Never {
		return false
	}
	return m == Always || !strings.EqualFold(r.URL.Scheme, "https")
}

// Options are the choices of [New]. The zero value is the safe default.
type Options struct {
	// Mode says which requests are sealed.
	Mode Mode
	// MaxBody bounds the bodies of requests and answers, in bytes, each of
	// which is held in memory. 0 and less mean 64 MiB. A longer one is
	// an error.
	MaxBody int64
	// Resend authenticates again and sends a message once more if its response is 401
	// or 407. Without it, that is the response. Nothing protects a 401: anybody on
	// the way can put one in place of the response to a message that was carried out,
	// and so have it carried out twice. Set it where that does no harm, and servers
	// forget sessions that are not idle.
	Resend bool
	// Idle is how long a session may be idle and still carry a message; after that
	// the connection is first authenticated again, with an empty request. 0 means
	// a minute, less than 0 no limit. It should be shorter than the time after
	// which the server, or a proxy on the way, closes an idle connection.
	Idle time.Duration
}

// New returns the stage; auth are the stages that authenticate a connection, mutual
// among them. Each wiring has its own context and its own connection.
//
// A request to be sealed that has an Authorization header is an error. One that is
// not to be sealed goes through auth, as if this stage were not there.
//
// Errors are those of auth, of the transport below, and of type
// [*middleware.Error].
func New(auth kerbchain.Middleware, o Options) kerbchain.Middleware {
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	o.MaxBody = min(o.MaxBody, math.MaxInt64-1)
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	auth = kerbchain.Chain(auth) // nil passes
	return func(next kerbchain.Next) kerbchain.Next {
		s := &session{Options: o, next: next, signed: auth(next), turn: make(chan struct{}, 1)}
		return stage.ForCallers(s.roundTrip)
	}
}
