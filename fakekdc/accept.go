package fakekdc

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// An acceptance is the acceptor's side of one security context.
type acceptance struct {
	caller   Caller
	ticket   []byte // DER
	session  krb.Key
	auth     *krb.Authenticator
	subkey   krb.Key // the acceptor's; zero for none
	seq      uint32  // of the acceptor's first message
	sendSeq  uint64
	peerSeq  uint64
	bindings [16]byte
}

// A demand is what an acceptor wants of a token.
type demand struct {
	AcceptOptions
	service krb.Principal // of that name; zero for any service of the realm
}

// accept verifies an AP-REQ (RFC 4120 section 3.2.3, RFC 4121 section 4.1). The
// names are the ticket's; what the authenticator says of them must agree.
func (r *Realm) accept(b []byte, d demand) (*acceptance, *refusal) {
	now := r.now()
	req, no := openAPReq(b, func(server krb.Principal) (*principal, *refusal) {
		if server.IsTGS() || !d.service.IsZero() && !server.SameName(d.service) {
			return nil, refuse(krb.CodeNotUs, "ticket is for "+nameOf(server))
		}
		p := r.lookup(server)
		if p == nil {
			return nil, refuse(krb.CodeNotUs, "no such service: "+nameOf(server))
		}
		return p, nil
	})
	if no != nil {
		return nil, no
	}
	if no := req.authenticate(krb.UsageAPReqAuth, now, r.skew); no != nil {
		return nil, no
	}
	t := req.ticket
	a := &acceptance{session: t.session, auth: req.auth, ticket: req.raw}
	if code := t.usable(now, r.skew); code != 0 {
		return nil, refuse(code, "ticket")
	}
	if t.flags&krb.FlagTransitedOK == 0 {
		// No KDC vouches for the path (RFC 4120 section 3.2.3).
		list, err := parseTransited(t.transited, t.client.Realm, t.server.Realm)
		if err != nil {
			return nil, refuse(krb.CodeGeneric, "ticket's list of realms cannot be read")
		}
		if no := r.pathAllowed(list); no != nil {
			return nil, no
		}
	}
	a.caller = Caller{
		Name: t.client.String(), Service: t.server.String(), Etype: t.session.Etype(),
		Mutual: req.options&krb.APMutualRequired != 0,
	}
	if no := a.readChecksum(); no != nil {
		return nil, no
	}
	a.caller.Aware = claimsBindings(a.auth.AuthData)
	if no := a.checkBindings(d); no != nil {
		return nil, no
	}
	// Last, so that only tokens that would be accepted are remembered.
	if !r.apSeen.Add(a.auth, t.server, nil, now, r.skew) {
		return nil, refuse(krb.CodeRepeat, "authenticator was used before")
	}
	return a, a.prepare(d)
}

// prepare makes the acceptor's share of the context.
func (a *acceptance) prepare(d demand) *refusal {
	a.peerSeq = uint64(a.auth.Seq)
	a.sendSeq = a.peerSeq // without an AP-REP both sides count from the client's
	if !a.caller.Mutual {
		return nil
	}
	var b [4]byte
	rand.Read(b[:])
	a.seq = binary.BigEndian.Uint32(b[:]) & 0x3fffffff
	a.sendSeq = uint64(a.seq)
	switch {
	case d.NoSubkey:
	case a.session.Etype() == krb.RC4HMAC:
		// As MIT does: the tokens of RFC 4757 know no acceptor's subkey.
		a.subkey = a.auth.Subkey
	default:
		var err error
		if a.subkey, err = krb.GenerateKey(a.session.Etype()); err != nil {
			return refuse(krb.CodeGeneric, err.Error())
		}
	}
	return nil
}

// readChecksum takes bindings and flags from the authenticator (RFC 4121
// section 4.1.1). An authenticator without a checksum means no flags, one with
// a real checksum must fit no data at all. Where there are flags, they say whether
// proof is wanted, as with MIT and Heimdal; go-ldap sets no option of the AP-REQ.
func (a *acceptance) readChecksum() *refusal {
	c := a.auth.Checksum
	if c.Value == nil {
		return nil
	}
	if c.Type != krb.ChecksumGSSAPI {
		if c.Type != a.session.ChecksumType() || a.session.VerifyChecksum(krb.UsageAPReqChecksum, c.Value) != nil {
			return refuse(krb.CodeInappChecksum, "checksum is neither of GSS-API nor of the session key")
		}
		return nil
	}
	sum, err := krb.ParseGSSChecksum(c.Value)
	if err != nil {
		return refuse(krb.CodeInappChecksum, "malformed GSS-API checksum")
	}
	a.bindings, a.caller.Flags = sum.Bindings, sum.Flags
	a.caller.Mutual = sum.Flags&krb.GSSMutual != 0
	if sum.Flags&krb.GSSDeleg != 0 {
		return a.readDelegated(sum.Delegation)
	}
	return nil
}

// readDelegated opens what the caller forwarded (RFC 4121 section 4.1.1).
func (a *acceptance) readDelegated(cred []byte) *refusal {
	t, err := krb.OpenKRBCred(cred, a.session, a.auth.Subkey)
	if err != nil {
		return refuse(krb.CodeGeneric, "delegated credentials cannot be read")
	}
	file := ccache.Cache{Client: t.Client, Credentials: []ccache.Credential{ccache.FromTicket(t)}}
	b, err := file.Marshal()
	if err != nil {
		return refuse(krb.CodeGeneric, "delegated credentials: "+err.Error())
	}
	a.caller.Delegated = CacheFile{secret.New(b)}
	return nil
}

// claimsBindings looks for KERB_AP_OPTIONS_CBT in authorization data ([MS-KILE]
// section 3.2.5.8).
func claimsBindings(der []byte) bool {
	list, err := authElements(der)
	if err != nil {
		return false
	}
	for _, e := range list {
		if e.Type != krb.ADIfRelevant {
			continue
		}
		inner, err := krb.ParseAuthData(e.Data)
		if err != nil {
			continue // which nobody has to understand
		}
		options, found := krb.FindAuthData(inner, krb.ADAPOptions)
		if found && len(options) == 4 && binary.LittleEndian.Uint32(options)&krb.APOptionsCBT != 0 {
			return true
		}
	}
	return false
}

// checkBindings compares the client's bindings with the connection's, by the
// rules of Windows' Extended Protection.
func (a *acceptance) checkBindings(d demand) *refusal {
	sent := a.bindings != [16]byte{}
	if d.EndPoint != nil && sent {
		want := cbt.Hash(d.EndPoint)
		a.caller.Bound = hmac.Equal(want[:], a.bindings[:])
	}
	switch {
	case d.Bindings == BindingsOff, a.caller.Bound:
		return nil
	case d.EndPoint != nil && sent:
		return refuse(krb.CodeGeneric, "channel bindings are those of another connection")
	case d.Bindings == BindingsRequired:
		return refuse(krb.CodeGeneric, "channel bindings required")
	case d.EndPoint != nil && a.caller.Aware:
		return refuse(krb.CodeGeneric, "client knows of channel bindings and sent none")
	}
	return nil
}
