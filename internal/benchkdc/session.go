package benchkdc

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A Target is a KDC and what it knows.
type Target struct {
	// Addr is host:port of the KDC, for UDP and TCP; the host is a loopback
	// address.
	Addr string
	// Client is a user with realm, who has Password and must pre-authenticate
	// with a timestamp.
	Client   krb.Principal
	Password string
	// Service is what TGS exchanges ask for, of the client's realm.
	Service krb.Principal
	// Etype is the encryption type that is asked for.
	Etype int32
}

// A Session is a user who has logged in. It is safe for concurrent use.
type Session struct {
	addr    string
	client  krb.Principal
	service krb.Principal
	key     krb.Key // of the client
	tgt     *krb.Ticket
	nonce   atomic.Int32
}

// Login logs the user in, as any client would, and keeps the key and the ticket.
func Login(ctx context.Context, t Target) (*Session, error) {
	at, err := netip.ParseAddrPort(t.Addr)
	if err != nil {
		return nil, fmt.Errorf("KDC: want host:port of a loopback address: %w", err)
	}
	if !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("KDC at %s: not a loopback address; this load is for machines of one's own", at)
	}
	keys := &keptKey{Keys: kdcclient.Password(t.Client, t.Password)}
	c := kdcclient.New(kdcclient.Options{
		Locate: func(context.Context, string) ([]kdcclient.KDC, error) {
			return []kdcclient.KDC{{Host: at.Addr().String(), Port: int(at.Port())}}, nil
		},
		Etypes: []int32{t.Etype},
	})
	tgt, err := c.AS(ctx, kdcclient.ASRequest{Client: t.Client, Keys: keys})
	if err != nil {
		return nil, err
	}
	return &Session{addr: t.Addr, client: t.Client, service: t.Service, key: keys.key, tgt: tgt}, nil
}

// keptKey remembers the key that was used last.
type keptKey struct {
	kdcclient.Keys
	key krb.Key
}

func (k *keptKey) Key(ctx context.Context, info krb.EtypeInfo, kvno uint32) (kdcclient.KeyEntry, error) {
	entry, err := k.Keys.Key(ctx, info, kvno)
	k.key = entry.Key
	return entry, err
}
