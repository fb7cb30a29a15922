package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/middleware"
)

// A timeline prints events as they happen, each with the milliseconds since it
// began.
type timeline struct {
	mu    sync.Mutex
	w     io.Writer
	begin time.Time
	last  middleware.TicketEvent // whose line is the last one
}

func newTimeline(w io.Writer) *timeline { return &timeline{w: w, begin: time.Now()} }

// say prints one line: when, who, what. Much of it comes from peers.
func (t *timeline) say(who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = middleware.TicketEvent{}
	fmt.Fprintf(t.w, "%9.2f ms  %-10s %s\n", float64(time.Since(t.begin).Microseconds())/1000, who, printable.Line(fmt.Sprintf(format, args...)))
}

// ticket prints a line about a ticket, unless the last one was about it: it is looked for
// once before there is a connection to bind a token to, and once more then.
func (t *timeline) ticket(e middleware.TicketEvent) {
	same := e
	same.Duration = 0
	t.mu.Lock()
	repeated := t.last == same
	t.mu.Unlock()
	if repeated {
		return
	}
	how := "fetched in " + millis(e.Duration)
	if e.Cached {
		how = "at hand"
	}
	t.say("kerberos", "ticket for %s as %s from %s, %s, until %s, %s", e.SPN, e.Client, e.Source,
		krb.EtypeName(e.Etype), e.Expires.Local().Format("15:04:05"), how)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = same
}

// proof says how a client proves itself to a KDC, and whether within armour.
func proof(e middleware.ExchangeEvent) string {
	s := ""
	switch e.Preauth {
	case "timestamp":
		s = ", with an encrypted timestamp,"
	case "challenge":
		s = ", with an encrypted challenge,"
	case "SPAKE":
		s = ", with SPAKE,"
	case "OTP":
		s = ", with a one-time password,"
	}
	if e.Armored {
		s += " within FAST,"
	}
	return s
}

// trace is a [middleware.Trace].
func (t *timeline) trace(e middleware.Event) {
	switch e := e.(type) {
	case middleware.ChallengeEvent:
		offer := "and offers no way to authenticate"
		if len(e.Schemes) > 0 {
			offer = "which offers " + strings.Join(e.Schemes, ", ")
		}
		t.say("negotiate", "%d from %s, %s", e.Status, e.Host, offer)
	case middleware.CredentialsEvent:
		if e.Dropped {
			t.say(e.Stage, "user info in the URL is not used, and not sent to %s", e.Host)
			break
		}
		t.say(e.Stage, "the request bears %s of its own, and is left alone", e.Field)
	case middleware.WithheldEvent:
		t.say(e.Stage, "no token for %s: %v", e.Host, e.Err)
	case middleware.ExchangeEvent:
		result := "answered"
		switch {
		case e.Err != nil:
			result = "failed: " + e.Err.Error()
		case e.Code != 0:
			result = "answered " + krb.ErrorName(e.Code)
		}
		t.say("kdc", "%s exchange with %s/%s of %s%s %s in %s", e.Kind, e.Address, e.Network, e.Realm, proof(e), result, millis(e.Duration))
	case middleware.ConfigurationEvent:
		t.say("kerberos", "%s", e)
	case middleware.TicketEvent:
		t.ticket(e)
	case middleware.CacheEvent:
		if e.Err != nil {
			t.say("kerberos", "ticket for %s not written to %s: %v", e.Server, e.Cache, e.Err)
			break
		}
		t.say("kerberos", "ticket for %s written to %s", e.Server, e.Cache)
	case middleware.ForeignCacheEvent:
		t.say("kerberos", "%s belongs to another user, %s, and is used because it was named", e.Cache, e.Owner)
	case middleware.TokenEvent:
		var asks []string
		if e.Mutual {
			asks = append(asks, "asks for mutual authentication")
		}
		if e.Bound {
			asks = append(asks, "bound to the TLS connection")
		}
		if e.Delegate {
			asks = append(asks, "delegates the user's credentials")
		}
		if len(asks) == 0 {
			asks = append(asks, "asks for nothing")
		}
		t.say("kerberos", "%s token of %d bytes for %s, %s, made in %s", e.Scheme, e.Bytes, e.SPN, strings.Join(asks, ", "), millis(e.Duration))
	case middleware.SendEvent:
		if e.Again {
			t.say(e.Stage, "signed anew for the connection that was taken")
			break
		}
		t.say(e.Stage, "request %d to %s, signed", e.Request, e.Host)
	case middleware.RefusedEvent:
		why, try := e.Reason.String(), e.Reason.Hint()
		_, ours := errors.AsType[*middleware.Error](e.Err)
		switch {
		case e.Err == nil:
		case ours: // which gives its own advice
			m := of(e.Err)
			why, try = cmp.Or(m.why, m.what), m.try
		case e.Reason == middleware.ReasonNone:
			why = e.Err.Error()
		default:
			why += ": " + e.Err.Error()
		}
		if try != "" {
			why += "; " + try
		}
		t.say("negotiate", "%d from %s stands: %s", e.Status, e.Host, why)
	case middleware.DiscardEvent:
		t.say("negotiate", "%s cannot use the ticket (%s), which is dropped", e.Host, krb.ErrorName(e.Code))
	case middleware.FallbackEvent:
		t.say("negotiate", "%s does not authenticate over HTTP/2, and is asked over HTTP/1.1", e.Host)
	case middleware.VerdictEvent:
		switch {
		case e.Trusted:
			t.say("mutual", "%d from %s trusted: %s proved itself on this connection before", e.Status, e.Host, e.SPN)
			return
		case e.Verified:
			t.say("mutual", "%d from %s verified: the server holds the key of %s", e.Status, e.Host, e.SPN)
			return
		}
		passed := "passed"
		if e.Err != nil {
			passed = "refused"
		}
		t.say("mutual", "%d from %s not verified (%s), %s as %s", e.Status, e.Host, e.Reason, passed, e.Mode)
	case middleware.SanitizedEvent:
		t.say("sanitize", "%d from %s emptied", e.Status, e.Host)
	}
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
