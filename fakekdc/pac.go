package fakekdc

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// WithPAC puts a privilege attribute certificate ([MS-PAC]) into the tickets of
// the realm's users, as Active Directory and MIT's KDC since 1.20 do, unless a
// client asks for none: who the user is, relative identifiers of the user and of
// [Groups], the signatures of the service's and the KDC's key, and in tickets
// for services those over the ticket and over the whole PAC. What tickets say
// of themselves is then proven where it counts: the evidence of a service that
// made its own ticket forwardable is refused.
//
// The domain's security identifier comes of the realm's name, whose first part
// is the domain's short name. Users and services are numbered from 1001 in the
// order they were added, and all users are in group 513.
func WithPAC() Option { return func(s *settings) { s.pac = true } }

// Kinds of buffers ([MS-PAC] section 2.4).
const (
	pacLogonInfo  uint32 = 1
	pacServerSum  uint32 = 6
	pacKDCSum     uint32 = 7
	pacClientInfo uint32 = 10
	pacDelegation uint32 = 11
	pacTicketSum  uint32 = 16
	pacFullSum    uint32 = 19
)

const (
	firstRID    = 1000
	domainUsers = 513
	maxGroups   = 1000
	maxPACParts = 64
	never       = 1<<63 - 1 // a time
)

// A pacBuffer is one part of a PAC.
type pacBuffer struct {
	kind uint32
	data []byte
}

func (b pacBuffer) signature() bool {
	return b.kind == pacServerSum || b.kind == pacKDCSum || b.kind == pacTicketSum || b.kind == pacFullSum
}

// parsePAC reads PACTYPE ([MS-PAC] section 2.3). The data share memory with b.
func parsePAC(b []byte) ([]pacBuffer, error) {
	bad := fmt.Errorf("%w: PAC", krb.ErrMalformed)
	if len(b) < 8 {
		return nil, bad
	}
	count, version := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if version != 0 || count > maxPACParts || len(b) < 8+16*int(count) {
		return nil, bad
	}
	out := make([]pacBuffer, count)
	for i := range out {
		h := b[8+16*i:]
		kind, size, at := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint64(h[8:])
		if at < uint64(8+16*count) || at > uint64(len(b)) || uint64(size) > uint64(len(b))-at {
			return nil, bad
		}
		if _, twice := findBuffer(out[:i], kind); twice {
			return nil, bad
		}
		out[i] = pacBuffer{kind, b[at:][:size:size]}
	}
	return out, nil
}

func findBuffer(list []pacBuffer, kind uint32) ([]byte, bool) {
	for _, b := range list {
		if b.kind == kind {
			return b.data, true
		}
	}
	return nil, false
}

// layPAC returns PACTYPE, and the data of its buffers in it.
func layPAC(list []pacBuffer) (whole []byte, placed []pacBuffer) {
	n := 8 + 16*len(list)
	for _, b := range list {
		n += (len(b.data) + 7) &^ 7
	}
	whole = make([]byte, n)
	binary.LittleEndian.PutUint32(whole, uint32(len(list)))
	at := 8 + 16*len(list)
	for i, b := range list {
		h := whole[8+16*i:]
		binary.LittleEndian.PutUint32(h, b.kind)
		binary.LittleEndian.PutUint32(h[4:], uint32(len(b.data)))
		binary.LittleEndian.PutUint64(h[8:], uint64(at))
		copy(whole[at:], b.data)
		placed = append(placed, pacBuffer{b.kind, whole[at:][:len(b.data)]})
		at += (len(b.data) + 7) &^ 7
	}
	return whole, placed
}

// emptySum is PAC_SIGNATURE_DATA ([MS-PAC] section 2.8) without the signature.
func emptySum(kind uint32, key krb.Key) pacBuffer {
	b := make([]byte, 4+key.MACSize())
	binary.LittleEndian.PutUint32(b, uint32(key.ChecksumType()))
	return pacBuffer{kind, b}
}

// newPAC says who a user is. The name is that of tickets.
func (r *Realm) newPAC(client *principal, name krb.Principal, authTime time.Time) []pacBuffer {
	return []pacBuffer{
		{pacLogonInfo, r.logonInfo(client, authTime)},
		{pacClientInfo, clientInfo(name, authTime)},
	}
}

// wantsPAC reads KERB-PA-PAC-REQUEST ([MS-KILE] section 2.2.3): a client that
// sends none wants one.
func (q *request) wantsPAC() bool {
	value, found := q.find(krb.PAPACRequest)
	if !found {
		return true
	}
	include, err := krb.ParsePAPACRequest(value)
	return err != nil || include
}

// fileTime is FILETIME ([MS-DTYP] section 2.3.3).
func fileTime(t time.Time) uint64 { return uint64(t.Unix()+11644473600) * 1e7 }

// clientInfo returns PAC_CLIENT_INFO ([MS-PAC] section 2.7).
func clientInfo(name krb.Principal, authTime time.Time) []byte {
	u := utf16.Encode([]rune(name.Name()))
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 10+2*len(u)), fileTime(authTime))
	b = binary.LittleEndian.AppendUint16(b, uint16(2*len(u)))
	for _, c := range u {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// logonInfo returns KERB_VALIDATION_INFO ([MS-PAC] section 2.5).
func (r *Realm) logonInfo(p *principal, authTime time.Time) []byte {
	const (
		normal, notDelegated, noPreauth = 0x10, 0x4000, 0x10000 // USER_* ([MS-SAMR] section 2.2.1.12)
		enabled                         = 7                     // SE_GROUP_* of all groups
	)
	account := uint32(normal)
	if !p.forwardable {
		account |= notDelegated
	}
	if p.noPreauth {
		account |= noPreauth
	}
	groups := append([]uint32{domainUsers}, p.groups...)
	n := newNDR()
	at := func(t uint64) { n.u32(uint32(t), uint32(t>>32)) }
	at(fileTime(authTime)) // logon
	at(never)              // logoff
	at(never)              // kick off
	at(fileTime(r.start))  // password last set
	at(fileTime(r.start))  // password can change
	at(never)              // password must change
	n.text(p.name.Name())
	for range 5 { // full name, script, profile, home directory and drive
		n.text("")
	}
	n.u16(0) // logons
	n.u16(0) // bad passwords
	n.u32(p.rid, domainUsers, uint32(len(groups)))
	n.pointer(true)
	n.later(func() {
		n.u32(uint32(len(groups)))
		for _, g := range groups {
			n.u32(g, enabled)
		}
	})
	n.u32(0)                     // flags
	n.bytes(make([]byte, 16)...) // session key
	n.text("KDC")
	n.text(shortName(r.realm))
	n.pointer(true)
	n.later(func() { r.sid(n) })
	n.u32(0, 0, account, 0)
	at(0)
	at(0)
	n.u32(0, 0)
	n.u32(0) // further identifiers
	n.pointer(false)
	n.pointer(false) // groups of the resource
	n.u32(0)
	n.pointer(false)
	return n.finish()
}

// sid writes the domain's SID, S-1-5-21 and three numbers.
func (r *Realm) sid(n *ndr) {
	h := sha256.Sum256([]byte(r.realm))
	n.u32(4)
	n.bytes(1, 4, 0, 0, 0, 0, 0, 5)
	n.u32(21, binary.LittleEndian.Uint32(h[0:]), binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:]))
}

// shortName is the name of a domain as NetBIOS has it.
func shortName(realm string) string {
	s, _, _ := strings.Cut(realm, ".")
	return s[:min(len(s), 15)]
}

// signPAC returns the ticket's authorization data with its PAC, signed for a
// service whose key it is ([MS-PAC] section 2.8).
func (r *Realm) signPAC(g *grant, server krb.Key) ([]byte, error) {
	kdc, _, err := r.lookup(krb.TGS(r.realm, r.realm)).sealing()
	if err != nil {
		return nil, err
	}
	rest, err := authElements(g.authData)
	if err != nil {
		return nil, err
	}
	list := append(slices.Clip(g.pac), emptySum(pacServerSum, server), emptySum(pacKDCSum, kdc))
	if hasTicketSum(g.server) {
		sum, err := r.ticketSum(g, rest, kdc)
		if err != nil {
			return nil, err
		}
		list = append(list, sum, emptySum(pacFullSum, kdc))
	}
	whole, placed := layPAC(list)
	sign := func(kind uint32, key krb.Key, data []byte) []byte {
		buffer, found := findBuffer(placed, kind)
		if !found || err != nil {
			return nil
		}
		var sum []byte
		if sum, err = key.Checksum(krb.UsageNonKerberosChecksum, data); err != nil {
			return nil
		}
		return buffer[4:][:copy(buffer[4:], sum)]
	}
	sign(pacFullSum, kdc, whole)
	sign(pacKDCSum, kdc, sign(pacServerSum, server, whole))
	if err != nil {
		return nil, err
	}
	return ifRelevant(krb.ADWin2kPAC, whole, rest...), nil
}

// hasTicketSum reports whether tickets for the service bear the signatures of
// [MS-PAC] sections 2.8.3 and 2.8.4: those that may be evidence do.
func hasTicketSum(server krb.Principal) bool { return !server.IsTGS() && !server.SameName(changepw) }

// ticketSum signs the ticket with an empty PAC.
func (r *Realm) ticketSum(g *grant, rest []krb.AuthData, kdc krb.Key) (pacBuffer, error) {
	der, err := g.withEmptyPAC(rest)
	if err != nil {
		return pacBuffer{}, err
	}
	sum, err := kdc.Checksum(krb.UsageNonKerberosChecksum, der)
	b := emptySum(pacTicketSum, kdc)
	copy(b.data[4:], sum)
	return b, err
}

func (g *grant) withEmptyPAC(rest []krb.AuthData) ([]byte, error) {
	part := g.part()
	part.AuthData = ifRelevant(krb.ADWin2kPAC, []byte{0}, rest...)
	return part.Marshal()
}

// openPAC verifies the PAC of a ticket that came to the KDC and takes it out of
// the authorization data: what is left of both is the grant's. Without a PAC
// nothing happens. Evidence must bear all signatures, other tickets those of
// their key and, if they are ours, of the KDC's.
func (r *Realm) openPAC(t *grant, evidence bool) *refusal {
	if t.authData == nil {
		return nil
	}
	raw, rest, err := splitAuthData(t.authData, false)
	if err != nil {
		return refuse(krb.CodeGeneric, "malformed authorization data")
	}
	if !r.pac || raw == nil {
		t.authData = rest
		return nil
	}
	modified := refuse(krb.CodeModified, "PAC was changed")
	list, err := parsePAC(raw)
	if err != nil {
		return modified
	}
	if !r.signedPAC(t, raw, list, rest, evidence) {
		return modified
	}
	if info, found := findBuffer(list, pacClientInfo); !found || !slices.Equal(info, clientInfo(t.client, t.authTime)) {
		return refuse(krb.CodeBadOption, "PAC is another client's")
	}
	t.authData = rest
	t.pac = slices.DeleteFunc(list, pacBuffer.signature)
	return nil
}

func (r *Realm) signedPAC(t *grant, raw []byte, list []pacBuffer, rest []byte, evidence bool) bool {
	zeroed := slices.Clone(raw)
	blank, err := parsePAC(zeroed)
	if err != nil {
		return false
	}
	clearSum := func(kind uint32) {
		if b, found := findBuffer(blank, kind); found && len(b) > 4 {
			clear(b[4:])
		}
	}
	clearSum(pacServerSum)
	clearSum(pacKDCSum)
	server, found := findBuffer(list, pacServerSum)
	if !found || !verifySum(server, t.opened, zeroed) {
		return false
	}
	if t.server.Realm != r.realm {
		return true // the KDC's signature is by a key of another realm
	}
	if kdc, found := findBuffer(list, pacKDCSum); !found || !r.verifyKDCSum(kdc, server[4:]) {
		return false
	}
	if !evidence {
		return true
	}
	clearSum(pacFullSum)
	full, found := findBuffer(list, pacFullSum)
	if !found || !r.verifyKDCSum(full, zeroed) {
		return false
	}
	elements, err := authElements(rest)
	if err != nil {
		return false
	}
	der, err := t.withEmptyPAC(elements)
	if err != nil {
		return false
	}
	ticket, found := findBuffer(list, pacTicketSum)
	return found && r.verifyKDCSum(ticket, der)
}

// verifySum verifies PAC_SIGNATURE_DATA.
func verifySum(sum []byte, key krb.Key, data []byte) bool {
	return len(sum) > 4 && int32(binary.LittleEndian.Uint32(sum)) == key.ChecksumType() &&
		key.VerifyChecksum(krb.UsageNonKerberosChecksum, sum[4:], data) == nil
}

// verifyKDCSum verifies it with any key that the ticket-granting service has.
func (r *Realm) verifyKDCSum(sum, data []byte) bool {
	tgs := r.lookup(krb.TGS(r.realm, r.realm))
	for i := range tgs.keys {
		for _, etype := range tgs.etypes {
			if k, ok := tgs.keys[i].key(etype); ok && verifySum(sum, k, data) {
				return true
			}
		}
	}
	return false
}

// delegate adds to the PAC of a ticket where it is delegated to, and by whom.
func (g *grant) delegate(target, by krb.Principal) *refusal {
	d := &delegation{}
	kept := make([]pacBuffer, 0, len(g.pac)+1)
	for _, b := range g.pac {
		if b.kind != pacDelegation {
			kept = append(kept, b)
			continue
		}
		var err error
		if d, err = parseDelegation(b.data); err != nil || len(d.via) == maxVia {
			return refuse(krb.CodePolicy, "delegated too often")
		}
	}
	d.target = target.Name()
	d.via = append(d.via, by.String())
	g.pac = append(kept, pacBuffer{pacDelegation, d.marshal()})
	return nil
}
