//go:build interop

package interop

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// actor is a service that acts with what its callers delegate: it opens their
// tokens with the service's keytab by itself, and says who they are to a KDC and
// to a service.
type actor struct{ realm *fakekdc.Realm }

// ServeHTTP stands behind a [fakeweb.Handler].
func (a actor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller, _ := fakeweb.CallerOf(r.Context())
	fmt.Fprintf(w, "hello %s", caller.Name)
	if caller.Flags&fakekdc.GSSDeleg == 0 {
		fmt.Fprint(w, ", nothing delegated\n")
		return
	}
	if caller.Delegated.IsZero() {
		fmt.Fprint(w, ", delegated, and not handed on\n")
		return
	}
	who, err := a.act(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		fmt.Fprintf(w, ", delegated in vain: %v\n", err)
		return
	}
	fmt.Fprintf(w, ", acting as %s\n", who)
}

// act gets a ticket for a service with the delegated credentials, and returns
// whose it is.
func (a actor) act(ctx context.Context, header string) (string, error) {
	token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "Negotiate "))
	if err != nil {
		return "", err
	}
	tgt, err := a.delegated(token)
	if err != nil {
		return "", err
	}
	host, p, err := net.SplitHostPort(a.realm.Addr())
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		return "", err
	}
	c := kdcclient.New(kdcclient.Options{
		Locate: func(context.Context, string) ([]kdcclient.KDC, error) {
			return []kdcclient.KDC{{Host: host, Port: n}}, nil
		},
		Etypes: []int32{tgt.Key.Etype()},
	})
	ticket, err := c.TGS(ctx, tgt, krb.NewPrincipal(a.realm.Name(), "HTTP", "localhost"), kdcclient.TGSOptions{})
	if err != nil {
		return "", err
	}
	fields, err := krb.ParseTicket(ticket.Raw)
	if err != nil {
		return "", err
	}
	part, err := a.open(fields)
	if err != nil {
		return "", err
	}
	return part.client.String(), nil
}

// A ticketPart is some of EncTicketPart (RFC 4120 section 5.3).
type ticketPart struct {
	flags   uint32
	session krb.Key
	client  krb.Principal
}

// open opens a ticket with a key of the service.
func (a actor) open(t krb.TicketFields) (ticketPart, error) {
	var kt keytab.Keytab
	if err := kt.Unmarshal(a.realm.Keytab("HTTP/localhost")); err != nil {
		return ticketPart{}, err
	}
	for _, e := range kt.Entries {
		key, err := krb.NewKey(e.Key.KeyType, e.Key.KeyValue)
		if err != nil {
			return ticketPart{}, err
		}
		plain, err := key.OpenData(krb.UsageTicket, t.EncPart)
		if err != nil {
			continue
		}
		f := krb.OpenApp("ticket part", 3, plain)
		p := ticketPart{flags: f.Flags(0), session: f.Key(1)}
		realm := f.Text(2)
		p.client = f.Name(3)
		p.client.Realm = realm
		return p, f.Err(false)
	}
	return ticketPart{}, fmt.Errorf("no key in the keytab opens the ticket for %v", t.Server)
}

// delegated returns the ticket-granting ticket in a token, which must be marked
// as forwarded (RFC 4121 section 4.1.1, RFC 4120 section 5.8).
func (a actor) delegated(token []byte) (*krb.Ticket, error) {
	if init, err := spnego.ParseInit(token); err == nil {
		token = init.MechToken
	}
	_, id, b, err := spnego.Unframe(token)
	if err != nil || id != spnego.TokAPReq {
		return nil, fmt.Errorf("token %04x, %w", id, err)
	}
	req, err := krb.ParseAPReq(b)
	if err != nil {
		return nil, err
	}
	part, err := a.open(req.Ticket)
	if err != nil {
		return nil, err
	}
	plain, err := part.session.OpenData(krb.UsageAPReqAuth, req.Authenticator)
	if err != nil {
		return nil, err
	}
	auth, err := krb.ParseAuthenticator(plain)
	if err != nil {
		return nil, err
	}
	sum := auth.Checksum.Value
	if auth.Checksum.Type != 0x8003 || len(sum) < 28 || binary.LittleEndian.Uint16(sum[24:]) != 1 {
		return nil, fmt.Errorf("no delegation in a checksum of type %d and %d bytes", auth.Checksum.Type, len(sum))
	}
	n := int(binary.LittleEndian.Uint16(sum[26:]))
	if len(sum) < 28+n {
		return nil, fmt.Errorf("KRB-CRED of %d bytes in a checksum of %d", n, len(sum))
	}
	return openCred(sum[28:28+n], part.session, auth.Subkey)
}

// openCred opens a KRB-CRED with one ticket. Initiators disagree about its key.
func openCred(b []byte, keys ...krb.Key) (*krb.Ticket, error) {
	f := krb.OpenApp("KRB-CRED", 22, b)
	f.Int32(0)
	f.Int32(1)
	tickets := f.Raw(2)
	sealed := f.Encrypted(3)
	if err := f.Err(true); err != nil {
		return nil, err
	}
	var plain []byte
	err := errors.New("no key")
	for _, key := range keys {
		if plain, err = key.OpenData(krb.UsageKRBCred, sealed); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	part := krb.OpenApp("EncKrbCredPart", 29, plain)
	infos := part.Raw(0)
	ticket, err := single(tickets)
	if err != nil {
		return nil, err
	}
	info, err := single(infos)
	if err != nil {
		return nil, err
	}
	g := krb.OpenFields("KrbCredInfo", info)
	t := &krb.Ticket{Raw: ticket, Key: g.Key(0)}
	realm := g.Text(1)
	t.Client = g.Name(2)
	t.Client.Realm = realm
	t.Flags = g.Flags(3)
	if g.Has(4) {
		t.AuthTime = g.Time(4)
	}
	if g.Has(5) {
		t.StartTime = g.Time(5)
	}
	t.EndTime = g.Time(6)
	if g.Has(7) {
		t.RenewTill = g.Time(7)
	}
	realm = g.Text(8)
	t.Server = g.Name(9)
	t.Server.Realm = realm
	if err := g.Err(false); err != nil {
		return nil, err
	}
	if !t.Server.IsTGS() || t.Flags&krb.FlagForwarded == 0 {
		return nil, fmt.Errorf("%v with flags %08x, want a forwarded ticket-granting ticket", t, t.Flags)
	}
	return t, nil
}

// single returns the one element of a SEQUENCE OF.
func single(der []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var list, element cryptobyte.String
	var tag asn1.Tag
	if !in.ReadASN1(&list, asn1.SEQUENCE) || !in.Empty() || !list.ReadAnyASN1Element(&element, &tag) || !list.Empty() {
		return nil, fmt.Errorf("want a sequence of one element, have %x", der)
	}
	return element, nil
}
