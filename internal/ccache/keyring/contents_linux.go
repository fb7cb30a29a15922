package keyring

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// An entry is one key of a cache.
type entry struct {
	name    string
	payload []byte
}

// contents reads all keys of a cache. It was consistent if the keyring held the
// same keys before and after.
func contents(ring serial) (entries []entry, consistent bool, err error) {
	before, err := list(ring)
	if err != nil {
		return nil, false, err
	}
	var refused error
	size := 0
	for _, id := range before {
		e, err := readEntry(id)
		switch {
		case absent(err):
			continue
		case errors.Is(err, fs.ErrPermission): // also for a key that has just been unlinked
			refused = err
			continue
		case err != nil:
			return nil, false, err
		}
		if size += len(e.payload); size > ccache.MaxSize {
			return nil, false, tooLarge()
		}
		if e.name != "" {
			entries = append(entries, e)
		}
	}
	after, err := list(ring)
	if err != nil {
		return nil, false, err
	}
	consistent = slices.Equal(before, after)
	if consistent && refused != nil {
		return nil, false, refused
	}
	return entries, consistent, nil
}

// readEntry reads one key. One of a type that no cache has is left nameless.
func readEntry(id serial) (entry, error) {
	d, err := describe(id)
	if err != nil || d.kind != kindUser && d.kind != kindBig {
		return entry{}, err
	}
	b, err := read(id)
	return entry{d.name, b}, err
}

// assemble makes a cache of its entries. Without a principal it is none, and
// nil.
func assemble(entries []entry) (*ccache.Cache, error) {
	c := &ccache.Cache{Version: 4}
	for _, e := range entries {
		var err error
		switch e.name {
		case principalKey:
			c.Client, err = ccache.ParsePrincipal(e.payload)
		case offsetsKey:
			c.KDCOffset, err = parseOffsets(e.payload)
		default:
			err = c.Append(e.payload)
		}
		if err != nil {
			return nil, err
		}
	}
	if c.Client.IsZero() {
		return nil, nil
	}
	return c, nil
}

// disassemble is the reverse. In the old style there are no time offsets. Of
// several credentials for one server the last remains.
func disassemble(c *ccache.Cache, oldStyle bool) ([]entry, error) {
	client, err := ccache.MarshalPrincipal(c.Client)
	if err != nil {
		return nil, err
	}
	out := []entry{{principalKey, client}}
	if c.KDCOffset != 0 && !oldStyle {
		b, err := marshalOffsets(c.KDCOffset)
		if err != nil {
			return nil, err
		}
		out = append(out, entry{offsetsKey, b})
	}
	all := c.Entries()
	for i := range all {
		if out, err = appendCredential(out, &all[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func appendCredential(out []entry, c *ccache.Credential) ([]entry, error) {
	b, err := c.Marshal()
	return append(out, entry{c.Server.String(), b}), err
}

// lastEnd returns when the last of the credentials ends, by the KDC's clock.
func lastEnd(credentials []ccache.Credential) (end time.Time) {
	for i := range credentials {
		if t := credentials[i].EndTime; t.After(end) {
			end = t
		}
	}
	return end
}
