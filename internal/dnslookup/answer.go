package dnslookup

import (
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	maxAnswers = 512 // records of any type in one answer
	maxAliases = 8   // CNAMEs from the name asked for to the records
)

// An answer is what a name server said about the name that was asked for.
type answer struct {
	code      dnsmessage.RCode
	truncated bool // look no further
	records   []URI
	ttl       time.Duration // the least of the records and aliases
}

type alias struct {
	from, to string
	ttl      uint32
}

type record struct {
	owner string
	ttl   uint32
	uri   URI
}

// parse reads the answer to q. It returns errForeign for what need not have
// come from the server.
func parse(msg []byte, id uint16, q dnsmessage.Question) (answer, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.ID != id || !h.Response || h.OpCode != 0 {
		return answer{}, errForeign
	}
	got, err := p.Question()
	if err != nil || got.Type != q.Type || got.Class != q.Class || !sameName(got.Name.String(), q.Name.String()) {
		return answer{}, errForeign
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return answer{}, errForeign
	}
	a := answer{code: h.RCode, truncated: h.Truncated}
	if a.truncated || a.code != dnsmessage.RCodeSuccess {
		return a, nil
	}
	var aliases []alias
	var records []record
	for n := 0; ; n++ {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil || n == maxAnswers {
			return answer{}, errMalformed
		}
		switch {
		case h.Class != dnsmessage.ClassINET:
			err = p.SkipAnswer()
		case h.Type == dnsmessage.TypeCNAME:
			var c dnsmessage.CNAMEResource
			c, err = p.CNAMEResource()
			aliases = append(aliases, alias{h.Name.String(), c.CNAME.String(), h.TTL})
		case h.Type == typeURI:
			var u dnsmessage.UnknownResource
			u, err = p.UnknownResource()
			if uri, ok := parseURI(u.Data); ok {
				records = append(records, record{h.Name.String(), h.TTL, uri})
			}
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			return answer{}, errMalformed
		}
	}
	a.follow(q.Name.String(), aliases, records)
	return a, nil
}

// follow goes from the name that was asked for, alias by alias, to one that has
// records.
func (a *answer) follow(name string, aliases []alias, records []record) {
	ttl := uint32(1<<31 - 1) // RFC 2181 section 8
	for range maxAliases + 1 {
		for _, r := range records {
			if sameName(r.owner, name) {
				a.records = append(a.records, r.uri)
				ttl = min(ttl, r.ttl)
			}
		}
		if len(a.records) > 0 {
			a.ttl = time.Duration(ttl) * time.Second
			return
		}
		next := ""
		for _, c := range aliases {
			if sameName(c.from, name) {
				next = c.to
				ttl = min(ttl, c.ttl)
				break
			}
		}
		if next == "" {
			return
		}
		name = next
	}
}

// parseURI reads the data of a URI record: priority and weight in two bytes
// each, then the target up to the end. A record without a target is none.
func parseURI(b []byte) (URI, bool) {
	if len(b) < 5 {
		return URI{}, false
	}
	return URI{
		Priority: binary.BigEndian.Uint16(b),
		Weight:   binary.BigEndian.Uint16(b[2:]),
		Target:   string(b[4:]),
	}, true
}

// sameName compares names as DNS does: of ASCII letters the case does not count
// (RFC 4343).
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	lower := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
