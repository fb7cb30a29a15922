package ccache

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Marshal returns the cache in format version 4, with the KDC offset in its
// header and configuration entries first, as kinit writes them. Version and Torn
// are not looked at. It is an error for a time to lie outside 1970 to 2106, and
// for entries to be more than [MaxEntries].
func (c *Cache) Marshal() ([]byte, error) {
	all := c.Entries()
	if err := Fits(len(all)); err != nil {
		return nil, fmt.Errorf("credential cache of %s: %w", c.Client, err)
	}
	w := &writer{layout: layout{version: 4}}
	w.b = append(w.b, 5, 4)
	w.header(c)
	w.principal(c.Client)
	for i := range all {
		w.credential(&all[i])
	}
	if w.err != nil {
		return nil, fmt.Errorf("credential cache of %s: %w", c.Client, w.err)
	}
	return w.b, nil
}

// header writes the KDC offset, which may be left out if it is zero and there is no
// room for it, and the fields that are not ours.
func (w *writer) header(c *Cache) {
	const most, offset = math.MaxUint16, 4 + 8
	size := 0
	for _, f := range c.Header {
		size += 4 + len(f.Data)
	}
	with := c.KDCOffset != 0 || size+offset <= most
	if with {
		size += offset
	}
	if size > most {
		w.err = fmt.Errorf("header of %d bytes, more than %d", size, most)
		return
	}
	w.u16(uint16(size))
	if with {
		s, us := c.KDCOffset/time.Second, c.KDCOffset%time.Second/time.Microsecond
		if s < math.MinInt32 || s > math.MaxInt32 {
			w.err = fmt.Errorf("KDC offset %v exceeds 32 bits of seconds", c.KDCOffset)
		}
		w.u16(tagDelta)
		w.u16(8)
		w.u32(uint32(int32(s)))
		w.u32(uint32(int32(us)))
	}
	for _, f := range c.Header {
		w.u16(f.Type)
		w.u16(uint16(len(f.Data)))
		w.b = append(w.b, f.Data...)
	}
}

// A writer appends in the encoding of one version.
type writer struct {
	layout
	b   []byte
	err error
}

func (w *writer) u16(v uint16) {
	if w.little {
		w.b = binary.LittleEndian.AppendUint16(w.b, v)
	} else {
		w.b = binary.BigEndian.AppendUint16(w.b, v)
	}
}

func (w *writer) u32(v uint32) {
	if w.little {
		w.b = binary.LittleEndian.AppendUint32(w.b, v)
	} else {
		w.b = binary.BigEndian.AppendUint32(w.b, v)
	}
}

func (w *writer) data(b []byte) {
	if len(b) > MaxSize {
		w.err = fmt.Errorf("field of %d bytes, more than %d", len(b), MaxSize)
		return
	}
	w.u32(uint32(len(b)))
	w.b = append(w.b, b...)
}

func (w *writer) time(t time.Time) {
	var s int64
	if !t.IsZero() {
		s = t.Unix()
	}
	if s < 0 || s > math.MaxUint32 {
		w.err = fmt.Errorf("time %v does not fit into 32 bits of seconds", t)
	}
	w.u32(uint32(s))
}

func (w *writer) principal(p krb.Principal) {
	if len(p.Components) > maxComponents {
		w.err = fmt.Errorf("name of %d components, more than %d", len(p.Components), maxComponents)
		return
	}
	n := len(p.Components)
	if w.version == 1 { // counts the realm too, and has no name types
		n++
	} else {
		w.u32(uint32(p.Type))
	}
	w.u32(uint32(n))
	w.data([]byte(p.Realm))
	for _, c := range p.Components {
		w.data([]byte(c))
	}
}

func (w *writer) typed(list []Typed) {
	w.u32(uint32(len(list)))
	for _, t := range list {
		w.u16(t.Type)
		w.data(t.Data)
	}
}

func (w *writer) credential(c *Credential) {
	w.principal(c.Client)
	w.principal(c.Server)
	w.u16(uint16(int16(c.etype)))
	if w.version == 3 {
		w.u16(uint16(int16(c.etype)))
	}
	w.data(c.key.Reveal())
	w.time(c.AuthTime)
	w.time(c.StartTime)
	w.time(c.EndTime)
	w.time(c.RenewTill)
	var skey byte
	if c.IsSKey {
		skey = 1
	}
	w.b = append(w.b, skey)
	w.u32(c.Flags)
	w.typed(c.Addresses)
	w.typed(c.AuthData)
	w.data(c.Raw)
	w.data(c.SecondTicket)
}
