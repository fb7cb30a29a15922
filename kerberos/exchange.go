package kerberos

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// login makes an AS exchange with the given keys.
func (s *Source) login(ctx context.Context, client krb.Principal, keys kdcclient.Keys, source string) (*session, error) {
	conf := s.conf.For(client.Realm)
	tgt, err := s.kdc.AS(ctx, kdcclient.ASRequest{
		Client: client, Keys: keys, Etypes: supported(conf.DefaultTktEnctypes),
		Lifetime: conf.TicketLifetime, RenewLife: conf.RenewLifetime,
		Forwardable: conf.Forwardable || s.o.Forwardable, Proxiable: conf.Proxiable,
		Canonicalize: conf.Canonicalize,
	})
	if err != nil {
		return nil, s.kdcError(err, client.String(), "")
	}
	return &session{client: tgt.Client, tgt: tgt, source: source}, nil
}

func (s *Source) tgsOptions() kdcclient.TGSOptions {
	return kdcclient.TGSOptions{Etypes: supported(s.conf.DefaultTGSEnctypes)}
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
