package fakewinrm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/internal/visit"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// Options describe a WinRM endpoint. The zero value is one as Windows has it
// by default, which echoes messages.
type Options struct {
	// Answer makes the answer to a message: a status, 200 or 500 with a fault,
	// and SOAP. Nil echoes. It is called from many goroutines. What is no status of an
	// answer becomes 500.
	Answer func(c fakekdc.Caller, soap []byte) (status int, answer []byte)
	// AllowUnencrypted takes messages in clear over plain HTTP, which otherwise
	// get status 500 and nothing else.
	AllowUnencrypted bool
	// Padding takes messages of RC4 with the padding of libgssapi as well, which
	// Windows' own clients do not send.
	Padding bool
	// Forge changes sealed answers on their way out; [Endpoint.SetForgery] changes
	// it.
	Forge Forgery
	// Web is how callers are authenticated. Contexts belong to connections,
	// always, and Next has no say.
	Web fakeweb.Options
}

// An Endpoint is a WinRM endpoint ([MS-WSMV]), at the path /wsman of its server. It
// authenticates connections, opens what was sealed with the security context of
// the connection, and seals the answers. It is strict: a request must be framed
// byte for byte as Windows frames it, be sealed with the context of its
// connection and bear the number that is due, or it gets status 400, and the
// context is gone.
//
// It is a [fakeweb.Handler] whose Requests tell of authentication; Messages tells of what
// came of it.
//
// [MS-WSMV]: https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv
type Endpoint struct {
	*fakeweb.Handler
	options Options

	mu       sync.Mutex
	forge    Forgery
	forgets  int // how often all connections were forgotten
	messages []Message
}

// A Message is one request with a message and what came of it.
type Message struct {
	Conn   int    // number of the connection, from 1
	Caller string // name@REALM
	Sealed bool   // it was, and opened
	Size   int    // of the message in bytes
	Status int    // of the answer
	Reason string // why it was refused
}

// New returns a WinRM endpoint with the keys of the named service of a realm, such as
// "HTTP/localhost" or "WSMAN/localhost"; see [fakeweb.New] for errors.
func New(r *fakekdc.Realm, service string, o Options) *Endpoint {
	if len(o.Web.Schemes) == 0 {
		o.Web.Schemes = []string{"Negotiate"}
	}
	w := &Endpoint{options: o, forge: o.Forge}
	o.Web.ConnectionBound = true
	o.Web.Next = http.HandlerFunc(w.serve)
	w.Handler = fakeweb.New(r, service, o.Web)
	return w
}

// SetForgery replaces what changes answers to come; nil changes none.
func (w *Endpoint) SetForgery(f Forgery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forge = f
}

// Forget makes the endpoint forget all contexts, as servers do that were idle for
// too long: what comes next on each connection gets status 401 without a body.
func (w *Endpoint) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forgets++
}

// Messages returns what was asked of the endpoint, oldest first. Of very many,
// the last ten thousand or so are kept.
func (w *Endpoint) Messages() []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.messages)
}

// maxMessages bounds the memory of an endpoint that runs for long.
const maxMessages = 1 << 14

func (w *Endpoint) note(m Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.messages) == maxMessages {
		w.messages = slices.Delete(w.messages, 0, maxMessages/4)
	}
	w.messages = append(w.messages, m)
}

// A sealed is what protects the messages of one connection.
type sealed struct {
	params   gss.Params
	channel  *gss.Channel
	protocol string // of the framing
	forgets  int    // of the endpoint when this was established

	mu      sync.Mutex // held while a message is opened or an answer sealed: streams of HTTP/2 come at once
	earlier []byte     // body of the last answer that was sealed
}

// established makes of a security context what protects messages.
func (w *Endpoint) established(sc *fakekdc.SecurityContext, scheme string) (*sealed, error) {
	w.mu.Lock()
	s := &sealed{forgets: w.forgets, protocol: "application/HTTP-SPNEGO-session-encrypted"}
	w.mu.Unlock()
	if strings.EqualFold(scheme, "Kerberos") {
		s.protocol = "application/HTTP-Kerberos-session-encrypted"
	}
	keys := sc.Keys()
	s.params = gss.Params{Acceptor: true, SendSeq: keys.SendSeq, RecvSeq: keys.RecvSeq}
	var errs [3]error
	s.params.Session, errs[0] = visit.Key(keys.Session)
	s.params.Subkey, errs[1] = visit.Key(keys.Initiator)
	s.params.AcceptorSubkey, errs[2] = visit.Key(keys.Acceptor)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	channel, err := gss.NewChannel(s.params)
	if err == nil && sc.Caller().Flags&fakekdc.GSSConf != 0 {
		s.channel = channel
	}
	return s, nil
}

// maxMessage is what an endpoint reads of a request.
const maxMessage = 256 << 20

// serve answers on a connection that is authenticated.
func (w *Endpoint) serve(rw http.ResponseWriter, r *http.Request) {
	v := visit.Of(r.Context())
	if v.Established != nil {
		s, err := w.established(v.Established, v.Scheme)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		v.Store(s)
	}
	s, _ := v.Load().(*sealed)
	caller, _ := fakeweb.CallerOf(r.Context())
	rw.Header().Set("Server", "Microsoft-HTTPAPI/2.0")
	w.mu.Lock()
	forgotten := s == nil || s.forgets != w.forgets
	w.mu.Unlock()
	if forgotten {
		v.Forget()
		if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxMessage)); err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
		rw.Header()["Www-Authenticate"] = slices.Clone(w.options.Web.Schemes)
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch {
	case r.URL.Path != "/wsman":
		rw.WriteHeader(http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		rw.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMessage))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(body) == 0 {
		return // what sets up a context
	}
	m := Message{Conn: v.Conn, Caller: caller.Name}
	kind := r.Header.Get("Content-Type")
	answer := &SealedAnswer{Header: rw.Header(), request: bytes.Clone(body), sealed: s} // body is opened where it is
	if strings.HasPrefix(kind, "multipart/") {
		plain, err := w.open(s, kind, body)
		if err != nil {
			v.Forget()
			m.Status, m.Reason = http.StatusBadRequest, err.Error()
			w.note(m)
			rw.WriteHeader(m.Status)
			return
		}
		m.Sealed, m.Size = true, len(plain)
		answer.plain = plain
	} else if r.TLS == nil && !w.options.AllowUnencrypted {
		m.Size, m.Status, m.Reason = len(body), http.StatusInternalServerError, "message in clear"
		w.note(m)
		rw.WriteHeader(m.Status)
		return
	} else {
		m.Size, answer.plain = len(body), body
	}
	answer.Status = http.StatusOK
	if w.options.Answer != nil {
		answer.Status, answer.plain = w.options.Answer(caller, answer.plain)
	}
	if answer.Status < 200 || answer.Status > 599 {
		m.Reason = fmt.Sprintf("the answer's status is %d", answer.Status)
		answer.Status = http.StatusInternalServerError
	}
	m.Status = answer.Status
	w.note(m)
	w.answer(rw, m.Sealed, answer)
}

func (w *Endpoint) answer(rw http.ResponseWriter, isSealed bool, a *SealedAnswer) {
	a.Header.Set("Content-Type", soapType)
	a.Body = a.plain
	if isSealed {
		w.seal(a)
	}
	if a.Header.Get("Content-Length") == "" {
		a.Header.Set("Content-Length", fmt.Sprint(len(a.Body)))
	}
	rw.WriteHeader(a.Status)
	_, _ = rw.Write(a.Body) // the client may be gone
}

// seal seals an answer, and changes it as it is told to.
func (w *Endpoint) seal(a *SealedAnswer) {
	s := a.sealed
	s.mu.Lock()
	defer s.mu.Unlock()
	genuine, err := a.Seal(a.plain)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	a.Body = genuine
	a.Header.Set("Content-Type", contentType(s.protocol))
	w.mu.Lock()
	forge := w.forge
	w.mu.Unlock()
	if forge != nil {
		a.Body = bytes.Clone(genuine)
		forge(a)
	}
	s.earlier = genuine
}

const (
	soapType  = "application/soap+xml;charset=UTF-8"
	delimiter = "--Encrypted Boundary\r\n"
	closing   = "--Encrypted Boundary--\r\n"
)

func contentType(protocol string) string {
	return `multipart/encrypted;protocol="` + protocol + `";boundary="Encrypted Boundary"`
}

// head is what comes before the length of a signature ([MS-WSMV] section
// 2.2.9.1).
func head(protocol string, length int) []byte {
	return fmt.Appendf(nil, delimiter+
		"\tContent-Type: %s\r\n"+
		"\tOriginalContent: type=%s;Length=%d\r\n"+
		delimiter+
		"\tContent-Type: application/octet-stream\r\n", protocol, soapType, length)
}

// frame makes the body that carries a token in two parts.
func frame(protocol string, signature, data []byte, length int) []byte {
	b := binary.LittleEndian.AppendUint32(head(protocol, length), uint32(len(signature)))
	return slices.Concat(b, signature, data, []byte(closing))
}

// open takes a request apart, without mercy.
func (w *Endpoint) open(s *sealed, kind string, body []byte) ([]byte, error) {
	if s.channel == nil {
		return nil, fmt.Errorf("security context without confidentiality")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if want := contentType(s.protocol); kind != want {
		return nil, fmt.Errorf("content type %.200q, want %s", kind, want)
	}
	// All lengths follow from that of the body but for the digits of Length.
	rest, ok := bytes.CutPrefix(body, []byte(delimiter))
	_, digits, found := bytes.Cut(rest, []byte(";Length="))
	digits, _, _ = bytes.Cut(digits, []byte("\r\n"))
	var length int
	if n, err := fmt.Sscanf(string(digits[:min(len(digits), 12)]), "%d", &length); !ok || !found || n != 1 || err != nil {
		return nil, fmt.Errorf("body begins with %.200q", body)
	}
	want := head(s.protocol, length)
	if length < 0 || !bytes.HasPrefix(body, want) {
		return nil, fmt.Errorf("body begins with %.300q, want %q", body, want)
	}
	rest = body[len(want):]
	rest, ok = bytes.CutSuffix(rest, []byte(closing))
	if !ok || len(rest) < 4 {
		return nil, fmt.Errorf("body does not end with %q", closing)
	}
	n := binary.LittleEndian.Uint32(rest)
	if uint64(n) > uint64(len(rest)-4) {
		return nil, fmt.Errorf("signature of %d bytes in %d", n, len(rest)-4)
	}
	signature, data := rest[4:4+n], rest[4+n:]
	if err := w.checkLengths(s, signature, data, length); err != nil {
		return nil, err
	}
	plain, err := s.channel.Open(signature, data)
	if err != nil {
		return nil, err
	}
	if w.options.Padding && len(plain) > length && s.channel.Etype() == krb.RC4HMAC {
		plain = plain[:length]
	}
	if len(plain) != length {
		return nil, fmt.Errorf("message of %d bytes, announced with %d", len(plain), length)
	}
	return plain, nil
}

// checkLengths: EncryptMessage makes signatures of one length for each encryption
// type, and data as long as the message.
func (w *Endpoint) checkLengths(s *sealed, signature, data []byte, length int) error {
	want := map[int32]int{fakekdc.AES128SHA1: 60, fakekdc.AES256SHA1: 60, fakekdc.AES128SHA256: 64, fakekdc.AES256SHA384: 72}[s.channel.Etype()]
	padding := 0
	if s.channel.Etype() == krb.RC4HMAC {
		// Its frame (RFC 2743 section 3.1) has the length of the data in it.
		if w.options.Padding {
			padding = len(data) - length
		}
		want = len(spnego.Frame(0x0201, make([]byte, 30+len(data)))) - len(data)
	}
	if len(signature) != want || len(data) != length+padding || padding < 0 || padding > 1 {
		return fmt.Errorf("signature of %d bytes and data of %d for a message of %d, want %d and as many", len(signature), len(data), length, want)
	}
	return nil
}
