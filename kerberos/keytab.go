package kerberos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// FromKeytab returns a source that logs in with the keys in a keytab file, as
// o.Principal or as the first principal in the file. The name may begin with
// "FILE:"; %{uid} and its like are expanded. The file is read at once, and
// again for every login, so that new keys are found: under the lock that MIT's
// tools take, for which a second is waited at most. It must be a regular file of
// no more than 16 MiB, in MIT's format 1 or 2, with no more than 4096 keys of the
// principal.
//
// A key that a KDC refused is not sent again for a minute, and neither is another
// one of the keytab in its place; see [Logins].
//
// Of several keys the one is used that kinit -k would: the types of the newest
// version are offered to the KDC first, and of the type that the KDC chooses the
// newest key is taken. A version below 128 is newer than one above 240 unless it
// was written earlier, since versions in eight bits begin anew.
func FromKeytab(name string, o SourceOptions) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	creds, err := s.keytab(name)
	if err != nil {
		return nil, err
	}
	if _, _, err := creds.load(context.Background()); err != nil {
		return nil, err
	}
	s.creds = creds
	return s, nil
}

func (s *Source) keytab(name string) (*keytabCredentials, error) {
	expanded, err := s.o.krb5conf().Expand(name)
	if err != nil {
		return nil, s.noCredentials(fmt.Errorf("keytab %s: %w", name, err), "")
	}
	path := strings.TrimPrefix(strings.TrimPrefix(expanded, "FILE:"), "WRFILE:")
	if kind, _, ok := strings.Cut(path, ":"); ok && kind == strings.ToUpper(kind) && !strings.ContainsAny(kind, "/.") && len(kind) > 1 {
		return nil, s.noCredentials(fmt.Errorf("keytab %s is of type %s, which is not supported", name, kind), "use a keytab file")
	}
	p, err := s.principal()
	if err != nil {
		return nil, err
	}
	return &keytabCredentials{s: s, path: path, want: p}, nil
}

type keytabCredentials struct {
	alone
	s    *Source
	path string
	want krb.Principal // zero: the first principal in the file
}

func (c *keytabCredentials) refresh(ctx context.Context, _ *session) (*session, error) {
	return c.open(ctx, "")
}

func (c *keytabCredentials) open(ctx context.Context, _ string) (*session, error) {
	client, keys, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	a := c.s.account(client)
	session, err := c.s.login(ctx, a, kdcclient.KeyTable(keys), a.ofKeys(keys...), "FILE:"+c.path)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		session.own = append(session.own, k.Key)
	}
	return session, nil
}

// load reads the file and picks the keys of the wanted principal.
func (c *keytabCredentials) load(ctx context.Context) (krb.Principal, []kdcclient.KeyEntry, error) {
	fail := func(err error, hint string) (krb.Principal, []kdcclient.KeyEntry, error) {
		return krb.Principal{}, nil, c.s.noCredentials(fmt.Errorf("keytab %s: %w", c.path, err), hint)
	}
	b, err := keytab.Read(ctx, c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(fs.ErrNotExist, "name a keytab file that exists")
	case errors.Is(err, fs.ErrPermission):
		return fail(fs.ErrPermission, "let the user of this process read the keytab")
	case err != nil:
		return fail(err, "")
	}
	var found found
	keys, err := found.keys(b, c.want)
	switch {
	case errors.Is(err, errManyKeys):
		return fail(err, "remove those of old versions, with ktutil or kadmin ktremove")
	case errors.Is(err, keytab.ErrFormat) && isCache(b):
		return fail(err, "it is a credential cache: name it as CCache or in KRB5CCNAME")
	case errors.Is(err, keytab.ErrFormat):
		return fail(err, "make one with ktutil, kadmin or ktpass")
	case len(keys) > 0:
		return found.client, keys, nil // as kinit -k, ignoring what follows an incomplete entry
	case len(found.names) == 0:
		return fail(cmp.Or(err, errors.New("it holds no keys")), "")
	case len(found.unusable) > 0:
		return fail(fmt.Errorf("its keys of %s are of the types %s, which are not supported", found.client, strings.Join(found.unusable, ", ")),
			"get a keytab with AES keys")
	}
	return fail(errors.Join(fmt.Errorf("no key of %s in it; it holds keys of %s", found.client, strings.Join(found.names, ", ")), err),
		"name one of these principals, or get a keytab for this one")
}

// isCache reports whether a file that is no keytab is a credential cache.
func isCache(b []byte) bool {
	c, err := ccache.Parse(b)
	return err == nil && !c.Client.IsZero()
}

// maxKeys bounds the keys of one principal: two for every version in eight bits, and
// every type that is supported.
const maxKeys = 4096

var errManyKeys = fmt.Errorf("more than %d keys of one principal", maxKeys)

// maxNamed bounds the names in an error.
const maxNamed = 10

// found is the content of a keytab, as far as it matters to the principal whose keys are
// wanted.
type found struct {
	client   krb.Principal // whose keys are wanted
	names    []string      // of principals, the first few
	unusable []string      // unsupported types of the client's keys
}

// keys returns the keys of a principal, or if want is zero, of the first one in the file,
// in the order of the file. stopped says why reading ended early.
func (f *found) keys(file []byte, want krb.Principal) (keys []kdcclient.KeyEntry, stopped error) {
	f.client = want
	for e, err := range keytab.Entries(file) {
		if err != nil {
			return keys, err
		}
		if f.client.IsZero() {
			f.client = krb.NewPrincipal(e.Principal.Realm, e.Principal.Components...) // the file's name type does not matter
		}
		if name := e.Principal.String(); len(f.names) < maxNamed && !slices.Contains(f.names, name) {
			f.names = append(f.names, name)
		}
		if !e.Principal.Equal(f.client) {
			continue
		}
		key, err := e.Key()
		if err != nil {
			if kind := krb.EtypeName(e.Etype); len(f.unusable) < maxNamed && !slices.Contains(f.unusable, kind) {
				f.unusable = append(f.unusable, kind)
			}
			continue // an unsupported type, which is no error beside supported ones
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("%w: %s", errManyKeys, f.client)
		}
		keys = append(keys, kdcclient.KeyEntry{Key: key, Kvno: e.Kvno, Time: e.Time})
	}
	return keys, nil
}
