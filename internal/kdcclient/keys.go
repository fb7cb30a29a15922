package kdcclient

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// Keys are a client's long-term keys. Implementations are safe for concurrent
// use.
type Keys interface {
	// Etypes returns the encryption types that there are keys of, nil for all;
	// those to be preferred come first, as many as first says. Among each other
	// the order does not count.
	Etypes() (types []int32, first int)
	// Key returns the key for one entry of the KDC's ETYPE-INFO2. An entry
	// without a salt means the default one. kvno is the version that the KDC
	// used, a hint, 0 where it is not known. To make a key may take up to half a
	// second, or until ctx ends. Its error is for people; it must not hold
	// secrets.
	Key(ctx context.Context, info krb.EtypeInfo, kvno uint32) (KeyEntry, error)
}

// Password returns the keys that are made of a client's password (RFC 4120
// section 3.1.3). The default salt is that of client. An entry that asks for fewer
// iterations than its type's default is refused ([krb.CheckIterations]): anybody
// can forge one.
func Password(client krb.Principal, text string) Keys {
	return &password{client: client, text: secret.New([]byte(text)), turn: make(chan struct{}, 1)}
}

type password struct {
	client krb.Principal
	text   secret.Bytes

	// The key that was made last, for who holds turn: to make one is meant to
	// take time.
	turn chan struct{}
	info krb.EtypeInfo
	key  krb.Key
}

func (p *password) Etypes() ([]int32, int) { return nil, 0 }

func (p *password) Key(ctx context.Context, info krb.EtypeInfo, _ uint32) (KeyEntry, error) {
	if err := krb.CheckIterations(info.Etype, info.Params); err != nil {
		return KeyEntry{}, err
	}
	if !info.HasSalt {
		info.Salt, info.HasSalt = p.client.Salt(), true
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return KeyEntry{}, fmt.Errorf("key of the password: %w", context.Cause(ctx))
	}
	if !p.key.IsZero() && p.info.Etype == info.Etype && p.info.Salt == info.Salt && bytes.Equal(p.info.Params, info.Params) {
		return KeyEntry{Key: p.key}, nil
	}
	key, err := krb.StringToKeyContext(ctx, info.Etype, string(p.text.Reveal()), info.Salt, info.Params)
	if err == nil {
		info.Params = bytes.Clone(info.Params)
		p.info, p.key = info, key
	}
	return KeyEntry{Key: key}, err
}

// Format tells no secrets.
func (p *password) Format(f fmt.State, _ rune) {
	io.WriteString(f, "[password of "+p.client.String()+"]")
}

// A KeyEntry is one key of a keytab, or one made of a password.
type KeyEntry struct {
	Key  krb.Key
	Kvno uint32    // 0 where there is no version, as with a password
	Time time.Time // when it was written to the keytab
}

// named says which of the client's keys it is.
func (e KeyEntry) named() string {
	if e.Kvno == 0 {
		return "the key of type " + krb.EtypeName(e.Key.Etype())
	}
	return fmt.Sprintf("the key of version %d and type %s", e.Kvno, krb.EtypeName(e.Key.Etype()))
}

// newer reports whether e is of a later version than o, as MIT krb5 sees it. One
// below 128 comes after one above 240 unless it is older: a number that is kept in
// eight bits began anew.
func (e KeyEntry) newer(o KeyEntry) bool {
	switch {
	case e.Kvno < 128 && o.Kvno > 240 && !e.Time.Before(o.Time):
		return true
	case e.Kvno > 240 && o.Kvno < 128 && !o.Time.Before(e.Time):
		return false
	}
	return e.Kvno > o.Kvno
}

// KeyTable returns the keys of a keytab, all of one principal, in the order of
// the file. As with kinit -k the types of the newest version are preferred, and of
// one type the newest version is used, or the one that the KDC says it used;
// version 0 says nothing, in a keytab as in a reply. Salts do not matter.
func KeyTable(entries []KeyEntry) Keys { return keyTable(slices.Clone(entries)) }

type keyTable []KeyEntry

// newest returns the newest of those that fit. With equals the first one counts.
func (t keyTable) newest(fits func(KeyEntry) bool) (best KeyEntry, found bool) {
	for _, e := range t {
		if fits(e) && (!found || e.newer(best)) {
			best, found = e, true
		}
	}
	return best, found
}

func (t keyTable) Etypes() (types []int32, first int) {
	types = make([]int32, 0, len(t))
	add := func(fits func(KeyEntry) bool) {
		for _, e := range t {
			if fits(e) && !slices.Contains(types, e.Key.Etype()) {
				types = append(types, e.Key.Etype())
			}
		}
	}
	newest, _ := t.newest(func(KeyEntry) bool { return true })
	add(func(e KeyEntry) bool { return e.Kvno == newest.Kvno })
	first = len(types)
	add(func(KeyEntry) bool { return true })
	return types, first
}

func (t keyTable) Key(_ context.Context, info krb.EtypeInfo, kvno uint32) (KeyEntry, error) {
	if kvno != 0 {
		if i := slices.IndexFunc(t, func(e KeyEntry) bool { return e.Key.Etype() == info.Etype && e.Kvno == kvno }); i >= 0 {
			return t[i], nil
		}
	}
	newest, found := t.newest(func(e KeyEntry) bool { return e.Key.Etype() == info.Etype })
	if !found {
		return KeyEntry{}, fmt.Errorf("the keytab has no key of type %s for the client", krb.EtypeName(info.Etype))
	}
	return newest, nil
}
