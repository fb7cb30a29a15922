package kerberos

import (
	"context"
	"strings"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// warn tells the trace, once, about errors in krb5.conf.
func (s *Source) warn(ctx context.Context) {
	if len(s.conf.Warnings) == 0 || !middleware.Tracing(ctx) || !s.warned.CompareAndSwap(false, true) {
		return
	}
	for _, w := range s.conf.Warnings {
		middleware.Emit(ctx, middleware.ConfigurationEvent{Where: w.Where(), Text: w.Text})
	}
}

// etypeRelations are the relations of krb5.conf that choose encryption types.
var etypeRelations = []string{"permitted_enctypes", "default_tkt_enctypes", "default_tgs_enctypes"}

// concerns returns, as a hint, the warnings about krb5.conf that may explain a failed
// exchange.
func (s *Source) concerns(e *kdcclient.Error) string {
	switch {
	case e.Kind == kdcclient.KindNoKDC || e.Kind == kdcclient.KindUnreachable:
		return s.warnings(e.Realm)
	case e.Kind == kdcclient.KindKey, e.Kind == kdcclient.KindRequest, e.Code == krb.CodeEtypeNoSupport:
		return s.warnings(etypeRelations...)
	}
	return ""
}

// warnings returns the warnings about the given relations and realms of krb5.conf.
func (s *Source) warnings(about ...string) string {
	var all []string
	for _, w := range s.conf.Concerns(about...) {
		all = append(all, w.String())
	}
	if len(all) == 0 {
		return ""
	}
	return "look at " + strings.Join(all, "; ")
}

// likeRealms guesses which client name was meant, by the realms of krb5.conf: one in
// lower case was written, or DOMAIN\name as on Windows.
func (s *Source) likeRealms(p krb.Principal, written string) string {
	known := append([]string{s.conf.DefaultRealm}, s.conf.Realms()...)
	for _, realm := range known {
		switch {
		case realm == "" || realm == p.Realm:
		case strings.EqualFold(realm, p.Realm):
			right := p
			right.Realm = realm
			return "did you mean " + right.String() + "? Upper and lower case count in realms"
		}
	}
	domain, name, ok := strings.Cut(written, `\`)
	if !ok || strings.Contains(domain, "@") {
		return ""
	}
	name, _, _ = strings.Cut(name, "@")
	for _, realm := range known {
		if first, _, _ := strings.Cut(realm, "."); realm != "" && (strings.EqualFold(realm, domain) || strings.EqualFold(first, domain)) {
			return "did you mean " + krb.NewPrincipal(realm, name).String() + `? DOMAIN\name is no principal`
		}
	}
	return `write name@REALM: DOMAIN\name is no principal`
}

// hints adds to the error of a login what krb5.conf and the written name suggest.
func (s *Source) hints(e *middleware.Error, ke *kdcclient.Error) {
	if ke.Kind == kdcclient.KindNoKDC || ke.Code == krb.CodeClientUnknown || ke.Code == krb.CodeWrongRealm {
		// The exchange gives the same hint where it can without knowing the realms.
		if like := s.likeRealms(ke.Principal, s.o.Principal); like != "" && !strings.Contains(ke.Hint, "in capitals: ") {
			e.Hint = hints.Join(e.Hint, like)
		}
	}
	e.Hint = hints.Join(e.Hint, s.concerns(ke))
}
