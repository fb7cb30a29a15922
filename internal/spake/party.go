package spake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A Party is one side of one exchange (RFC 9588 section 4). It is for one goroutine
// and prints no secrets.
type Party struct {
	d      definition
	kdc    bool
	Public []byte // our share

	secrets *secrets // behind a pointer, into which no verb of fmt reaches
}

type secrets struct {
	key    krb.Key // the client's
	w, x   []byte
	shared []byte // nil before Meet
}

// Format tells no secrets.
func (p *Party) Format(f fmt.State, _ rune) { io.WriteString(f, "[SPAKE with "+p.d.name+"]") }

// NewClient begins the client's side with the client's key.
func NewClient(group int32, key krb.Key) (*Party, error) { return begin(group, key, false, nil) }

// NewKDC begins the KDC's side.
func NewKDC(group int32, key krb.Key) (*Party, error) { return begin(group, key, true, nil) }

// ResumeKDC goes on with the KDC's side, of which Private was kept.
func ResumeKDC(group int32, key krb.Key, private []byte) (*Party, error) {
	return begin(group, key, true, private)
}

func begin(number int32, key krb.Key, kdc bool, private []byte) (*Party, error) {
	d, err := define(number)
	if err != nil {
		return nil, err
	}
	s := &secrets{key: key, x: private}
	if s.x == nil {
		if s.x, err = d.group.random(); err != nil {
			return nil, err
		}
	}
	if s.w, err = key.PRFPlus(binary.BigEndian.AppendUint32([]byte("SPAKEsecret"), uint32(number)), d.wLen); err != nil {
		return nil, err
	}
	p := &Party{d: d, kdc: kdc, secrets: s}
	ours, _ := p.masks()
	p.Public, err = d.group.mask(s.x, s.w, ours)
	return p, err
}

// masks returns the constants that hide our share and the other side's.
func (p *Party) masks() (ours, theirs string) {
	if p.kdc {
		return p.d.m, p.d.n
	}
	return p.d.n, p.d.m
}

// Private returns what a KDC without memory keeps of its side, which is secret.
func (p *Party) Private() []byte { return p.secrets.x }

// Meet takes the other side's share. The error is [ErrElement] where that is none.
func (p *Party) Meet(public []byte) (err error) {
	_, theirs := p.masks()
	p.secrets.shared, err = p.d.group.shared(p.secrets.x, p.secrets.w, theirs, public)
	return err
}

// Transcript adds to the hash of what was said (RFC 9588 section 5); nil is the hash
// of nothing.
func (p *Party) Transcript(hash []byte, said ...[]byte) []byte {
	h := p.d.hash()
	if hash == nil {
		hash = make([]byte, h.Size())
	}
	h.Write(hash)
	for _, b := range said {
		h.Write(b)
	}
	return h.Sum(nil)
}

var errNotMet = errors.New("SPAKE: the other side's share is missing")

// Key returns K'[n] of RFC 9588 section 7, of the type of the client's key; body is
// the KDC-REQ-BODY of the client's request that n belongs to.
func (p *Party) Key(n uint32, transcript, body []byte) (krb.Key, error) {
	s := p.secrets
	if s.shared == nil {
		return krb.Key{}, errNotMet
	}
	etype := s.key.Etype()
	size := len(s.key.Bytes())
	var seed []byte
	for block := byte(1); len(seed) < size; block++ {
		h := p.d.hash()
		h.Write([]byte("SPAKEkey"))
		h.Write(be32(uint32(p.d.number)))
		h.Write(be32(uint32(etype)))
		h.Write(s.w)
		h.Write(s.shared)
		h.Write(transcript)
		h.Write(body)
		h.Write(be32(n))
		h.Write([]byte{block})
		seed = h.Sum(seed)
	}
	key, err := krb.NewKey(etype, seed[:size])
	if err != nil {
		return krb.Key{}, err
	}
	return krb.Combine(s.key, key, "SPAKE", "keyderiv")
}

func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
