// Package messages makes messages for people of the errors and events of this module:
// what failed for whom, why, and what to try.
package messages

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/middleware"
)

// A Message is what went wrong. Why and Try may be empty.
type Message struct{ What, Why, Try string }

// Of takes an error apart.
func Of(err error) Message {
	m := Message{What: "no response", Why: err.Error()}
	e, ok := errors.AsType[*middleware.Error](err)
	if !ok {
		return m
	}
	m.What = headline(e)
	m.Why, m.Try = causeOf(e)
	if m.Why == "" && e.Reason != middleware.ReasonNone {
		m.Why = e.Reason.String()
	} else if e.Reason != middleware.ReasonNone && !strings.HasPrefix(m.Why, e.Reason.String()) {
		m.Why = e.Reason.String() + ": " + m.Why
	}
	// The advice is shown by itself, and need not stand in the cause.
	m.Why = strings.TrimSuffix(strings.ReplaceAll(m.Why, "\n", "; "), "; "+m.Try)
	return m
}

// headline says what failed, for whom.
func headline(e *middleware.Error) string {
	s := "failed"
	if e.Kind != nil {
		s = e.Kind.Error()
	}
	switch {
	case e.SPN != "" && e.Host != "":
		s += ": " + e.SPN + " at " + e.Host
	case e.SPN != "" || e.Host != "":
		s += ": " + e.SPN + e.Host
	}
	if e.Principal != "" {
		s += ", as " + e.Principal
	}
	if e.KDC != "" {
		s += ", KDC " + e.KDC
	}
	return s
}

// causeOf returns the innermost cause that errors of ours lead to, and the innermost
// advice.
func causeOf(e *middleware.Error) (why, try string) {
	if e.Err != nil {
		if inner, ok := e.Err.(*middleware.Error); ok {
			why, try = causeOf(inner)
			if why == "" {
				why = headline(inner)
			}
		} else {
			why = e.Err.Error()
			if k, ok := errors.AsType[*kdcclient.Error](e.Err); ok && k.Hint != "" {
				why = strings.Replace(why, "; "+k.Hint, "", 1)
				try = hints.Join(k.Hint, e.Hint)
			}
			// The cause of an unreadable cache has advice of its own, which knows more.
			for _, begins := range []string{"run kinit", "start sssd-kcm.socket", "make a file cache"} {
				if cause, advice, ok := strings.Cut(why, "; "+begins); ok {
					why, try = cause, begins+advice
				}
			}
			if e.Kind != nil {
				why = strings.TrimPrefix(why, e.Kind.Error()+": ")
			}
		}
	}
	if try == "" {
		try = e.Hint
	}
	if try == "" {
		try = e.Reason.Hint()
	}
	return why, try
}

// Notes are what the stages said of the last response. Trace receives it. They are safe
// for concurrent use.
type Notes struct {
	mu        sync.Mutex
	challenge *middleware.ChallengeEvent
	refused   *middleware.RefusedEvent
	withheld  *middleware.WithheldEvent
	sanitized bool
}

// Trace is a [middleware.Trace].
func (n *Notes) Trace(e middleware.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch e := e.(type) {
	case middleware.ChallengeEvent:
		n.challenge, n.refused, n.withheld = &e, nil, nil
	case middleware.RefusedEvent:
		n.refused = &e
	case middleware.WithheldEvent:
		n.withheld = &e
	case middleware.SanitizedEvent:
		n.sanitized = true
	}
}

// About says why a response of status 400 and above is what it is, as far as the stages
// know.
func (n *Notes) About(resp *http.Response) Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := Message{What: resp.Status}
	if resp.Request != nil {
		m.What += " from " + resp.Request.URL.Host
	}
	asks := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusProxyAuthRequired
	switch {
	case n.withheld != nil && n.withheld.Err != nil:
		cause := Of(n.withheld.Err)
		m.Why, m.Try = "no token was sent: "+cause.What, cause.Try
		if cause.Why != "" {
			m.Why += ": " + cause.Why
		}
	case n.refused != nil:
		if n.refused.Reason != middleware.ReasonNone {
			m.Why = n.refused.Reason.String()
		}
		if e, ok := errors.AsType[*middleware.Error](n.refused.Err); ok {
			cause := Of(e)
			m.Try = cause.Try
			if m.Why = cause.Why; m.Why == "" {
				m.Why = cause.What
			}
		} else if n.refused.Err != nil {
			m.Why = strings.TrimPrefix(m.Why+": "+n.refused.Err.Error(), ": ")
		}
		if m.Try == "" {
			m.Try = n.refused.Reason.Hint()
		}
	case asks && n.challenge != nil && !slices.ContainsFunc(n.challenge.Schemes, negotiates):
		m.Why = "it offers no way to authenticate that Kerberos can take"
		if len(n.challenge.Schemes) > 0 {
			m.Why = "it offers " + strings.Join(n.challenge.Schemes, ", ") + ", and not Negotiate"
		}
		m.Try = "have HTTP Negotiate switched on for this URL at the server"
	case n.sanitized:
		m.Why = "the error may be anybody's, since the server did not prove its identity: its body is withheld"
		m.Try = "KeepErrorBodies shows it"
	}
	return m
}

func negotiates(scheme string) bool {
	return strings.EqualFold(scheme, "Negotiate") || strings.EqualFold(scheme, "Kerberos")
}
