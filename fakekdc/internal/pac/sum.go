package pac

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Sign returns PACTYPE with its signatures ([MS-PAC] section 2.8): of the service's key
// over all of it, and of the KDC's over that one; with ticket, which is the ticket with an
// empty PAC, of the KDC's key over that and over all of it, too.
func Sign(list []Buffer, ticket []byte, server, kdc krb.Key) ([]byte, error) {
	list = append(slices.Clip(list), emptySum(KindServerSum, server), emptySum(KindKDCSum, kdc))
	if ticket != nil {
		sum, err := ticketSum(ticket, kdc)
		if err != nil {
			return nil, err
		}
		list = append(list, sum, emptySum(KindFullSum, kdc))
	}
	whole, placed := Marshal(list)
	var err error
	sign := func(kind uint32, key krb.Key, data []byte) []byte {
		buffer, found := Find(placed, kind)
		if !found || err != nil {
			return nil
		}
		var sum []byte
		if sum, err = key.Checksum(krb.UsageNonKerberosChecksum, data); err != nil {
			return nil
		}
		return buffer[4:][:copy(buffer[4:], sum)]
	}
	sign(KindFullSum, kdc, whole)
	sign(KindKDCSum, kdc, sign(KindServerSum, server, whole))
	if err != nil {
		return nil, err
	}
	return whole, nil
}

func ticketSum(ticket []byte, kdc krb.Key) (Buffer, error) {
	sum, err := kdc.Checksum(krb.UsageNonKerberosChecksum, ticket)
	b := emptySum(KindTicketSum, kdc)
	copy(b.Data[4:], sum)
	return b, err
}

// emptySum is PAC_SIGNATURE_DATA without the signature.
func emptySum(kind uint32, key krb.Key) Buffer {
	b := make([]byte, 4+key.MACSize())
	binary.LittleEndian.PutUint32(b, uint32(key.ChecksumType()))
	return Buffer{kind, b}
}

// Signed reports whether a PAC, of which list are the buffers, bears the signature of the
// service's key; with kdc, which verifies those of the KDC's keys, that one too; and with
// ticket, which returns the ticket with an empty PAC, all four.
func Signed(raw []byte, list []Buffer, server krb.Key, kdc func(sum, data []byte) bool, ticket func() ([]byte, error)) bool {
	zeroed := slices.Clone(raw)
	blank, err := Parse(zeroed)
	if err != nil {
		return false
	}
	clearSum := func(kind uint32) {
		if b, found := Find(blank, kind); found && len(b) > 4 {
			clear(b[4:])
		}
	}
	clearSum(KindServerSum)
	clearSum(KindKDCSum)
	own, found := Find(list, KindServerSum)
	if !found || !VerifySum(own, server, zeroed) {
		return false
	}
	if kdc == nil {
		return true
	}
	if sum, found := Find(list, KindKDCSum); !found || !kdc(sum, own[4:]) {
		return false
	}
	if ticket == nil {
		return true
	}
	clearSum(KindFullSum)
	if sum, found := Find(list, KindFullSum); !found || !kdc(sum, zeroed) {
		return false
	}
	der, err := ticket()
	if err != nil {
		return false
	}
	sum, found := Find(list, KindTicketSum)
	return found && kdc(sum, der)
}

// VerifySum verifies PAC_SIGNATURE_DATA.
func VerifySum(sum []byte, key krb.Key, data []byte) bool {
	return len(sum) > 4 && int32(binary.LittleEndian.Uint32(sum)) == key.ChecksumType() &&
		key.VerifyChecksum(krb.UsageNonKerberosChecksum, sum[4:], data) == nil
}

// Delegate returns a PAC that says where its ticket is delegated to, and by whom.
func Delegate(list []Buffer, target, by krb.Principal) ([]Buffer, error) {
	d := &Delegation{}
	kept := make([]Buffer, 0, len(list)+1)
	for _, b := range list {
		if b.Kind != KindDelegation {
			kept = append(kept, b)
			continue
		}
		var err error
		if d, err = ParseDelegation(b.Data); err != nil {
			return nil, err
		}
		if len(d.Via) == MaxVia {
			return nil, fmt.Errorf("delegated %d times before", MaxVia)
		}
	}
	d.Target = target.Name()
	d.Via = append(d.Via, by.String())
	return append(kept, Buffer{Kind: KindDelegation, Data: d.Marshal()}), nil
}
