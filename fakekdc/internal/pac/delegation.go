package pac

import (
	"fmt"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Delegation is S4U_DELEGATION_INFO ([MS-PAC] section 2.9): the service that a
// ticket was delegated to, and those that delegated it, the first one first.
type Delegation struct {
	Target string
	Via    []string
}

// MaxVia bounds the services that one ticket went through.
const MaxVia = 32

// Marshal returns S4U_DELEGATION_INFO.
func (d *Delegation) Marshal() []byte {
	n := newNDR()
	n.text(d.Target)
	n.u32(uint32(len(d.Via)))
	n.pointer(true)
	n.later(func() {
		n.u32(uint32(len(d.Via)))
		for _, s := range d.Via {
			n.text(s)
		}
	})
	return n.finish()
}

// ParseDelegation reads S4U_DELEGATION_INFO.
func ParseDelegation(b []byte) (*Delegation, error) {
	r := openNDR(b)
	units := r.text()
	count, list := r.u32(), r.u32()
	d := &Delegation{Target: r.units(units)}
	if count > MaxVia || list == 0 && count > 0 {
		r.bad = true
	}
	if list != 0 && r.u32() != count {
		r.bad = true
	}
	if !r.bad {
		lengths := make([]int, count)
		for i := range lengths {
			lengths[i] = r.text()
		}
		for _, n := range lengths {
			d.Via = append(d.Via, r.units(n))
		}
	}
	if r.bad {
		return nil, fmt.Errorf("%w: delegation in a PAC", krb.ErrMalformed)
	}
	return d, nil
}
