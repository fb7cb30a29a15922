package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// prober is whom KDCs are asked for: a principal that is nowhere, so that the question
// counts against nobody's account and every KDC answers with its time.
const prober = "kerbchain-doctor"

// A probed realm is one whose KDCs were asked.
type probed struct {
	realm string
	kdcs  []kdcclient.Probe
	err   error // why nobody was asked
}

func (p probed) answered() bool {
	return slices.ContainsFunc(p.kdcs, func(k kdcclient.Probe) bool { return k.Err == nil })
}

// probe asks the KDCs of the client's realm and of the service's.
func (x *examination) probe(ctx context.Context) {
	if x.inside.Config == nil {
		return
	}
	for _, realm := range []string{x.clientRealm(), x.serviceRealm()} {
		if realm == "" || slices.ContainsFunc(x.realms, func(p probed) bool { return p.realm == realm }) {
			continue
		}
		p := probed{realm: realm}
		p.kdcs, p.err = x.inside.KDCs.Probe(ctx, krb.NewPrincipal(realm, prober))
		x.realms = append(x.realms, p)
	}
}

// clientRealm is the realm of the credentials, or of the principal that is wanted, or that
// of krb5.conf; "" for none.
func (x *examination) clientRealm() string {
	for _, name := range []string{x.choice.Client, x.principal} {
		if p, err := krb.ParsePrincipal(name); err == nil && p.Realm != "" {
			return p.Realm
		}
	}
	return x.inside.Config.DefaultRealm
}

// serviceHost is the host in the service principal.
func (x *examination) serviceHost() string {
	name, _, _ := strings.Cut(x.report.Service, "@")
	_, host, _ := strings.Cut(name, "/")
	// The colons of an address of IPv6 begin no port.
	if name, port, ok := strings.Cut(host, ":"); ok && !strings.Contains(port, ":") {
		return name
	}
	return host
}

// serviceRealm is the realm of the service, "" where a KDC is to say which.
func (x *examination) serviceRealm() string {
	if _, realm, ok := strings.Cut(x.report.Service, "@"); ok {
		return realm
	}
	realm, _ := x.inside.Config.RealmOf(x.serviceHost())
	return realm
}

// realm tells the realm of the service, and how it was found.
func (x *examination) realm(ctx context.Context) {
	conf, host := x.inside.Config, x.serviceHost()
	switch {
	case conf == nil:
		x.skip("realm", x.unseen())
		return
	case x.report.Service == "":
		x.skip("realm", "it is not known for which service a ticket is wanted")
		return
	}
	realm := x.serviceRealm()
	f := facts{"realm": realm, "client_realm": x.clientRealm()}
	text, where := realm+", as the options say", "the options"
	switch name, at := conf.Mapping(host); {
	case realm == "":
		text = fmt.Sprintf("%s is in no line of [domain_realm]: the KDC of %s knows its realm", host, x.clientRealm())
		if next := x.inside.FallbackRealm(ctx, host); next != "" && next != x.clientRealm() {
			text += ", or it is looked for in " + next
			f["fallback"] = next
		}
		x.say("realm", OK, f, text)
		return
	case !strings.Contains(x.report.Service, "@"):
		where = at.Where()
		text = fmt.Sprintf("%s, by %s = %s (%s)", realm, name, realm, where)
	}
	f["where"] = where
	for _, p := range x.realms {
		if p.realm == realm && p.err != nil && realm != x.clientRealm() {
			x.say("realm", x.blames(x.ticketErr != nil), f, fmt.Sprintf("%s: %v", text, p.err),
				fmt.Sprintf("if %s is not of realm %s, mend %s; else %s", host, realm, where, hints.NoKDC(realm)))
			return
		}
	}
	x.say("realm", OK, f, text)
}

// blames is Fail, if something explains that there is no ticket, and else Warn.
func (x *examination) blames(explains bool) Status {
	if !explains {
		return Warn
	}
	x.explained = true
	return Fail
}

// kdcs tells which KDCs answered, and how soon.
func (x *examination) kdcs() {
	if x.inside.Config == nil {
		x.skip("kdc", x.unseen())
		return
	}
	if len(x.realms) == 0 {
		x.say("kdc", Fail, nil, "no realm is known to look for a KDC of", "set default_realm in krb5.conf, or give a principal with its realm")
		x.explained = true
	}
	for _, p := range x.realms {
		switch {
		case p.err != nil && p.realm != x.clientRealm(): // the realm's line says so
		case p.err != nil:
			x.say("kdc", x.blames(!x.hasTicket()), facts{"realm": p.realm}, fmt.Sprintf("%s: %v", p.realm, p.err), noKDC(p))
		default:
			x.answers(p)
		}
		x.clock(p)
	}
}

// noKDC says what to try where no KDC of a realm is known.
func noKDC(p probed) string {
	if aboutNames(p.err) == askOthers {
		return askOthers + ", or name its KDCs in [realms] in krb5.conf"
	}
	return hints.NoKDC(p.realm)
}

func (x *examination) answers(p probed) {
	none := Warn
	if !p.answered() {
		none = x.blames(!x.hasTicket())
	}
	var at []hints.At
	for _, k := range p.kdcs {
		if _, unnamed := errors.AsType[*net.DNSError](k.Err); !unnamed {
			at = append(at, hints.At{Network: k.Network, Address: k.Address})
		}
	}
	for _, k := range p.kdcs {
		f := facts{"realm": p.realm, "address": k.Address, "network": k.Network}
		text := p.realm + ": " + k.Address
		if k.Network != "" { // else no address was found to ask at
			text += " over " + k.Network
		}
		if k.Err == nil {
			f["milliseconds"] = float64(k.Took.Microseconds()) / 1000
			x.say("kdc", OK, f, fmt.Sprintf("%s answers in %v", text, k.Took.Round(10*time.Microsecond)))
			continue
		}
		try := hints.Unreachable(at...)
		switch names := aboutNames(k.Err); {
		case names == lookAtNames:
			try = lookAtNames + ", and at [realms] in krb5.conf"
		case names != "":
			try = names
		case !p.answered():
		case k.Network == "tcp":
			try = fmt.Sprintf("let TCP through to %s: answers too large for a datagram come by TCP alone, such as tickets of users in many groups", k.Address)
		case k.Network == "udp":
			try = "let UDP through to " + k.Address + ", or set udp_preference_limit = 1 in krb5.conf, which saves the wait for it"
		}
		x.say("kdc", none, f, fmt.Sprintf("%s does not answer: %v", text, k.Err), try)
	}
}

// clock compares the clocks of a realm's KDCs with that of this machine.
func (x *examination) clock(p probed) {
	var most kdcclient.Probe
	for _, k := range p.kdcs {
		if k.Timed && (!most.Timed || k.Clock.Abs() > most.Clock.Abs()) {
			most = k
		}
	}
	if !most.Timed {
		return
	}
	f := facts{"of": most.Address, "ahead_seconds": most.Clock.Seconds()}
	text := fmt.Sprintf("%s of %s %s", most.Address, p.realm, ahead(most.Clock))
	conf := x.inside.Config
	switch e := kdcError(x.ticketErr); {
	case most.Clock.Abs() <= conf.ClockSkew:
		x.say("clock", OK, f, text)
	case e != nil && e.Kind == kdcclient.KindSkew:
		x.say("clock", x.blames(true), f, fmt.Sprintf("%s, more than the %v that are allowed (clockskew)", text, conf.ClockSkew), hints.KDC(krb.CodeSkew))
	default:
		x.say("clock", Warn, f, text+", which tokens make up for (kdc_timesync)", hints.KDC(krb.CodeSkew))
	}
}

// ahead says how far another's clock is from ours.
func ahead(d time.Duration) string {
	switch s := d.Round(time.Second); {
	case s > 0:
		return fmt.Sprintf("is %v ahead of this machine", s)
	case s < 0:
		return fmt.Sprintf("is %v behind this machine", -s)
	}
	return "has the time of this machine"
}

// kdcError returns what an exchange failed of, nil for other errors.
func kdcError(err error) *kdcclient.Error {
	e, _ := errors.AsType[*kdcclient.Error](err)
	return e
}

// hasTicket reports whether there is a ticket, which may have been at hand.
func (x *examination) hasTicket() bool { return x.context != nil }
