// Package inspect lets package doctor see what a ticket source goes by, which nobody
// else needs: it asks by the context of a call, and the source answers into it.
package inspect

import (
	"context"
	"net/netip"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

// A Source is what a ticket source goes by. It is used by one goroutine, and what it
// points to is the source's own.
type Source struct {
	Config *krb5conf.Config
	// KDCs makes the source's exchanges, and knows what it knows of KDCs and clocks.
	KDCs *kdcclient.Client
	// Now is the source's clock.
	Now func() time.Time
	// Store is the cache that is taken, or that is wanting in some way; nil where
	// there is none to take.
	Store ccache.Store
	// Why that cache is taken.
	Why string
	// Keytab is the path of the keytab that the source logs in with, "" for none.
	Keytab string
	// ClientKeytabs are the paths at which a client keytab is looked for.
	ClientKeytabs []string
	// Ours reports whether files of a user are those of the process.
	Ours func(uid int) bool
	// FallbackRealm is the realm of a host that krb5.conf gives none, and that the
	// client's KDC does not know.
	FallbackRealm func(ctx context.Context, host string) string
	// Names looks up the names of hosts; nil where the source cannot.
	Names Names
}

// Names looks up the names of hosts, as [*net.Resolver] does.
type Names interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

type key struct{}

// Ask returns a context in which a source that is asked to choose credentials tells
// what it goes by, also where it finds none to choose.
func Ask(ctx context.Context, into *Source) context.Context {
	return context.WithValue(ctx, key{}, into)
}

// Asked returns where to tell, nil if nobody wants to know.
func Asked(ctx context.Context) *Source {
	s, _ := ctx.Value(key{}).(*Source)
	return s
}
