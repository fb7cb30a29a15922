package kerberos

import (
	"context"
	"errors"
	"strings"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/middleware"
)

func newKDCClient(o Options, conf *krb5conf.Config) *kdcclient.Client {
	return kdcclient.New(kdcclient.Options{
		Locate:             func(_ context.Context, realm string) ([]kdcclient.KDC, error) { return locate(conf, realm), nil },
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

// locate returns the KDCs that krb5.conf names, in its order, without those
// that are spoken to in a way that is not supported yet (MS-KKDCP).
func locate(conf *krb5conf.Config, realm string) []kdcclient.KDC {
	var out []kdcclient.KDC
	for _, s := range conf.KDCs(realm) {
		if s.Proto != "https" {
			out = append(out, kdcclient.KDC{Host: s.Host, Port: s.Port, Network: s.Proto})
		}
	}
	return out
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
