package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

const explainIntro = `Says what is in a token: base64 alone, "Negotiate YII...", or a whole header line
such as "WWW-Authenticate: Negotiate oY...". With - it reads standard input, which
may be a dump of headers as curl -v prints it.

Tickets and authenticators are sealed: with --keytab, a keytab of the service, it
opens them too, and tells whose they are, what was asked for and what they are
bound to. Keys are never printed. Who sees a token while it is valid may be able
to use it: take care where you paste one.
`

func defineExplain(fs *pflag.FlagSet) func(context.Context, []string, world) int {
	path := fs.String("keytab", "", "keytab `file` of the service, to open tickets with")
	explain := func(ctx context.Context, args []string, w world) int {
		if err := checkEmpty(fs, "keytab"); err != nil {
			return usageError(w, err)
		}
		if len(args) == 0 {
			return usageError(w, errors.New("want a token, a header line, or - for standard input"))
		}
		var keys []keytab.Entry
		if *path != "" {
			var err error
			if keys, err = readKeys(ctx, *path); err != nil {
				return usageError(w, fmt.Errorf("--keytab: %w", err))
			}
		}
		text := strings.Join(args, " ")
		if text == "-" {
			b, err := io.ReadAll(io.LimitReader(w.stdin, maxDump+1))
			if err == nil && len(b) > maxDump {
				err = fmt.Errorf("more than %d bytes", maxDump)
			}
			if err != nil {
				complain(w, "standard input: %v", err)
				return exitFailed
			}
			text = string(b)
		}
		tokens, err := findTokens(text)
		if err != nil {
			complain(w, "%v", err)
			return exitFailed
		}
		code := exitOK
		for _, t := range tokens {
			e := explainer{keys: keys}
			e.token(t)
			if _, err := io.WriteString(w.stdout, e.out.String()); err != nil {
				return unwritten(w, err)
			}
			if e.broken {
				code = exitFailed
			}
		}
		return code
	}
	return func(ctx context.Context, args []string, w world) int {
		return leaving(ctx, w, func() int { return explain(ctx, args, w) })
	}
}

// maxDump bounds what is read from standard input, in bytes.
const maxDump = 1 << 20

// readKeys reads the entries of a keytab, those before the damage if it is torn.
func readKeys(ctx context.Context, path string) (list []keytab.Entry, err error) {
	b, err := keytab.Read(ctx, strings.TrimPrefix(path, "FILE:"))
	if err != nil {
		return nil, err
	}
	for e, err := range keytab.Entries(b) {
		if err != nil {
			if len(list) == 0 {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			break
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no keys", path)
	}
	return list, nil
}

// A found is one token, and how it was found.
type found struct {
	where string // the header field and scheme, as far as there were any
	bytes []byte
	note  string // in place of bytes: what there is to say of a scheme that is none of ours
}

// authFields are the header fields that bear tokens, in lower case.
var authFields = []string{"authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info", "proxy-authentication-info"}

// findTokens returns the tokens of a text: base64, or header lines among others.
func findTokens(text string) ([]found, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("there is no token: want base64, or a header line")
	}
	// Base64 that a terminal or a mail program broke into lines is one token.
	if joined := strings.Join(strings.Fields(text), ""); !strings.ContainsAny(joined, ":,\"") {
		if b, err := decode(joined); err == nil {
			return []found{{bytes: b}}, nil
		}
	}
	var list []found
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxDump+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		line = strings.TrimPrefix(strings.TrimPrefix(line, "> "), "< ")
		name, value, field := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		switch {
		case field && isAuthField(name):
			more, err := fieldTokens(name+": ", value)
			if err != nil {
				return nil, err
			}
			list = append(list, more...)
		case !field:
			if scheme, _, ok := strings.Cut(line, " "); ok && knownScheme(scheme) {
				more, err := fieldTokens("", line)
				if err != nil {
					return nil, err
				}
				list = append(list, more...)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		if b := strings.TrimSpace(text); !strings.ContainsAny(b, " \n:") {
			_, err := decode(b)
			return nil, err
		}
		return nil, errors.New("there is no token: want base64, or a header line such as \"Authorization: Negotiate YII...\"")
	}
	return list, nil
}

func isAuthField(name string) bool {
	for _, f := range authFields {
		if strings.EqualFold(name, f) {
			return true
		}
	}
	return false
}

func knownScheme(s string) bool {
	for _, known := range []string{"Negotiate", "Kerberos", "NTLM", "Basic", "Bearer", "Digest"} {
		if strings.EqualFold(s, known) {
			return true
		}
	}
	return false
}

// fieldTokens returns the tokens of a field's value.
func fieldTokens(where, value string) (list []found, err error) {
	for _, c := range challenge.Parse([]string{value}) {
		at := where + printable.Text(c.Scheme)
		switch {
		case c.Is("Basic"):
			list = append(list, found{where: at, note: "user name and password in base64, which are not shown"})
		case !c.Is("Negotiate") && !c.Is("Kerberos") && !c.Is("NTLM"):
			list = append(list, found{where: at, note: "a scheme that bears no token of Kerberos"})
		default:
			b, err := c.Token()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			list = append(list, found{where: at, bytes: b})
		}
	}
	return list, nil
}

func decode(s string) ([]byte, error) {
	return challenge.Challenge{Scheme: "Negotiate", Token68: s}.Token()
}

// An explainer writes what tokens hold, one line a fact, indented by what is
// within what.
type explainer struct {
	out    strings.Builder
	depth  int
	keys   []keytab.Entry
	broken bool // something could not be read
}

// say writes a line. Much of it comes from strangers.
func (e *explainer) say(format string, args ...any) {
	fmt.Fprintf(&e.out, "%s%s\n", strings.Repeat("  ", e.depth), printable.Text(fmt.Sprintf(format, args...)))
}

// fact writes a line with a name in front.
func (e *explainer) fact(name, format string, args ...any) {
	e.say("%-14s %s", name, fmt.Sprintf(format, args...))
}

func (e *explainer) fails(what string, err error) {
	e.broken = true
	e.say("%s cannot be read: %v", what, err)
}

// within indents what f writes.
func (e *explainer) within(f func()) {
	e.depth++
	f()
	e.depth--
}

func (e *explainer) token(t found) {
	where := t.where
	if where == "" {
		where = "token"
	}
	switch {
	case t.note != "":
		e.say("%s: %s", where, t.note)
		return
	case len(t.bytes) == 0:
		e.say("%s: no token, the server asks for one", where)
		return
	}
	e.say("%s: %d bytes", where, len(t.bytes))
	e.within(func() { e.explain(t.bytes, 0) })
}

// maxDepth bounds tokens within tokens. Kerberos in SPNEGO needs two.
const maxDepth = 4

// explain says what a token is, and what is in it.
func (e *explainer) explain(b []byte, depth int) {
	if depth > maxDepth {
		e.broken = true
		e.say("more tokens within one another than any peer sends")
		return
	}
	switch kind := spnego.Classify(b); kind {
	case spnego.Empty:
		e.say("empty")
	case spnego.NegTokenInit:
		e.init(b, depth)
	case spnego.NegTokenResp:
		e.resp(b, depth)
	case spnego.APReq, spnego.APRep, spnego.KRBError:
		e.framed(b)
	case spnego.BareAPRep:
		e.say("AP-REP without the frame of GSS-API (DCE style), which is not legal over HTTP")
		e.within(func() { e.apRep(b) })
	case spnego.BareKRBError:
		e.krbError(b)
	case spnego.NTLMSSP:
		e.ntlm(b)
	case spnego.NEGOEXTS:
		e.say("NegoEx, another mechanism than Kerberos")
	default:
		e.unknown(b)
	}
}

func (e *explainer) unknown(b []byte) {
	if req, err := krb.ParseAPReq(b); err == nil {
		e.say("AP-REQ without the frame of GSS-API")
		e.within(func() { e.apReq(req) })
		return
	}
	if oid, _, _, err := spnego.Unframe(b); errors.Is(err, spnego.ErrMechanism) {
		e.say("token of the mechanism %s, which is not read here", oid)
		return
	}
	e.broken = true
	if b[0] == 0x60 || b[0] == 0xa1 {
		e.say("a token of GSS-API that is cut off or damaged: its length is not the one that it states")
		return
	}
	e.say("neither SPNEGO nor Kerberos nor NTLM")
}

func (e *explainer) init(b []byte, depth int) {
	i, err := spnego.ParseInit(b)
	if err != nil {
		e.fails("NegTokenInit", err)
		return
	}
	e.say("NegTokenInit of SPNEGO (RFC 4178), by which a client begins")
	e.within(func() {
		names := make([]string, len(i.MechTypes))
		for n, m := range i.MechTypes {
			names[n] = m.String()
		}
		if len(names) == 0 {
			names = []string{"none"}
		}
		e.fact("mechanisms", "%s", strings.Join(names, ", "))
		if len(i.MechTypes) > 0 && (i.MechTypes[0] == spnego.NTLM || i.MechTypes[0] == spnego.NegoEx) {
			e.say("Kerberos is not the first choice: the client had no ticket for the service")
		}
		if i.HintName != "" {
			e.fact("hint", "%s", i.HintName)
		}
		e.mic(i.MechListMIC)
		if i.MechToken == nil {
			e.fact("token", "none")
			return
		}
		e.explain(i.MechToken, depth+1)
	})
}

func (e *explainer) resp(b []byte, depth int) {
	r, err := spnego.ParseResp(b)
	if err != nil {
		e.fails("NegTokenResp", err)
		return
	}
	e.say("NegTokenResp of SPNEGO (RFC 4178), an answer")
	e.within(func() {
		e.fact("state", "%s", r.State)
		if r.SupportedMech != "" {
			e.fact("mechanism", "%s", r.SupportedMech)
		}
		e.mic(r.MechListMIC)
		if r.ResponseToken == nil {
			e.fact("token", "none, so nothing is proved by it")
			return
		}
		e.explain(r.ResponseToken, depth+1)
	})
}

func (e *explainer) mic(b []byte) {
	if b != nil {
		e.fact("mechListMIC", "%d bytes", len(b))
	}
}

// framed explains a token of Kerberos in the frame of GSS-API.
func (e *explainer) framed(b []byte) {
	oid, id, inner, err := spnego.Unframe(b)
	if err != nil {
		e.fails("the frame of a Kerberos token", err)
		return
	}
	switch id {
	case spnego.TokAPReq:
		e.say("AP-REQ (%s), a client's proof", oid)
		e.within(func() {
			req, err := krb.ParseAPReq(inner)
			if err != nil {
				e.fails("AP-REQ", err)
				return
			}
			e.apReq(req)
		})
	case spnego.TokAPRep:
		e.say("AP-REP (%s), the server's proof; only the client that asked can check it", oid)
		e.within(func() { e.apRep(inner) })
	case spnego.TokKRBError:
		e.krbError(inner)
	}
}

func (e *explainer) apRep(b []byte) {
	f := krb.OpenApp("AP-REP", krb.MsgAPRep, b)
	f.Int32(0) // pvno and msg-type
	f.Int32(1)
	ed := f.Encrypted(2)
	if err := f.Err(true); err != nil {
		e.fails("AP-REP", err)
		return
	}
	e.fact("sealed with", "%s, %d bytes", etype(ed.Etype), len(ed.Cipher))
}

func (e *explainer) krbError(b []byte) {
	k, err := krb.ParseKRBError(b)
	if err != nil {
		e.fails("KRB-ERROR", err)
		return
	}
	e.say("KRB-ERROR, which nothing authenticates")
	e.within(func() {
		e.fact("error", "%s (%d)", krb.ErrorName(k.Code), k.Code)
		if k.Text != "" {
			e.fact("text", "%s", k.Text)
		}
		if s := k.NTStatus(); s != 0 {
			e.fact("reason", "%s", s)
		}
		e.fact("service", "%s", k.Server)
		if !k.Client.IsZero() {
			e.fact("client", "%s", k.Client)
		}
		e.fact("server's time", "%s", utc(k.STime))
	})
}

// ntlm names a message of NTLM ([MS-NLMP] section 2.2.1). What else is in it is none
// of Kerberos' business, and in part secret.
func (e *explainer) ntlm(b []byte) {
	name := "unknown"
	if len(b) >= 12 {
		switch n := binary.LittleEndian.Uint32(b[8:]); n {
		case 1:
			name = "NEGOTIATE, by which a client begins"
		case 2:
			name = "CHALLENGE, a server's"
		case 3:
			name = "AUTHENTICATE, a client's proof"
		default:
			name = fmt.Sprintf("of unknown type %d", n)
		}
	}
	e.say("NTLM message %s: this is not Kerberos", name)
	e.within(func() {
		e.say("A client that has no ticket for the service falls back to it: is there a principal HTTP/host, and a ticket of the user?")
	})
}

func (e *explainer) apReq(r *krb.APReq) {
	var asks []string
	if r.Options&krb.APMutualRequired != 0 {
		asks = append(asks, "mutual-required")
	}
	if r.Options&krb.APUseSessionKey != 0 {
		asks = append(asks, "use-session-key (user to user)")
	}
	if asks == nil {
		asks = []string{"none"}
	}
	t := r.Ticket
	e.fact("options", "%s", strings.Join(asks, ", "))
	e.fact("realm", "%s", t.Server.Realm)
	e.fact("service", "%s", t.Server)
	e.fact("ticket", "%s, sealed with %s, %d bytes", kvno(t.EncPart.Kvno), etype(t.EncPart.Etype), len(r.RawTicket))
	e.fact("authenticator", "sealed with %s, %d bytes", etype(r.Authenticator.Etype), len(r.Authenticator.Cipher))
	if e.keys == nil {
		e.say("--keytab with a keytab of the service tells the rest")
		return
	}
	part, with, err := e.open(t)
	if err != nil {
		e.fails("the ticket", err)
		return
	}
	e.ticket(part, with)
	plain, err := part.Key.OpenData(krb.UsageAPReqAuth, r.Authenticator)
	if err != nil {
		e.fails("the authenticator", errors.New("it is not sealed with the ticket's session key"))
		return
	}
	a, err := krb.ParseAuthenticator(plain)
	if err != nil {
		e.fails("the authenticator", err)
		return
	}
	e.authenticator(a, part)
}

// open opens a ticket with the keytab's key for it, or any of its type, since a
// service may have other names.
func (e *explainer) open(t krb.TicketFields) (*krb.EncTicketPart, keytab.Entry, error) {
	exact, other := false, ""
	for _, k := range e.keys {
		if k.Principal.Equal(t.Server) {
			if k.Kvno&0xff == t.EncPart.Kvno&0xff && k.Etype == t.EncPart.Etype {
				exact = true
			} else {
				other = fmt.Sprintf(", but %s of %s", kvno(k.Kvno), etype(k.Etype))
			}
		}
		if k.Etype != t.EncPart.Etype {
			continue
		}
		key, err := k.Key()
		if err != nil {
			continue
		}
		if part, err := t.Open(key); err == nil {
			return part, k, nil
		}
	}
	want := fmt.Sprintf("%s of %s for %s", kvno(t.EncPart.Kvno), etype(t.EncPart.Etype), t.Server)
	if exact {
		return nil, keytab.Entry{}, fmt.Errorf("%s is in the keytab and does not open it: the service has another key now, or the ticket is of another realm of this name", want)
	}
	return nil, keytab.Entry{}, fmt.Errorf("the keytab has no %s%s", want, other)
}

func (e *explainer) ticket(p *krb.EncTicketPart, with keytab.Entry) {
	e.say("the ticket, opened with %s of %s:", kvno(with.Kvno), with.Principal)
	e.within(func() {
		e.fact("client", "%s", p.Client)
		e.fact("session key", "%s", etype(p.Key.Etype()))
		e.fact("flags", "%s", krb.FlagNames(p.Flags))
		e.fact("authenticated", "%s", utc(p.AuthTime))
		if !p.StartTime.IsZero() {
			e.fact("from", "%s", utc(p.StartTime))
		}
		e.fact("until", "%s", utc(p.EndTime))
		if !p.RenewTill.IsZero() {
			e.fact("renewable", "until %s", utc(p.RenewTill))
		}
	})
}

func (e *explainer) authenticator(a *krb.Authenticator, p *krb.EncTicketPart) {
	e.say("the authenticator:")
	e.within(func() {
		if !a.Client.Equal(p.Client) {
			e.broken = true
			e.say("it is of %s, and the ticket of another", a.Client)
		}
		e.fact("made", "%s", utc(a.CTime.Add(time.Duration(a.Cusec)*time.Microsecond)))
		if !a.Subkey.IsZero() {
			e.fact("subkey", "%s", etype(a.Subkey.Etype()))
		}
		switch c := a.Checksum; {
		case c.Value == nil:
			e.fact("checksum", "none")
		case c.Type != krb.ChecksumGSSAPI:
			e.fact("checksum", "of type %d, not that of GSS-API", c.Type)
		default:
			e.checksum(c.Value)
		}
	})
}

// checksum explains that of GSS-API (RFC 4121 section 4.1.1).
func (e *explainer) checksum(v []byte) {
	if len(v) < 24 || binary.LittleEndian.Uint32(v) != 16 {
		e.fails("the checksum of GSS-API", fmt.Errorf("%d bytes of another form", len(v)))
		return
	}
	flags := binary.LittleEndian.Uint32(v[20:])
	e.fact("flags", "%s", gssFlags(flags))
	bound := "none: the token is bound to no TLS connection"
	if hash := v[4:20]; !bytes.Equal(hash, make([]byte, 16)) {
		bound = "MD5 " + hex.EncodeToString(hash)
	}
	e.fact("bindings", "%s", bound)
	if flags&gss.FlagDeleg == 0 {
		return
	}
	if len(v) < 28 || len(v)-28 < int(binary.LittleEndian.Uint16(v[26:])) {
		e.fails("the delegated credentials", errors.New("they are cut off"))
		return
	}
	e.fact("delegated", "credentials of %d bytes, which are not shown", binary.LittleEndian.Uint16(v[26:]))
}

// gssFlags names those of RFC 4121 section 4.1.1.1, as RFC 2743 does, and the rest as a
// number.
func gssFlags(v uint32) string {
	var names []string
	for _, f := range []struct {
		bit  uint32
		name string
	}{
		{gss.FlagDeleg, "delegation"}, {gss.FlagMutual, "mutual authentication"}, {gss.FlagReplay, "replay detection"},
		{gss.FlagSequence, "sequence"}, {gss.FlagConf, "confidentiality"}, {gss.FlagInteg, "integrity"},
		{0x1000, "DCE style"}, {0x2000, "identify"}, {0x4000, "extended error"},
	} {
		if v&f.bit != 0 {
			names, v = append(names, f.name), v&^f.bit
		}
	}
	if v != 0 {
		names = append(names, fmt.Sprintf("%#x", v))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

func etype(e int32) string { return fmt.Sprintf("%s (%d)", krb.EtypeName(e), e) }

func kvno(n uint32) string {
	if n == 0 {
		return "key of no stated version"
	}
	return fmt.Sprintf("key version %d", n)
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
