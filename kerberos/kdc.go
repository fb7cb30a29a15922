package kerberos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/middleware"
)

func newKDCClient(o Options, conf *krb5conf.Config) *kdcclient.Client {
	return kdcclient.New(kdcclient.Options{
		Locate: func(ctx context.Context, realm string) ([]kdcclient.KDC, error) {
			return locate(ctx, conf, o.Resolver, realm)
		},
		Dial:               o.Dial,
		Now:                o.Now,
		Etypes:             these(conf.PermittedEnctypes),
		UDPPreferenceLimit: conf.UDPPreferenceLimit,
		Clockskew:          conf.ClockSkew,
		Timesync:           conf.KDCTimesync,
	})
}

// these is a list that is not nil, which would mean the default: krb5.conf may
// permit nothing that we can use, and that is to be an error.
func these(etypes []int32) []int32 { return append([]int32{}, etypes...) }

// A Resolver finds services in DNS (RFC 2782). [*net.Resolver] is one. It is safe
// for concurrent use.
type Resolver interface {
	// LookupSRV is that of [net.Resolver]: records by priority, and by weight
	// at random within one.
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// locate returns the KDCs that krb5.conf names, in its order, without those
// that are spoken to in a way that is not supported yet (MS-KKDCP); and where
// it names none, those that DNS knows (RFC 4120 section 7.2.3).
func locate(ctx context.Context, conf *krb5conf.Config, dns Resolver, realm string) ([]kdcclient.KDC, error) {
	servers := conf.KDCs(realm)
	if len(servers) == 0 && conf.DNSLookupKDC {
		return locateInDNS(ctx, dns, realm)
	}
	var out []kdcclient.KDC
	for _, s := range servers {
		if s.Proto != "https" {
			out = append(out, kdcclient.KDC{Host: s.Host, Port: s.Port, Network: s.Proto})
		}
	}
	return out, nil
}

// locateInDNS asks for _kerberos._udp and _kerberos._tcp. A server that is in
// both lists is good for both, in the place of the first.
func locateInDNS(ctx context.Context, dns Resolver, realm string) ([]kdcclient.KDC, error) {
	if dns == nil {
		dns = net.DefaultResolver
	}
	var out []kdcclient.KDC
	var failed error
	for _, proto := range []string{"udp", "tcp"} {
		// The final dot keeps search domains away from the realm.
		_, records, err := dns.LookupSRV(ctx, "kerberos", proto, strings.TrimSuffix(realm, ".")+".")
		var missing *net.DNSError
		if err != nil && !(errors.As(err, &missing) && missing.IsNotFound) {
			failed = err
			continue
		}
		for _, r := range records {
			host := strings.TrimSuffix(r.Target, ".")
			if host == "" || r.Port == 0 {
				continue // "." says that there is no such service
			}
			same := func(k kdcclient.KDC) bool {
				return strings.EqualFold(k.Host, host) && k.Port == int(r.Port) && k.Network != proto
			}
			if i := slices.IndexFunc(out, same); i >= 0 {
				out[i].Network = ""
				continue
			}
			out = append(out, kdcclient.KDC{Host: host, Port: int(r.Port), Network: proto})
		}
	}
	if len(out) == 0 && failed != nil {
		return nil, fmt.Errorf("look up _kerberos._udp.%[1]s and _kerberos._tcp.%[1]s in DNS: %[2]w", realm, failed)
	}
	return out, nil
}

// login makes an AS exchange with the given keys.
func (s *Source) login(ctx context.Context, client krb.Principal, keys kdcclient.Keys, source string) (*session, error) {
	conf := s.conf.For(client.Realm)
	tgt, err := s.kdc.AS(ctx, kdcclient.ASRequest{
		Client: client, Keys: keys, Etypes: these(conf.DefaultTktEnctypes),
		Lifetime: conf.TicketLifetime, RenewLife: conf.RenewLifetime,
		Forwardable: conf.Forwardable || s.o.Forwardable, Proxiable: conf.Proxiable,
	})
	if err != nil {
		return nil, s.kdcError(err, client.String(), "")
	}
	return &session{client: tgt.Client, tgt: tgt, source: source}, nil
}

func (s *Source) tgsOptions() kdcclient.TGSOptions {
	return kdcclient.TGSOptions{Etypes: s.conf.DefaultTGSEnctypes}
}

// kdcError turns a failed exchange into an error of ours.
func (s *Source) kdcError(err error, principal, spn string) error {
	var ke *kdcclient.Error
	if !errors.As(err, &ke) {
		return &middleware.Error{Stage: stage, Kind: middleware.ErrKDC, Principal: principal, SPN: spn, Err: err}
	}
	e := &middleware.Error{
		Stage: stage, Kind: middleware.ErrKDC, Principal: principal, SPN: spn, KDC: ke.Realm,
		Code: ke.Code, Retryable: ke.Temporary(), Err: err,
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && (dns.IsTemporary || dns.IsTimeout) {
		e.Retryable = true
	}
	if ke.Credentials() {
		e.Kind = middleware.ErrCredentials
	}
	if len(ke.KDCs) > 0 {
		var at []string
		for _, a := range ke.KDCs {
			at = append(at, a.Address+"/"+a.Network)
		}
		e.KDC += " at " + strings.Join(at, ", ")
	}
	return e
}
