package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/kerbchain/kerbchain/internal/dnslookup"
	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/inspect"
	"github.com/kerbchain/kerbchain/kerberos"
)

const (
	lookAtNames = "look for mistakes in the name, and at the name servers of this machine"
	askOthers   = "the name servers of this machine do not answer as they should: look at its network or VPN, and at which ones it asks (/etc/resolv.conf)"
	useName     = hints.UseName
)

// maxAddresses bounds how many of a host's addresses are told.
const maxAddresses = 8

// host tells what DNS says of the server's name, and what that is to Kerberos.
func (x *examination) host(ctx context.Context) {
	host := x.target.Host
	if hostname.IsAddress(host) {
		x.say("host", Warn, facts{"name": host}, host+" is an address, for which there is hardly ever a service principal", useName)
		return
	}
	var names inspect.Names = dnslookup.Names{Resolver: net.DefaultResolver}
	if x.inside.Names != nil {
		names = x.inside.Names
	} else if given, ok := x.o.Client.Resolver.(inspect.Names); ok { // of a source that could not be made
		names = given
	}
	f := facts{"name": host}
	text := host
	if cname, err := names.LookupCNAME(ctx, host+"."); err == nil {
		if cname, err = hostname.Normal(cname); err == nil && cname != host {
			f["cname"] = cname
			text += " is another name of " + cname
		}
	}
	addrs, err := names.LookupNetIP(ctx, "ip", host)
	if err != nil {
		said := "DNS knows no address"
		if aboutNames(err) == askOthers {
			said = "DNS tells no address"
		}
		x.say("host", Warn, f, fmt.Sprintf("%s: %s: %v", text, said, err), cmp.Or(aboutNames(err), lookAtNames))
		return
	}
	shown, back := []string{}, []string{} // which JSON has as lists, empty or not
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		at := a.Unmap().String()
		shown = append(shown, at)
		if ptr, err := names.LookupAddr(ctx, at); err == nil && len(ptr) > 0 {
			back = append(back, strings.TrimSuffix(ptr[0], "."))
			at += " (" + back[len(back)-1] + ")"
		}
		text += ", " + at
	}
	f["addresses"], f["ptr"] = shown, back
	x.say("host", OK, f, text)
	x.canonicalization(ctx)
}

// aboutNames says what to try where DNS is at fault, "" where something else is.
func aboutNames(err error) string {
	e, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return ""
	case e.IsNotFound:
		return lookAtNames
	}
	return askOthers
}

// canonicalization tells whether DNS may name the server where the KDC does not know
// it by the name in the URL.
func (x *examination) canonicalization(ctx context.Context) {
	source := x.dns
	if source == nil {
		return
	}
	const name = "canonical"
	said := func(text string) { x.say(name, OK, facts{"host": x.canonical}, text) }
	// What DNS would say, whether it is asked or not.
	x.canonical, _ = source.CanonicalHost(ctx, x.target.Host, false)
	if x.canonical == x.target.Host {
		x.canonical = ""
	}
	configured := ""
	if x.o.Client.Canonicalize == kerberos.CanonicalizeAsConfigured {
		configured, _ = source.CanonicalHost(ctx, x.target.Host, true)
	}
	switch {
	case x.fixed:
		said("the options name the service, and DNS is not asked")
	case x.o.Client.Canonicalize == kerberos.CanonicalizeNever:
		said("the name in the URL counts alone, as the options say")
	case x.o.Client.Canonicalize == kerberos.CanonicalizeAsConfigured && configured == "":
		said("the name in the URL counts alone, since krb5.conf lets DNS name no other (dns_canonicalize_hostname)")
	case x.canonical == "":
		said("DNS has no other name")
	default:
		x.canonicalized = true
		said("if the KDC does not know " + x.report.Service + ", it is asked for " + x.canonical + " next, the name that DNS gives")
	}
}
