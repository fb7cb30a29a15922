package fakewinrm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// A Forgery changes a sealed answer of a WinRM endpoint on its way out. It is
// called from many goroutines, though for one answer of a connection at a time.
// See [Forgeries].
type Forgery func(*SealedAnswer)

// A SealedAnswer is an answer on its way out. What is written is Status, Header,
// to which a Content-Length that is right is added where there is none, and Body.
type SealedAnswer struct {
	Status int
	Header http.Header
	Body   []byte

	plain   []byte
	request []byte
	sealed  *sealed
}

// Plain returns the message that was sealed.
func (a *SealedAnswer) Plain() []byte { return a.plain }

// Request returns the body of the request, as it was sealed.
func (a *SealedAnswer) Request() []byte { return a.request }

// Earlier returns the genuine body of the answer before on the same connection,
// nil for none.
func (a *SealedAnswer) Earlier() []byte { return a.sealed.earlier }

// Seal returns a genuine body with the next number of the connection, after that
// of Body.
func (a *SealedAnswer) Seal(plain []byte) ([]byte, error) {
	return a.sealed.body(a.sealed.channel, plain)
}

func (s *sealed) body(ch *gss.Channel, plain []byte) ([]byte, error) {
	token, n, err := ch.Seal(nil, plain)
	if err != nil {
		return nil, err
	}
	return frame(s.protocol, token[:n], token[n:], len(plain)), nil
}

// token returns the parts of the token in Body, in its memory. Body must be as
// it was sealed.
func (a *SealedAnswer) token() (signature, data []byte) {
	rest := a.Body[len(head(a.sealed.protocol, len(a.plain))):]
	n := binary.LittleEndian.Uint32(rest)
	rest = rest[4 : len(rest)-len(closing)]
	return rest[:n], rest[n:]
}

// reframe puts other parts into the body.
func (a *SealedAnswer) reframe(signature, data []byte, length int) {
	a.Body = frame(a.sealed.protocol, bytes.Clone(signature), bytes.Clone(data), length)
}

// replace changes the text around the token.
func (a *SealedAnswer) replace(from, to string) {
	a.Body = bytes.Replace(a.Body, []byte(from), []byte(to), 1)
}

// clear sends the message in clear.
func (a *SealedAnswer) clear(kind string, body []byte) {
	a.Body = body
	a.Header.Set("Content-Type", kind)
}

// another returns a body that was sealed in a context made of the connection's by
// change.
func (a *SealedAnswer) another(change func(*gss.Params)) {
	p := a.sealed.params
	p.SendSeq = a.number()
	change(&p)
	ch, err := gss.NewChannel(p)
	if err == nil {
		a.Body, err = a.sealed.body(ch, a.plain)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// number returns the one of the message in Body, of the connection's own count
// with RC4, where it is encrypted.
func (a *SealedAnswer) number() uint32 {
	signature, _ := a.token()
	if signature[0] != 5 || len(signature) < 16 {
		return a.sealed.params.SendSeq
	}
	return uint32(binary.BigEndian.Uint64(signature[8:]))
}

// next is Seal where nothing can go wrong.
func (a *SealedAnswer) next(plain []byte) []byte {
	b, err := a.Seal(plain)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return b
}

func randomKey(etype int32) krb.Key {
	k, err := krb.GenerateKey(etype)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return k
}

// Forgeries returns ways in which sealed answers can be forged, by name: by
// whoever is on the way, and by a server that does not keep to the protocol. No
// client may take any of them. They are for messages of 32 bytes and more, from
// the second one of a connection on.
//
// Those that begin with "AES" or "RC4" are for encryption types of that kind.
func Forgeries() map[string]Forgery {
	all := map[string]Forgery{}
	for _, m := range []map[string]Forgery{forgedBytes(), forgedAES(), forgedRC4(), forgedOrder(), forgedFrames(), forgedHTTP()} {
		for name, f := range m {
			all[name] = f
		}
	}
	return all
}

// flip changes one bit of the signature or, counting on, of the data; an offset
// below zero counts from the end.
func flip(inData bool, at int) Forgery {
	return func(a *SealedAnswer) {
		b, data := a.token()
		if inData {
			b = data
		}
		i := at
		if i < 0 {
			i += len(b)
		}
		b[i] ^= 0x10
	}
}

// forgedBytes change what is in a token.
func forgedBytes() map[string]Forgery {
	return map[string]Forgery{
		"first bit of the signature": flip(false, 0),
		"last bit of the signature":  flip(false, -1),
		"first bit of the data":      flip(true, 0),
		"middle bit of the data":     flip(true, 17),
		"last bit of the data":       flip(true, -1),
		"signature of zeros":         func(a *SealedAnswer) { s, _ := a.token(); clear(s) },
		"data of zeros":              func(a *SealedAnswer) { _, d := a.token(); clear(d) },
		"data in clear":              func(a *SealedAnswer) { _, d := a.token(); copy(d, a.plain) },
		"blocks swapped": func(a *SealedAnswer) {
			_, d := a.token()
			first := bytes.Clone(d[:16])
			copy(d, d[16:32])
			copy(d[16:], first)
		},
		"data cut by one": func(a *SealedAnswer) {
			s, d := a.token()
			a.reframe(s, d[:len(d)-1], len(a.plain)-1)
		},
		"data longer by one": func(a *SealedAnswer) {
			s, d := a.token()
			a.reframe(s, append(bytes.Clone(d), 'x'), len(a.plain)+1)
		},
		"data cut to nothing": func(a *SealedAnswer) {
			s, _ := a.token()
			a.reframe(s, nil, 0)
		},
		"signature cut by one": func(a *SealedAnswer) {
			s, d := a.token()
			a.reframe(s[:len(s)-1], d, len(a.plain))
		},
		"signature longer by one": func(a *SealedAnswer) {
			s, d := a.token()
			a.reframe(append(bytes.Clone(s), 0), d, len(a.plain))
		},
		"signature cut to one byte": func(a *SealedAnswer) {
			s, d := a.token()
			a.reframe(s[:1], d, len(a.plain))
		},
		"no signature": func(a *SealedAnswer) {
			_, d := a.token()
			a.reframe(nil, d, len(a.plain))
		},
		"MIC in place of the message": func(a *SealedAnswer) {
			mic, err := a.sealed.channel.MIC(a.plain)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			a.reframe(mic, a.plain, len(a.plain))
		},
		"signed and not sealed": func(a *SealedAnswer) {
			p := a.sealed.params
			p.SendSeq = a.number()
			ch, err := gss.NewChannel(p)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			token, err := ch.Wrap(a.plain, false)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			n := len(token) - len(a.plain)
			a.reframe(token[:n], token[n:], len(a.plain))
		},
		"AP-REP in place of the message": func(a *SealedAnswer) {
			a.reframe(spnego.Frame(spnego.TokAPRep, a.plain), a.plain, len(a.plain))
		},
	}
}

// forgedAES change the fields of a token of RFC 4121 section 4.2.6.2.
func forgedAES() map[string]Forgery {
	set := func(at int, value byte) Forgery {
		return func(a *SealedAnswer) { s, _ := a.token(); s[at] = value }
	}
	return map[string]Forgery{
		"AES, token of the initiator": func(a *SealedAnswer) { s, _ := a.token(); s[2] &^= 1 },
		"AES, not sealed":             func(a *SealedAnswer) { s, _ := a.token(); s[2] &^= 2 },
		"AES, another key":            func(a *SealedAnswer) { s, _ := a.token(); s[2] ^= 4 },
		"AES, filler":                 set(3, 0),
		"AES, extra count":            set(5, 16),
		"AES, rotation":               set(7, 0),
		"AES, rotation of all":        set(6, 0xff),
		"AES, next number":            func(a *SealedAnswer) { s, _ := a.token(); s[15]++ },
		"AES, earlier number":         func(a *SealedAnswer) { s, _ := a.token(); s[15]-- },
		"AES, copy of the header":     flip(false, 20),
		"AES, MAC":                    flip(false, 34),
		"AES, confounder":             flip(false, -16),
	}
}

// forgedRC4 change the fields of a token of RFC 4757 section 7.3.
func forgedRC4() map[string]Forgery {
	at := func(offset int, value ...byte) Forgery {
		return func(a *SealedAnswer) {
			s, _ := a.token()
			for i, v := range value {
				s[len(s)-32+offset+i] ^= v
			}
		}
	}
	return map[string]Forgery{
		"RC4, algorithm of the checksum": at(2, 1),
		"RC4, not sealed":                func(a *SealedAnswer) { s, _ := a.token(); s[len(s)-28], s[len(s)-27] = 0xff, 0xff },
		"RC4, number":                    at(11, 1),
		"RC4, direction":                 at(12, 0xff, 0xff, 0xff, 0xff),
		"RC4, checksum":                  at(16, 1),
		"RC4, confounder":                at(24, 1),
		"RC4, length of the frame":       func(a *SealedAnswer) { s, _ := a.token(); s[1]++ },
	}
}

// forgedOrder send what was sealed at another time or for somebody else.
func forgedOrder() map[string]Forgery {
	parts := func(a *SealedAnswer, body []byte) (signature, data []byte) {
		// The lengths are in the body.
		i := bytes.Index(body, []byte("octet-stream\r\n")) + len("octet-stream\r\n")
		rest := body[i : len(body)-len(closing)]
		n := binary.LittleEndian.Uint32(rest)
		return rest[4 : 4+n], rest[4+n:]
	}
	return map[string]Forgery{
		"replayed": func(a *SealedAnswer) { a.Body = bytes.Clone(a.Earlier()) },
		"signature of the answer before": func(a *SealedAnswer) {
			s, _ := parts(a, a.Earlier())
			_, d := a.token()
			a.reframe(s, d, len(a.plain))
		},
		"data of the answer before": func(a *SealedAnswer) {
			s, _ := a.token()
			_, d := parts(a, a.Earlier())
			a.reframe(s, d, len(d))
		},
		"one dropped": func(a *SealedAnswer) { a.Body = a.next(a.plain) },
		"many dropped": func(a *SealedAnswer) {
			for range 300 {
				a.Body = a.next(a.plain)
			}
		},
		"the next one first": func(a *SealedAnswer) {
			next := a.next(a.plain)
			first := a.Body
			a.Body = join(next, first)
		},
		"the one before again": func(a *SealedAnswer) { a.Body = join(a.Body, a.Earlier()) },
		"twice":                func(a *SealedAnswer) { a.Body = join(a.Body, a.Body) },
		"reflected":            func(a *SealedAnswer) { a.Body = bytes.Clone(a.Request()) },
		"sealed as the initiator": func(a *SealedAnswer) {
			a.another(func(p *gss.Params) { p.Acceptor = false })
		},
		"of another context": func(a *SealedAnswer) {
			a.another(func(p *gss.Params) {
				p.Session = randomKey(p.Session.Etype())
				p.Subkey, p.AcceptorSubkey = randomKey(p.Session.Etype()), krb.Key{}
				if !a.sealed.params.AcceptorSubkey.IsZero() {
					p.AcceptorSubkey = randomKey(p.Session.Etype())
				}
			})
		},
		"under the session key": func(a *SealedAnswer) {
			a.another(func(p *gss.Params) { p.Subkey, p.AcceptorSubkey = krb.Key{}, krb.Key{} })
		},
		"under the session key as subkey": func(a *SealedAnswer) {
			a.another(func(p *gss.Params) { p.Subkey, p.AcceptorSubkey = p.Session, p.Session })
		},
	}
}

// join makes one body of two.
func join(a, b []byte) []byte {
	return slices.Concat(bytes.TrimSuffix(a, []byte(closing)), b)
}

// forgedFrames change what is around a token.
func forgedFrames() map[string]Forgery {
	length := func(text string) Forgery {
		return func(a *SealedAnswer) { a.replace(fmt.Sprintf("Length=%d", len(a.plain)), text) }
	}
	return map[string]Forgery{
		"length too small": func(a *SealedAnswer) {
			length(fmt.Sprintf("Length=%d", len(a.plain)-1))(a)
		},
		"length too great": func(a *SealedAnswer) {
			length(fmt.Sprintf("Length=%d", len(a.plain)+1))(a)
		},
		"length huge":             length("Length=2147483647"),
		"length beyond counting":  length("Length=99999999999999999999"),
		"length negative":         length("Length=-1"),
		"no length":               length(""),
		"two lengths":             length("Length=1;Length=1"),
		"signature length huge":   func(a *SealedAnswer) { a.sigLen(0xffffffff) },
		"signature length of all": func(a *SealedAnswer) { s, d := a.token(); a.sigLen(uint32(len(s) + len(d))) },
		"signature length zero":   func(a *SealedAnswer) { a.sigLen(0) },
		"no end":                  func(a *SealedAnswer) { a.Body = bytes.TrimSuffix(a.Body, []byte(closing)) },
		"half":                    func(a *SealedAnswer) { a.Body = a.Body[:len(a.Body)/2] },
		"head alone":              func(a *SealedAnswer) { a.Body = head(a.sealed.protocol, len(a.plain)) },
		"end alone":               func(a *SealedAnswer) { a.Body = []byte(closing) },
		"more after the end":      func(a *SealedAnswer) { a.Body = append(a.Body, "<Envelope/>"...) },
		"another boundary":        func(a *SealedAnswer) { a.replace("--Encrypted Boundary", "--Other Boundary") },
		"no inner type":           func(a *SealedAnswer) { a.replace("\tContent-Type: "+a.sealed.protocol+"\r\n", "") },
		"no original content":     func(a *SealedAnswer) { a.replace("OriginalContent", "Original") },
		"no octet-stream":         func(a *SealedAnswer) { a.replace("application/octet-stream", "application/soap+xml") },
		"inner CredSSP":           func(a *SealedAnswer) { a.replace(a.sealed.protocol, "application/HTTP-CredSSP-session-encrypted") },
		"message in clear after it": func(a *SealedAnswer) {
			s, _ := a.token()
			a.Body = join(a.Body, frame(a.sealed.protocol, s, a.plain, len(a.plain)))
		},
		"message in clear in it": func(a *SealedAnswer) {
			a.Body = slices.Concat(head(a.sealed.protocol, len(a.plain)), a.plain, []byte(closing))
		},
		"headers without end": func(a *SealedAnswer) {
			a.Body = []byte(delimiter + strings.Repeat("\tX: y\r\n", 100_000))
		},
	}
}

func (a *SealedAnswer) sigLen(n uint32) {
	binary.LittleEndian.PutUint32(a.Body[len(head(a.sealed.protocol, len(a.plain))):], n)
}

// forgedHTTP change what HTTP says.
func forgedHTTP() map[string]Forgery {
	return map[string]Forgery{
		"in clear":                    func(a *SealedAnswer) { a.clear(soapType, a.plain) },
		"in clear, fault":             func(a *SealedAnswer) { a.Status = http.StatusInternalServerError; a.clear(soapType, a.plain) },
		"in clear, said to be sealed": func(a *SealedAnswer) { a.Body = a.plain },
		"page of a proxy": func(a *SealedAnswer) {
			a.Status = http.StatusBadGateway
			a.clear("text/html", []byte("<h1>Bad Gateway</h1>"))
		},
		"redirect": func(a *SealedAnswer) {
			a.Status = http.StatusTemporaryRedirect
			a.Header.Set("Location", "/elsewhere")
			a.clear("text/html", []byte("moved"))
		},
		"redirect without a body": func(a *SealedAnswer) {
			a.Status = http.StatusTemporaryRedirect
			a.Header.Set("Location", "/elsewhere")
			a.clear("text/html", nil)
		},
		"sealed, said to be in clear": func(a *SealedAnswer) { a.Header.Set("Content-Type", soapType) },
		"no content type":             func(a *SealedAnswer) { a.Header["Content-Type"] = nil },
		"content type without protocol": func(a *SealedAnswer) {
			a.Header.Set("Content-Type", `multipart/encrypted;boundary="Encrypted Boundary"`)
		},
		"CredSSP": func(a *SealedAnswer) {
			a.Header.Set("Content-Type", contentType("application/HTTP-CredSSP-session-encrypted"))
		},
		"content type that is none": func(a *SealedAnswer) { a.Header.Set("Content-Type", `multipart/encrypted;;=`) },
		"boundary of another": func(a *SealedAnswer) {
			a.Header.Set("Content-Type", strings.Replace(contentType(a.sealed.protocol), "Encrypted B", "B", 1))
		},
		"connection breaks off": func(a *SealedAnswer) { a.Header.Set("Content-Length", fmt.Sprint(len(a.Body)+1)) },
	}
}
