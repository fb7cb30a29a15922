package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/middleware"
)

// A message is what went wrong, in up to three lines: what for whom, why, and what to
// try.
type message struct{ what, why, try string }

// write writes a message, whatever strangers put into it.
func (m message) write(w io.Writer) {
	for _, line := range [][2]string{{"kerbchain: ", m.what}, {"  why: ", m.why}, {"  try: ", m.try}} {
		if line[1] != "" {
			fmt.Fprintln(w, line[0]+printable.Text(line[1]))
		}
	}
}

// inWords puts the command's flags in the place of the options that errors and hints
// of the library name.
var inWords = strings.NewReplacer(
	"Options.AllowDowngrade", "--allow-downgrade", "AllowDowngrade", "--allow-downgrade",
	"mutual.Optional", "--mutual optional", "mutual.Disabled", "--mutual disabled",
	"sign every request (preemptive)", "sign every request (--preemptive always)",
	"to the client (CCache)", "in --ccache", "AllowedHosts", "--allowed-hosts",
	"TrustConnection", "--trust-connection", "BindingsRequired", "--cbt require", "BindingsOff", "--cbt off", "BindingsAuto", "--cbt auto",
)

// of takes an error apart.
func of(err error) message {
	m := message{what: "no response", why: err.Error()}
	e, ok := errors.AsType[*middleware.Error](err)
	if !ok {
		return m
	}
	m.what = headline(e)
	m.why, m.try = causeOf(e)
	if m.why == "" && e.Reason != middleware.ReasonNone {
		m.why = e.Reason.String()
	} else if e.Reason != middleware.ReasonNone && !strings.HasPrefix(m.why, e.Reason.String()) {
		m.why = e.Reason.String() + ": " + m.why
	}
	// What is said in the line of its own need not stand in the cause.
	m.why = strings.TrimSuffix(strings.ReplaceAll(m.why, "\n", "; "), "; "+m.try)
	m.why, m.try = inWords.Replace(m.why), inWords.Replace(m.try)
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
			if cause, advice, ok := strings.Cut(why, "; run kinit"); ok {
				why, try = cause, "run kinit"+advice
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

// Notes are what the stages said of the last response.
type notes struct {
	mu        sync.Mutex
	challenge *middleware.ChallengeEvent
	refused   *middleware.RefusedEvent
	withheld  *middleware.WithheldEvent
	sanitized bool
}

// trace is a [middleware.Trace].
func (n *notes) trace(e middleware.Event) {
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

// about says why a response of status 400 and above is what it is, as far as the stages
// know.
func (n *notes) about(resp *http.Response) message {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := message{what: resp.Status}
	if resp.Request != nil {
		m.what += " from " + resp.Request.URL.Host
	}
	asks := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusProxyAuthRequired
	switch {
	case n.withheld != nil && n.withheld.Err != nil:
		cause := of(n.withheld.Err)
		m.why, m.try = "no token was sent: "+cause.what, cause.try
		if cause.why != "" {
			m.why += ": " + cause.why
		}
	case n.refused != nil:
		if n.refused.Reason != middleware.ReasonNone {
			m.why = n.refused.Reason.String()
		}
		if e, ok := errors.AsType[*middleware.Error](n.refused.Err); ok {
			cause := of(e)
			m.try = cause.try
			if m.why = cause.why; m.why == "" {
				m.why = cause.what
			}
		} else if n.refused.Err != nil {
			m.why = strings.TrimPrefix(m.why+": "+n.refused.Err.Error(), ": ")
		}
		if m.try == "" {
			m.try = inWords.Replace(n.refused.Reason.Hint())
		}
	case asks && n.challenge != nil && !slices.ContainsFunc(n.challenge.Schemes, negotiates):
		m.why = "it offers no way to authenticate that Kerberos can take"
		if len(n.challenge.Schemes) > 0 {
			m.why = "it offers " + strings.Join(n.challenge.Schemes, ", ") + ", and not Negotiate"
		}
		m.try = "have HTTP Negotiate switched on for this URL at the server"
	case n.sanitized:
		m.why = "the error may be anybody's, since the server did not prove its identity: its body is withheld"
		m.try = "--no-sanitize prints it"
	}
	return m
}

func negotiates(scheme string) bool {
	return strings.EqualFold(scheme, "Negotiate") || strings.EqualFold(scheme, "Kerberos")
}

// statusOf is the exit status for an error in place of a response.
func statusOf(err error) int {
	switch {
	case errors.Is(err, middleware.ErrHost):
		return exitUsage
	case errors.Is(err, middleware.ErrConfiguration):
		return exitConfiguration
	case errors.Is(err, middleware.ErrCredentials):
		return exitCredentials
	case errors.Is(err, middleware.ErrKDC):
		return exitKDC
	case errors.Is(err, middleware.ErrNotVerified):
		return exitNotVerified
	}
	return exitNetwork
}

// failed reports why there is no response.
func failed(ctx context.Context, w world, err error) int {
	if i, ok := errors.AsType[interruption](context.Cause(ctx)); ok {
		complain(w, "%v", i)
		return i.status()
	}
	code := statusOf(err)
	// The URL in a *url.Error may hold a query.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	of(err).write(w.stderr)
	return code
}

// complain writes one line to standard error, whatever strangers put into it.
func complain(w world, format string, args ...any) {
	message{what: fmt.Sprintf(format, args...)}.write(w.stderr)
}
