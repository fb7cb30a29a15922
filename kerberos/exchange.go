package kerberos

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"strings"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// login makes an AS exchange with the given keys, unless a KDC refused the proof,
// which is a digest of all that the keys are made of, within the last minute.
func (s *Source) login(ctx context.Context, a *account, keys kdcclient.Keys, proof [sha256.Size]byte, source string) (*session, error) {
	client := a.client
	if why := a.refusal(proof); why != nil {
		return nil, s.refused(why, client)
	}
	conf := s.conf.For(client.Realm)
	tgt, err := s.kdc.AS(ctx, kdcclient.ASRequest{
		Client: client, Keys: keys, Guard: a, Etypes: supported(conf.DefaultTktEnctypes),
		Lifetime: conf.TicketLifetime, RenewLife: conf.RenewLifetime,
		Forwardable: conf.Forwardable || s.o.Forwardable || s.acts.Load(), Proxiable: conf.Proxiable,
		Canonicalize: conf.Canonicalize,
	})
	if why, ok := errors.AsType[*kdcclient.Error](err); ok && why.Refusal() {
		if !why.Kept {
			a.refuse(proof, why)
		}
		return nil, s.refused(why, client)
	}
	if err != nil {
		return nil, s.kdcError(err, client.String(), "")
	}
	if client.Type == krb.NTEnterprise {
		a.isNamed(tgt.Client)
	}
	return &session{client: tgt.Client, tgt: tgt, source: source, login: s.made.Add(1)}, nil
}

// refused is the error of a login that a KDC turned away.
func (s *Source) refused(why *kdcclient.Error, client krb.Principal) error {
	err := s.kdcError(why, client.String(), "")
	if e, ok := errors.AsType[*middleware.Error](err); ok {
		e.Hint = "this key or password is not sent again for a minute"
	}
	return err
}

func (s *Source) tgsOptions(session *session) kdcclient.TGSOptions {
	return kdcclient.TGSOptions{Etypes: supported(s.conf.DefaultTGSEnctypes), Login: session.login != 0}
}

// kdcError turns a failed exchange into an error of ours.
func (s *Source) kdcError(err error, principal, spn string) error {
	if e, ok := err.(*middleware.Error); ok {
		return withSPN(e, spn) // of a login on the way
	}
	var ke *kdcclient.Error
	if !errors.As(err, &ke) {
		return &middleware.Error{Stage: stage, Kind: middleware.ErrKDC, Principal: principal, SPN: spn, Err: err}
	}
	e := &middleware.Error{
		Stage: stage, Kind: middleware.ErrKDC, Principal: principal, SPN: spn, KDC: ke.Realm,
		Code: ke.Code, IsTemporary: ke.Temporary(), Err: err,
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && (dns.IsTemporary || dns.IsTimeout) {
		e.IsTemporary = true
	}
	if ke.Credentials() {
		e.Kind = middleware.ErrCredentials
	}
	s.hints(e, ke)
	if len(ke.KDCs) > 0 {
		var at []string
		for _, a := range ke.KDCs {
			at = append(at, a.Address+"/"+a.Network)
		}
		e.KDC += " at " + strings.Join(at, ", ")
	}
	return e
}
