package doctor

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/messages"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// verdict sends what a client sends, and tells what becomes of it.
func (x *examination) verdict(ctx context.Context) {
	const name = "answer"
	switch {
	case x.barred:
		x.skip(name, "nothing was sent")
		return
	case x.first == nil:
		x.skip(name, "the server was not reached")
		return
	case x.first.StatusCode == http.StatusUnauthorized && !x.asked:
		x.skip(name, "the server offers nothing that Kerberos can take")
		return
	case !x.hasTicket() && (x.asked || x.in == nil):
		x.skip(name, "there is no ticket to send")
		return
	case x.tokenErr != nil:
		x.skip(name, "there is no token to send")
		return
	}
	a, err := x.get(ctx, x.o.Client)
	if a != nil {
		x.fallback(a)
	}
	if err != nil {
		x.unproved(a, err)
		return
	}
	f := facts{"status": a.StatusCode, "protocol": a.Proto}
	sc := middleware.SecurityOf(a.Request)
	verified := sc != nil && sc.Verified()
	f["verified"] = verified
	text := a.Status
	switch {
	case verified:
		text += ": the server proved that it is " + x.provedName(sc)
	case sc != nil:
		text += ": the server did not prove who it is"
	}
	if p := a.Header.Get("Persistent-Auth"); p != "" {
		f["persistent_auth"] = p
		text += "; Persistent-Auth: " + p
	}
	if to := x.location(a); to != "" {
		f["location"] = to
		text += "; it sends on to " + to
	}
	switch about := a.notes.About(a.Response); {
	case a.StatusCode == http.StatusForbidden && verified:
		x.say(name, Fail, f, text+", and refuses "+x.ticket.Client, middleware.ReasonNotAuthorized.Hint())
	case a.StatusCode == http.StatusUnauthorized, a.StatusCode >= 400 && about.Why != "":
		tries := []string{about.Try}
		if a.StatusCode == http.StatusBadRequest && !x.target.Secure && !x.asked { // as servers of https say in clear
			tries = []string{"if the server speaks TLS at port " + x.target.Port + ", begin the URL with https://", about.Try}
		}
		x.say(name, Fail, f, strings.TrimSuffix(ntlm(a)+about.What+": "+about.Why, ": "), tries...)
	case a.StatusCode >= 400:
		x.say(name, Warn, f, text+": whatever it is, authentication is not the reason")
	case sc != nil && !verified:
		x.say(name, Warn, f, text, middleware.ReasonNoToken.Hint())
	default:
		x.say(name, OK, f, text)
	}
}

func (x *examination) provedName(sc middleware.SecurityContext) string {
	if n, ok := sc.(middleware.Named); ok {
		return n.SPN()
	}
	return x.report.Service
}

// unproved tells why there is an error in the place of a response.
func (x *examination) unproved(a *answer, err error) {
	e, ok := errors.AsType[*middleware.Error](err)
	if !ok {
		x.unreachable(a, err)
		return
	}
	m := messages.Of(err)
	text, try := m.What+": "+m.Why, m.Try
	f := facts{"verified": false, "reason": e.Reason.String()}
	switch {
	case e.Reason == middleware.ReasonWrongMechanism:
		text = "NTLM, or another mechanism than Kerberos, inside Negotiate: " + text
	case e.Reason == middleware.ReasonUnverifiedRedirect && x.location(x.first) != "":
		try = "examine " + x.location(x.first) + ", where the server sends on to; to be sent on by a server that proves nothing, use mutual.Optional over a trusted TLS connection"
	case !x.asked && e.Reason == middleware.ReasonNoToken:
		try = "ask for a URL that needs authentication; or, if nobody need prove anything here, use mutual.Optional"
	}
	x.say("answer", Fail, f, text, try)
}

// ntlm names NTLM inside of Negotiate where it is that.
func ntlm(a *answer) string {
	ch, _ := challenge.Find(a.Header.Values("WWW-Authenticate"), string(middleware.Negotiate))
	if token, err := ch.Token(); err == nil && spnego.Classify(token) == spnego.NTLMSSP {
		return "NTLM inside Negotiate: "
	}
	return ""
}
