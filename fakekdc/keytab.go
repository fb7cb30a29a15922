package fakekdc

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Keytab returns a keytab file (MIT's format 0x502) with all keys of the named
// users and services, or of all services when none is named. Making it runs
// string-to-key for every encryption type of a user. An unknown name ends the
// test; in a realm made by [New] the result is nil then.
func (r *Realm) Keytab(principals ...string) []byte {
	b, err := r.keytab(principals)
	if r.fail(err) != nil {
		return nil
	}
	return b
}

func (r *Realm) forKeytab(names []string) (list []*principal, err error) {
	if len(names) == 0 {
		r.mu.RLock()
		defer r.mu.RUnlock()
		for _, n := range r.names {
			if p := r.principals[n]; p.random && !p.internal() {
				list = append(list, p)
			}
		}
		return list, nil
	}
	for _, n := range names {
		p, err := r.lookupText(n)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// appendKeytab writes one entry for each key, the newest version first.
func (p *principal) appendKeytab(b []byte, at time.Time) ([]byte, error) {
	for i := range p.keys {
		set := &p.keys[i]
		for _, etype := range slices.Sorted(maps.Keys(set.keys)) {
			key, err := set.keys[etype]()
			if err != nil {
				return nil, fmt.Errorf("keytab of %s: %w", p.name, err)
			}
			var e []byte
			e = binary.BigEndian.AppendUint16(e, uint16(len(p.name.Components)))
			e = appendCounted(e, p.name.Realm)
			for _, c := range p.name.Components {
				e = appendCounted(e, c)
			}
			e = binary.BigEndian.AppendUint32(e, uint32(krb.NTPrincipal))
			e = binary.BigEndian.AppendUint32(e, uint32(at.Unix()))
			e = append(e, byte(set.kvno))
			e = binary.BigEndian.AppendUint16(e, uint16(etype))
			e = appendCounted(e, string(key.Bytes()))
			e = binary.BigEndian.AppendUint32(e, set.kvno)
			b = binary.BigEndian.AppendUint32(b, uint32(len(e)))
			b = append(b, e...)
		}
	}
	return b, nil
}

func appendCounted(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}
