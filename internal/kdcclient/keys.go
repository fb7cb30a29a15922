package kdcclient

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Keys are a client's long-term keys. Implementations are safe for concurrent
// use.
type Keys interface {
	// Etypes returns the encryption types that there are keys of, nil for all.
	Etypes() []int32
	// Key returns the key for one entry of the KDC's ETYPE-INFO2. An entry
	// without a salt means the default one. kvno is the version that the KDC
	// used, a hint, 0 where it is not known. To make a key may take up to half a
	// second, or until ctx ends. Its error is for people; it must not hold
	// secrets.
	Key(ctx context.Context, info krb.EtypeInfo, kvno uint32) (krb.Key, error)
}

// Password returns the keys that are made of a client's password (RFC 4120
// section 3.1.3). The default salt is that of client. An entry that asks for fewer
// iterations than its type's default is refused ([krb.CheckIterations]): anybody
// can forge one.
func Password(client krb.Principal, secret string) Keys {
	return &password{client: client, secret: func() string { return secret }, turn: make(chan struct{}, 1)}
}

type password struct {
	client krb.Principal
	secret func() string // a function, into which no verb of fmt reaches

	// The key that was made last, for who holds turn: to make one is meant to
	// take time.
	turn chan struct{}
	info krb.EtypeInfo
	key  krb.Key
}

func (p *password) Etypes() []int32 { return nil }

func (p *password) Key(ctx context.Context, info krb.EtypeInfo, _ uint32) (krb.Key, error) {
	if err := krb.CheckIterations(info.Etype, info.Params); err != nil {
		return krb.Key{}, err
	}
	if !info.HasSalt {
		info.Salt, info.HasSalt = p.client.Salt(), true
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return krb.Key{}, fmt.Errorf("key of the password: %w", context.Cause(ctx))
	}
	if !p.key.IsZero() && p.info.Etype == info.Etype && p.info.Salt == info.Salt && bytes.Equal(p.info.Params, info.Params) {
		return p.key, nil
	}
	key, err := krb.StringToKeyContext(ctx, info.Etype, p.secret(), info.Salt, info.Params)
	if err == nil {
		info.Params = bytes.Clone(info.Params)
		p.info, p.key = info, key
	}
	return key, err
}

// Format tells no secrets.
func (p *password) Format(f fmt.State, _ rune) {
	io.WriteString(f, "[password of "+p.client.String()+"]")
}

// A KeyEntry is one key of a keytab.
type KeyEntry struct {
	Key  krb.Key
	Kvno uint32
}

// KeyTable returns the keys of a keytab, all of one principal. Of one type the
// highest version is used, or the one that the KDC says it used; version 0 says
// nothing, in a keytab as in a reply. Salts do not matter.
func KeyTable(entries []KeyEntry) Keys {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b KeyEntry) int { return cmp.Compare(b.Kvno, a.Kvno) })
	return keyTable(entries)
}

type keyTable []KeyEntry // highest version first

func (t keyTable) Etypes() []int32 {
	out := make([]int32, 0, len(t))
	for _, e := range t {
		if !slices.Contains(out, e.Key.Etype()) {
			out = append(out, e.Key.Etype())
		}
	}
	return out
}

func (t keyTable) Key(_ context.Context, info krb.EtypeInfo, kvno uint32) (krb.Key, error) {
	var newest krb.Key
	for _, e := range t {
		if e.Key.Etype() != info.Etype {
			continue
		}
		if kvno != 0 && e.Kvno == kvno {
			return e.Key, nil
		}
		if newest.IsZero() {
			newest = e.Key
		}
	}
	if newest.IsZero() {
		return krb.Key{}, fmt.Errorf("the keytab has no key of type %s for the client", krb.EtypeName(info.Etype))
	}
	return newest, nil
}
