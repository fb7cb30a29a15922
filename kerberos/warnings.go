package kerberos

import (
	"context"
	"strings"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// warn tells a trace, once, what in krb5.conf is not as it was meant.
func (s *Source) warn(ctx context.Context) {
	if len(s.conf.Warnings) == 0 || !middleware.Tracing(ctx) || !s.warned.CompareAndSwap(false, true) {
		return
	}
	for _, w := range s.conf.Warnings {
		middleware.Emit(ctx, middleware.ConfigurationEvent{Where: w.Where(), Text: w.Text})
	}
}

// etypeRelations are those of krb5.conf that say which encryption types are used.
var etypeRelations = []string{"permitted_enctypes", "default_tkt_enctypes", "default_tgs_enctypes"}

// concerns returns the warnings about krb5.conf to which a failed exchange may be due,
// as a hint.
func (s *Source) concerns(e *kdcclient.Error) string {
	switch {
	case e.Kind == kdcclient.KindNoKDC || e.Kind == kdcclient.KindUnreachable:
		return s.warnings(e.Realm)
	case e.Kind == kdcclient.KindKey, e.Kind == kdcclient.KindRequest, e.Code == krb.CodeEtypeNoSupport:
		return s.warnings(etypeRelations...)
	}
	return ""
}

// warnings returns what is to be looked at in krb5.conf because of some relations and
// realms.
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

// likeRealms returns what a client's name probably should have been, by the realms
// that krb5.conf knows: one in small letters, or DOMAIN\name as Windows has it.
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

// hints adds to an error of a login what krb5.conf and the name tell of it.
func (s *Source) hints(e *middleware.Error, ke *kdcclient.Error) {
	if ke.Kind == kdcclient.KindNoKDC || ke.Code == krb.CodeClientUnknown || ke.Code == krb.CodeWrongRealm {
		// The exchange knows the rule already, if not the realms.
		if like := s.likeRealms(ke.Principal, s.o.Principal); like != "" && !strings.Contains(ke.Hint, "in capitals: ") {
			e.Hint = hints.Join(e.Hint, like)
		}
	}
	e.Hint = hints.Join(e.Hint, s.concerns(ke))
}
