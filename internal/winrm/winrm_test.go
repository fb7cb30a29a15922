package winrm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
)

var etypes = []int32{17, 18, 19, 20, 23}

// pair returns both sides of a context.
func pair(t testing.TB, etype int32) (client, server *gss.Channel) {
	t.Helper()
	key, err := krb.GenerateKey(etype)
	if err != nil {
		t.Fatal(err)
	}
	client, err = gss.NewChannel(gss.Params{Session: key, SendSeq: 1, RecvSeq: 1000})
	if err != nil {
		t.Fatal(err)
	}
	server, err = gss.NewChannel(gss.Params{Session: key, Acceptor: true, SendSeq: 1000, RecvSeq: 1})
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func pattern(n, factor, first int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*factor + first)
	}
	return b
}

// goldenPart is what testdata/README.md says of pywinrm.body.
func goldenPart() Part {
	return Part{Type: SOAP, Length: 41, Signature: pattern(60, 1, 0), Data: pattern(41, 37, 11)}
}

func golden(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "pywinrm.body"))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		t.Fatal("the golden body is empty")
	}
	return b
}

const (
	spnegoType   = `multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"`
	kerberosType = `multipart/encrypted;protocol="application/HTTP-Kerberos-session-encrypted";boundary="Encrypted Boundary"`
)

func TestContentType(t *testing.T) {
	for p, want := range map[Protocol]string{SPNEGO: spnegoType, Kerberos: kerberosType} {
		if got := p.ContentType(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for scheme, want := range map[string]Protocol{"Negotiate": SPNEGO, "Kerberos": Kerberos, "kerberos": Kerberos, "": SPNEGO} {
		if got := ProtocolOf(scheme); got != want {
			t.Errorf("%q: %s, want %s", scheme, got, want)
		}
	}
	for typ, want := range map[string]bool{
		spnegoType: true, "Multipart/Encrypted": true, " multipart/x-multi-encrypted ; x": true,
		"": false, SOAP: false, "multipart/encrypted+x": false, "text/html": false,
	} {
		_, _, err := parseType(typ)
		if got := !errors.Is(err, ErrNotEncrypted); got != want {
			t.Errorf("%q: %v, want %v", typ, got, want)
		}
	}
}

// TestGolden compares with a body that pywinrm made.
func TestGolden(t *testing.T) {
	want := golden(t)
	part := goldenPart()
	got, err := Seal([]byte("before"), SPNEGO, made{part.Signature, part.Data}, part.Type, make([]byte, part.Length))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("before"+string(want), string(got)); d != "" {
		t.Errorf("not as pywinrm has it (-want +got):\n%s", d)
	}
	p, parts, err := parse(nil, spnegoType, want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Part{goldenPart()}, parts); d != "" || p != SPNEGO {
		t.Errorf("%s (-want +got):\n%s", p, d)
	}
}

// appendParts appends the body that carries parts.
func appendParts(dst []byte, p Protocol, parts ...Part) ([]byte, error) {
	for _, part := range parts {
		var err error
		if dst, err = appendHead(dst, p, part.Type, part.Length); err != nil {
			return nil, err
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(part.Signature)))
		dst = append(append(dst, part.Signature...), part.Data...)
	}
	return append(dst, closing...), nil
}

// made is a token that was made before.
type made struct{ signature, data []byte }

func (m made) Seal(dst, _ []byte) ([]byte, int, error) {
	return append(append(dst, m.signature...), m.data...), len(m.signature), nil
}

func (made) Open(_, data []byte) ([]byte, error) { return data, nil }

func TestSealRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		p      Protocol
		change func(*Part)
		passes bool
	}{
		"nothing":          {SPNEGO, func(*Part) {}, true},
		"CredSSP":          {"application/HTTP-CredSSP-session-encrypted", func(*Part) {}, false},
		"no protocol":      {"", func(*Part) {}, false},
		"no type":          {SPNEGO, func(p *Part) { p.Type = "" }, false},
		"line in type":     {SPNEGO, func(p *Part) { p.Type = "a\r\nb" }, false},
		"length in type":   {SPNEGO, func(p *Part) { p.Type = "a;Length=3" }, false},
		"another length":   {SPNEGO, func(p *Part) { p.Length++ }, false},
		"longer than said": {SPNEGO, func(p *Part) { p.Length-- }, false},
		"padding of RC4":   {SPNEGO, func(p *Part) { p.Signature[0] = frame; p.Length -= maxPadding }, true},
		"too much of it":   {SPNEGO, func(p *Part) { p.Signature[0] = frame; p.Length -= maxPadding + 1 }, false},
		"less than none":   {SPNEGO, func(p *Part) { p.Signature[0] = frame; p.Length++ }, false},
		"no signature":     {SPNEGO, func(p *Part) { p.Signature = nil }, false},
		"signature of 1 K": {SPNEGO, func(p *Part) { p.Signature = make([]byte, maxSignature) }, true},
		"and more":         {SPNEGO, func(p *Part) { p.Signature = make([]byte, maxSignature+1) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			part := goldenPart()
			tc.change(&part)
			b, err := Seal(nil, tc.p, made{part.Signature, part.Data}, part.Type, make([]byte, part.Length))
			if (err == nil) != tc.passes {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// TestParseTolerates bodies as other programs write them.
func TestParseTolerates(t *testing.T) {
	body := string(golden(t))
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(body) }
	part := func(typ string) []Part {
		p := goldenPart()
		p.Type = typ
		return []Part{p}
	}
	for name, tc := range map[string]struct {
		typ, body string
		want      []Part
	}{
		"no tabs (OMI, WEF)": {spnegoType, replace("\n\t", "\n"), part(SOAP)},
		"spaces for tabs":    {spnegoType, replace("\n\t", "\n  "), part(SOAP)},
		"Exchange":           {spnegoType, replace("--Encrypted", "-- Encrypted"), part(SOAP)},
		"lower case":         {spnegoType, replace("Content-Type", "content-type", "OriginalContent", "originalcontent", "Length", "length"), part(SOAP)},
		"upper case": {strings.Replace(spnegoType, "multipart/encrypted", "MULTIPART/ENCRYPTED", 1),
			replace("Content-Type", "CONTENT-TYPE", "application/HTTP", "APPLICATION/HTTP", "octet", "OCTET"), part(SOAP)},
		"no charset":             {spnegoType, replace(";charset=UTF-8", ""), part("application/soap+xml")},
		"UTF-16":                 {spnegoType, replace("UTF-8", "UTF-16"), part("application/soap+xml;charset=UTF-16")},
		"spaces in parameters":   {spnegoType, replace(";charset=", " ; charset=", ";Length=", "; Length = "), part(SOAP)},
		"length before charset":  {spnegoType, replace(";charset=UTF-8;Length=41", ";Length=41;charset=UTF-8"), part(SOAP)},
		"no boundary in type":    {strings.TrimSuffix(spnegoType, `;boundary="Encrypted Boundary"`), body, part(SOAP)},
		"other boundary":         {strings.Replace(spnegoType, "Encrypted B", "b", 1), replace("Encrypted B", "b"), part(SOAP)},
		"spaces in content type": {strings.ReplaceAll(spnegoType, ";", " ; "), body, part(SOAP)},
		"bare line feeds":        {spnegoType, replace("Boundary\r", "Boundary", "encrypted\r", "encrypted", "stream\r", "stream", "41\r", "41"), part(SOAP)},
		"blanks in delimiters":   {spnegoType, replace("--Encrypted Boundary\r", "-- \tEncrypted Boundary\t  \r"), part(SOAP)},
		"all that may be":        {spnegoType, replace("--Encrypted", "--"+strings.Repeat(" ", maxSpaces)+"Encrypted"), part(SOAP)},
		"no last line end":       {spnegoType, strings.TrimSuffix(body, "\r\n"), part(SOAP)},
		"line ends around":       {spnegoType, "\r\n" + body + "\r\n\r\n", part(SOAP)},
		"empty lines":            {spnegoType, replace("Length=41\r\n", "Length=41\r\n\r\n", "stream\r\n", "stream\r\n\r\n"), part(SOAP)},
		"unknown header":         {spnegoType, replace("\tOriginal", "\tX-Other: y\r\n\tOriginal"), part(SOAP)},
		"Kerberos":               {kerberosType, replace("SPNEGO", "Kerberos"), part(SOAP)},
		"x-multi":                {strings.Replace(spnegoType, "encrypted", "x-multi-encrypted", 1), body, part(SOAP)},
		"two messages": {strings.Replace(spnegoType, "encrypted", "x-multi-encrypted", 1), strings.TrimSuffix(body, closing) + body,
			[]Part{goldenPart(), goldenPart()}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.body == body && tc.typ == spnegoType {
				t.Fatal("nothing differs")
			}
			p, parts, err := parse(nil, tc.typ, []byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			want := SPNEGO
			if strings.Contains(tc.typ, string(Kerberos)) {
				want = Kerberos
			}
			if d := cmp.Diff(tc.want, parts); d != "" || p != want {
				t.Errorf("%s (-want +got):\n%s", p, d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	body := string(golden(t))
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(body) }
	head, data, _ := strings.Cut(body, "octet-stream\r\n")
	head += "octet-stream\r\n"
	for name, tc := range map[string]struct {
		typ, body string
		want      error
	}{
		"plain SOAP":           {SOAP, "<x/>", ErrNotEncrypted},
		"no type":              {"", body, ErrNotEncrypted},
		"multipart/mixed":      {strings.Replace(spnegoType, "encrypted", "mixed", 1), body, ErrNotEncrypted},
		"CredSSP":              {strings.Replace(spnegoType, "SPNEGO", "CredSSP", 1), replace("SPNEGO", "CredSSP"), ErrProtocol},
		"no protocol":          {`multipart/encrypted;boundary="Encrypted Boundary"`, body, ErrProtocol},
		"parameter twice":      {spnegoType + `;boundary="x"`, body, ErrMalformed},
		"long boundary":        {`multipart/encrypted;protocol="` + string(SPNEGO) + `";boundary="` + strings.Repeat("b", 71) + `"`, body, ErrMalformed},
		"empty":                {spnegoType, "", ErrMalformed},
		"preamble":             {spnegoType, "x" + body, ErrMalformed},
		"other boundary":       {spnegoType, replace("Encrypted B", "b"), ErrMalformed},
		"other protocol":       {spnegoType, replace("SPNEGO", "Kerberos"), ErrMalformed},
		"one blank too many":   {spnegoType, replace("--Encrypted", "--"+strings.Repeat(" ", maxSpaces+1)+"Encrypted"), ErrMalformed},
		"closing alone":        {spnegoType, closing, ErrMalformed},
		"delimiter alone":      {spnegoType, delimiter, ErrMalformed},
		"headers alone":        {spnegoType, head, ErrMalformed},
		"no OriginalContent":   {spnegoType, replace("OriginalContent", "Other"), ErrMalformed},
		"no Content-Type":      {spnegoType, replace("\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n", ""), ErrMalformed},
		"header twice":         {spnegoType, replace("\tOriginalContent", "\tContent-Type: "+string(SPNEGO)+"\r\n\tOriginalContent"), ErrMalformed},
		"no header":            {spnegoType, replace("OriginalContent:", "OriginalContent"), ErrMalformed},
		"many headers":         {spnegoType, replace("\tOriginal", strings.Repeat("\r\n", 20)+"\tOriginal"), ErrMalformed},
		"long header":          {spnegoType, replace("\tOriginal", "\tX: "+strings.Repeat("y", 1100)+"\r\n\tOriginal"), ErrMalformed},
		"no length":            {spnegoType, replace(";Length=41", ""), ErrMalformed},
		"two lengths":          {spnegoType, replace(";Length=41", ";Length=41;Length=41"), ErrMalformed},
		"negative length":      {spnegoType, replace("Length=41", "Length=-1"), ErrMalformed},
		"length with a sign":   {spnegoType, replace("Length=41", "Length=+41"), ErrMalformed},
		"length no number":     {spnegoType, replace("Length=41", "Length=forty"), ErrMalformed},
		"huge length":          {spnegoType, replace("Length=41", "Length=99999999999999999999"), ErrMalformed},
		"length beyond end":    {spnegoType, replace("Length=41", "Length=2147483647"), ErrMalformed},
		"length too large":     {spnegoType, replace("Length=41", "Length=42"), ErrMalformed},
		"no type of original":  {spnegoType, replace("type=application/soap+xml;charset=UTF-8;", ""), ErrMalformed},
		"control in type":      {spnegoType, replace("soap+xml", "soap\x01xml"), ErrMalformed},
		"not octet-stream":     {spnegoType, replace("octet-stream", "soap+xml"), ErrMalformed},
		"data without a type":  {spnegoType, replace("\tContent-Type: application/octet-stream\r\n", ""), ErrMalformed},
		"no data":              {spnegoType, head + closing, ErrMalformed},
		"three bytes":          {spnegoType, head + data[:3], ErrMalformed},
		"no signature":         {spnegoType, head + "\x00\x00\x00\x00" + data[64:], ErrMalformed},
		"long signature":       {spnegoType, head + "\x01\x04\x00\x00" + data[4:], ErrMalformed},
		"huge signature":       {spnegoType, head + "\xff\xff\xff\xff" + data[4:], ErrMalformed},
		"short signature":      {spnegoType, head + "\x3b\x00\x00\x00" + data[5:64+30] + closing, ErrMalformed},
		"data cut":             {spnegoType, head + data[:64+40] + closing, ErrMalformed},
		"data much too long":   {spnegoType, strings.TrimSuffix(body, closing) + strings.Repeat("x", maxExcess+1) + closing, ErrMalformed},
		"not closed":           {spnegoType, strings.TrimSuffix(body, closing), ErrMalformed},
		"opened again":         {spnegoType, strings.TrimSuffix(body, closing) + delimiter, ErrMalformed},
		"more after the end":   {spnegoType, body + "x", ErrMalformed},
		"twice":                {spnegoType, body + body, ErrMalformed},
		"half":                 {spnegoType, body[:len(body)/2], ErrMalformed},
		"line end before data": {spnegoType, head + "\n" + data, ErrMalformed},
		"messages without end": {spnegoType, strings.Repeat(strings.TrimSuffix(body, closing), maxParts+1) + closing, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if p, parts, err := parse(nil, tc.typ, []byte(tc.body)); !errors.Is(err, tc.want) || parts != nil {
				t.Errorf("%s, %d messages, %v; want %v", p, len(parts), err, tc.want)
			}
		})
	}
	for n := range len(body) - 2 { // without the last line end it is whole
		if _, _, err := parse(nil, spnegoType, []byte(body[:n])); !errors.Is(err, ErrMalformed) {
			t.Errorf("first %d bytes: %v", n, err)
		}
	}
}

// TestDelimiterInData: ciphertext may hold anything.
func TestDelimiterInData(t *testing.T) {
	part := goldenPart()
	part.Data = []byte("x" + delimiter + "y" + closing + "--Encrypted Boundary")
	part.Length = len(part.Data)
	part.Signature = []byte(closing)
	body, err := appendParts(nil, Kerberos, part, part)
	if err != nil {
		t.Fatal(err)
	}
	_, parts, err := parse(nil, kerberosType, body)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Part{part, part}, parts); d != "" {
		t.Error(d)
	}
}

// What looks like the end, and goes on on the same line, is still data, where they are longer
// than the message.
func TestEndInExcess(t *testing.T) {
	for _, looks := range []string{"--Encrypted Boundary--x", "--Encrypted Boundary-- \rx", "--Encrypted Boundaryx", "--Encrypted Boundary"} {
		part := goldenPart()
		body := strings.Replace(string(golden(t)), string(part.Data), string(part.Data)+looks, 1)
		part.Data = append(part.Data, looks...)
		_, parts, err := parse(nil, spnegoType, []byte(body))
		if d := cmp.Diff([]Part{part}, parts); d != "" || err != nil {
			t.Errorf("%q: %v (-want +got)\n%s", looks, err, d)
		}
	}
}

func TestSealOpen(t *testing.T) {
	for _, etype := range etypes {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			client, server := pair(t, etype)
			for _, n := range []int{0, 1, 16, 100, 1000, 70000} {
				plain := append(pattern(n, 7, 1), '>')
				for from, to := range map[*gss.Channel]*gss.Channel{client: server, server: client} {
					body, err := Seal(nil, SPNEGO, from, SOAP, plain)
					if err != nil {
						t.Fatal(err)
					}
					if n > 16 && bytes.Contains(body, plain) {
						t.Fatal("plaintext in the body")
					}
					_, parts, err := parse(nil, spnegoType, body)
					if err != nil || len(parts) != 1 || len(parts[0].Data) != len(plain) || parts[0].Length != len(plain) {
						t.Fatalf("%d bytes: %v", n, err)
					}
					m, err := Open(spnegoType, body, to)
					if err != nil {
						t.Fatal(err)
					}
					if m.Protocol != SPNEGO || m.Type != SOAP || !bytes.Equal(m.Plain, plain) {
						t.Errorf("%d bytes: %s, %s, %d bytes", n, m.Protocol, m.Type, len(m.Plain))
					}
				}
			}
		})
	}
}

// padded seals as libgssapi does, with RC4 by one byte more.
type padded struct{ *gss.Channel }

func (p padded) Seal(dst, plain []byte) ([]byte, int, error) {
	header, data, err := p.WrapIOV(plain)
	return append(append(dst, header...), data...), len(header), err
}

// TestSealPadded: what a library pads is announced as long as it is, in a body that stands
// behind what was there, and is opened by who looks at the padding and by who does not.
func TestSealPadded(t *testing.T) {
	const before = "before"
	for _, etype := range etypes {
		client, server := pair(t, etype)
		pad := 0
		if etype == krb.RC4HMAC {
			pad = 1
		}
		for _, n := range []int{0, 1, 9, 99, 999, 9999} { // after some, the length has one digit more
			for _, room := range []int{0, n + 1024} {
				plain := pattern(n, 7, 3)
				body, err := Seal(append(make([]byte, 0, len(before)+room), before...), SPNEGO, padded{client}, SOAP, plain)
				if err != nil {
					t.Fatal(err)
				}
				body, ok := bytes.CutPrefix(body, []byte(before))
				_, parts, err := parse(nil, spnegoType, body)
				if err != nil || !ok || len(parts) != 1 || parts[0].Length != n+pad || len(parts[0].Data) != n+pad {
					t.Fatalf("%s, %d bytes: %q, %v", krb.EtypeName(etype), n, body, err)
				}
				if m, err := Open(spnegoType, body, server); err != nil || !bytes.Equal(m.Plain, plain) {
					t.Errorf("%s, %d bytes: %v", krb.EtypeName(etype), n, err)
				}
			}
		}
	}
}

// TestOpenOthers opens what other programs send, with the length they announce.
func TestOpenOthers(t *testing.T) {
	plain := []byte("<s:Envelope>...</s:Envelope>")
	n := len(plain)
	for _, etype := range etypes {
		client, server := pair(t, etype)
		pad := 0
		if etype == krb.RC4HMAC {
			pad = 1
		}
		iov := func() (header, data []byte) {
			header, data, err := server.WrapIOV(plain)
			if err != nil {
				t.Fatal(err)
			}
			return header, data
		}
		for name, tc := range map[string]struct {
			length int
			split  func() (header, data []byte)
		}{
			"libgssapi, padding counted": {n + pad, iov},
			"libgssapi, not counted":     {n, iov},
			"gss_wrap, cut after 16 bytes": {n, func() (header, data []byte) {
				token, err := server.Wrap(plain, true)
				if err != nil {
					t.Fatal(err)
				}
				return token[:16], token[16:]
			}},
			"two messages": {-1, nil},
		} {
			t.Run(krb.EtypeName(etype)+" "+name, func(t *testing.T) {
				var parts []Part
				want := plain
				if tc.split == nil {
					want = slices.Concat(plain, plain)
					for range 2 {
						header, data := iov()
						parts = append(parts, Part{SOAP, n, header, data})
					}
				} else {
					header, data := tc.split()
					parts = []Part{{SOAP, tc.length, header, data}}
				}
				body, err := appendParts(nil, Kerberos, parts...)
				if err != nil {
					t.Fatal(err)
				}
				m, err := Open(kerberosType, body, client)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(&Message{Kerberos, SOAP, want}, m); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		}
	}
}

// TestOpenRefuses: a body that was changed is refused or, where the change is in
// the framing, carries what was sealed.
func TestOpenRefuses(t *testing.T) {
	plain := []byte("<s:Envelope>...</s:Envelope>")
	for _, etype := range etypes {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			client, server := pair(t, etype)
			body, err := Seal(nil, SPNEGO, server, SOAP, plain)
			if err != nil {
				t.Fatal(err)
			}
			later, err := Seal(nil, SPNEGO, server, SOAP, plain)
			if err != nil {
				t.Fatal(err)
			}
			own, err := Seal(nil, SPNEGO, client, SOAP, plain)
			if err != nil {
				t.Fatal(err)
			}
			for i := range body {
				for _, x := range []byte{0x01, 0x20, 0x80} {
					bad := bytes.Clone(body)
					bad[i] ^= x
					_, before, err := parse(nil, spnegoType, bytes.Clone(bad))
					c := *client
					m, err2 := Open(spnegoType, bad, &c)
					if err2 == nil && (err != nil || !bytes.Equal(m.Plain, plain)) {
						t.Errorf("byte %d ^ %x: %q, %d parts", i, x, m.Plain, len(before))
					}
				}
			}
			_, parts, err := parse(nil, spnegoType, body)
			if err != nil {
				t.Fatal(err)
			}
			_, next, err := parse(nil, spnegoType, later)
			if err != nil {
				t.Fatal(err)
			}
			frame := func(parts ...Part) []byte {
				b, err := appendParts(nil, SPNEGO, parts...)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			with := func(p Part, change func(*Part)) Part { change(&p); return p }
			for name, tc := range map[string]struct {
				body []byte
				want error
			}{
				"a later one":    {later, gss.ErrGap},
				"our own":        {own, gss.ErrDirection},
				"swapped":        {frame(next[0], parts[0]), gss.ErrGap},
				"twice":          {frame(parts[0], parts[0]), gss.ErrReplay},
				"two types":      {frame(parts[0], with(next[0], func(p *Part) { p.Type = "text/xml" })), ErrMalformed},
				"short length":   {frame(with(parts[0], func(p *Part) { p.Length -= 2 })), ErrLength},
				"mixed":          {frame(with(parts[0], func(p *Part) { p.Data = next[0].Data })), krb.ErrIntegrity},
				"no data":        {frame(with(parts[0], func(p *Part) { p.Data, p.Length = nil, 0 })), nil},
				"one byte short": {frame(with(parts[0], func(p *Part) { p.Data, p.Length = p.Data[1:], p.Length-1 })), nil},
			} {
				t.Run(name, func(t *testing.T) {
					c := *client
					b := bytes.Clone(tc.body)
					m, err := Open(spnegoType, b, &c)
					if err == nil || m != nil || tc.want != nil && !errors.Is(err, tc.want) {
						t.Errorf("%v, %v; want %v", m, err, tc.want)
					}
					if bytes.Contains(b, plain[:12]) {
						t.Error("plaintext in a body that was refused")
					}
				})
			}
			m, err := Open(spnegoType, body, client)
			if err != nil || !bytes.Equal(m.Plain, plain) {
				t.Errorf("at last: %v, %v", m, err)
			}
		})
	}
}

type failing struct{}

func (failing) Seal([]byte, []byte) ([]byte, int, error) { return nil, 0, errors.New("no key") }
func (failing) Open(_, _ []byte) ([]byte, error)         { return nil, errors.New("no key") }

func TestSealErrors(t *testing.T) {
	if _, err := Seal(nil, SPNEGO, failing{}, SOAP, nil); err == nil {
		t.Error("sealed without a key")
	}
	client, _ := pair(t, 18)
	if _, err := Seal(nil, "x", client, SOAP, nil); !errors.Is(err, ErrProtocol) {
		t.Errorf("another protocol: %v", err)
	}
	if _, err := Seal(nil, SPNEGO, client, "x\n", nil); err == nil {
		t.Error("a type of two lines")
	}
	if _, err := Open(SOAP, nil, client); !errors.Is(err, ErrNotEncrypted) {
		t.Errorf("plain: %v", err)
	}
}

func seeds(t testing.TB) [][]byte {
	t.Helper()
	body := golden(t)
	out := [][]byte{body, bytes.ReplaceAll(body, []byte("\n\t"), []byte("\n")), bytes.ReplaceAll(body, []byte("--E"), []byte("-- E"))}
	two, err := appendParts(nil, SPNEGO, goldenPart(), goldenPart())
	if err != nil {
		t.Fatal(err)
	}
	return append(out, two, two[:len(two)-30], []byte(closing))
}

// FuzzParse: what is accepted says the same when it is written as we write it.
func FuzzParse(f *testing.F) {
	corpus := seeds(f)
	if len(corpus) == 0 {
		f.Fatal("no seeds")
	}
	for _, b := range corpus {
		f.Add(spnegoType, b)
	}
	f.Add(`multipart/x-multi-encrypted; Protocol=""; boundary=a`, []byte("--a\n"))
	f.Fuzz(func(t *testing.T, typ string, body []byte) {
		p, parts, err := parse(nil, typ, body)
		if err != nil {
			if parts != nil {
				t.Error("messages with an error")
			}
			return
		}
		for i := range parts {
			if n := len(parts[i].Data); n < parts[i].Length || n > parts[i].Length+maxExcess {
				t.Fatalf("%d bytes of data, length %d", n, parts[i].Length)
			}
			parts[i].Length = len(parts[i].Data) // so that no delimiter is looked for
		}
		again, err := appendParts(nil, p, parts...)
		if err != nil {
			t.Fatal(err)
		}
		p2, parts2, err := parse(nil, p.ContentType(), again)
		if err != nil || p2 != p {
			t.Fatalf("%s, %v", p2, err)
		}
		if d := cmp.Diff(parts, parts2); d != "" {
			t.Error(d)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, etype := range etypes {
		b.Run(fmt.Sprint(krb.EtypeName(etype), "/65536"), func(b *testing.B) {
			client, _ := pair(b, etype)
			plain := pattern(1<<16, 7, 1)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Seal(nil, SPNEGO, client, SOAP, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
