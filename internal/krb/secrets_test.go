package krb

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// leaks names the form in which out shows any four bytes of the secret in a
// row, or returns "".
func leaks(out string, secret []byte) string {
	const window = 4
	low := strings.ToLower(out)
	squeezed := strings.NewReplacer(" ", "", "0x", "", ",", "", "\\x", "").Replace(low)
	for i := 0; i+window <= len(secret); i++ {
		w := secret[i : i+window]
		decimal := strings.Trim(fmt.Sprint(w), "[]")
		for form, text := range map[string]string{
			"raw":        string(w),
			"quoted":     strings.Trim(fmt.Sprintf("%q", w), `"`),
			"decimal":    decimal,
			"json array": strings.ReplaceAll(decimal, " ", ","),
			"binary":     strings.Trim(fmt.Sprintf("%b", w), "[]"),
			"octal":      strings.Trim(fmt.Sprintf("%o", w), "[]"),
		} {
			if strings.Contains(out, text) {
				return form
			}
		}
		if strings.Contains(squeezed, hex.EncodeToString(w)) {
			return "hex"
		}
	}
	// Base64 depends on where the secret stands within three bytes.
	for shift := range 3 {
		whole := base64.StdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		core := whole[(shift*8+5)/6 : len(whole)-4]
		for i := 0; i+8 <= len(core); i++ {
			if strings.Contains(out, core[i:i+8]) || strings.Contains(out, strings.NewReplacer("+", "-", "/", "_").Replace(core[i:i+8])) {
				return "base64"
			}
		}
	}
	return ""
}

var verbs = []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "% x", "%#x", "%p", "%w", "%T", "%!", "%20v", "%-5s", "%.3s"}

// The finder itself must find, or the tests below mean nothing.
func TestLeaksFindsSecrets(t *testing.T) {
	secret := testKey(AES256SHA1).Bytes()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "% x", "%#x", "%q", "%d", "%o", "%b"} {
		if leaks(fmt.Sprintf("a "+verb+" z", secret), secret) == "" {
			t.Errorf("%s of the bytes is not found", verb)
		}
		if leaks(fmt.Sprintf(verb, struct{ k []byte }{secret}), secret) == "" {
			t.Errorf("%s of the bytes in a struct is not found", verb)
		}
	}
	for shift := range 3 {
		text := string(must(json.Marshal(append(make([]byte, shift), secret...))))
		if leaks(text, secret) == "" {
			t.Errorf("base64 %s is not found", text)
		}
	}
	if leaks(base64.URLEncoding.EncodeToString(secret), secret) == "" {
		t.Error("URL base64 is not found")
	}
	if leaks(string(must(json.Marshal([]int{int(secret[0]), int(secret[1]), int(secret[2]), int(secret[3])}))), secret) == "" {
		t.Error("an array in JSON is not found")
	}
	if form := leaks("[key aes256-cts-hmac-sha1-96] of nothing", secret); form != "" {
		t.Errorf("found as %s where there is none", form)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		key.Seal(11, nil) // prepared keys are secret, too
		key.Checksum(10, nil)
		secret := key.Bytes()
		ticket := Ticket{Client: alice, Server: webHost, Raw: pattern(40), Key: key, EndTime: someDay}
		auth := Authenticator{Client: alice, Subkey: key, CTime: someDay}
		type hidden struct {
			k  Key
			p  *Key
			t  Ticket
			tp *Ticket
			l  []Key
			m  map[string]Key
			a  any
			au Authenticator
		}
		in := hidden{key, &key, ticket, &ticket, []Key{key}, map[string]Key{"k": key}, key, auth}
		type shown struct {
			K Key
			P *Key
			L []Key
			M map[string]Key
			N map[Key]string
		}
		out := shown{key, &key, []Key{key}, map[string]Key{"k": key}, map[Key]string{key: "v"}}
		label := "[key " + EtypeName(etype) + "]"

		for name, tc := range map[string]struct {
			v     any
			label string // expected of %v
		}{
			"key":                     {key, label},
			"pointer to a key":        {&key, label},
			"keys":                    {[]Key{key}, label},
			"array":                   {[1]Key{key}, label},
			"map":                     {map[string]Key{"k": key}, label},
			"map by key":              {map[Key]string{key: "v"}, label},
			"any":                     {any(key), label},
			"exported fields":         {out, label},
			"pointer to them":         {&out, label},
			"hidden fields":           {in, ""},
			"pointer to them hidden":  {&in, ""},
			"ticket":                  {ticket, "[ticket of alice@EXAMPLE.TEST for HTTP/www.example.test@EXAMPLE.TEST until 2026-11-23T21:23:09Z]"},
			"pointer to a ticket":     {&ticket, "[ticket of alice@EXAMPLE.TEST"},
			"tickets":                 {[]*Ticket{&ticket}, ""},
			"authenticator":           {auth, label},
			"pointer to one":          {&auth, label},
			"AP-REP part":             {&EncAPRepPart{Subkey: key}, label},
			"KDC reply part":          {EncKDCRepPart{Key: key}, label},
			"error around":            {fmt.Errorf("with %v: %w", key, ErrIntegrity), label},
			"channel of keys":         {make(chan Key), ""},
			"function that holds one": {func() Key { return key }, ""},
		} {
			for _, verb := range verbs {
				text := fmt.Sprintf(verb, tc.v)
				if form := leaks(text, secret); form != "" {
					t.Errorf("%s with %s shows the key as %s: %s", name, verb, form, text)
				}
			}
			if text := fmt.Sprint(tc.v); !strings.Contains(text, tc.label) {
				t.Errorf("%s prints %q, want %q in it", name, text, tc.label)
			}
			if text := fmt.Sprintln(tc.v, tc.v); leaks(text, secret) != "" {
				t.Errorf("%s with Sprintln: %s", name, text)
			}
			for form, text := range encodings(tc.v) {
				if f := leaks(text, secret); f != "" {
					t.Errorf("%s in %s shows the key as %s: %s", name, form, f, text)
				}
			}
		}
		if text := string(must(json.Marshal(out))); strings.Count(text, label) != 5 {
			t.Errorf("JSON of keys: %s", text)
		}
		if text := string(must(json.Marshal(ticket))); !strings.Contains(text, label) {
			t.Errorf("JSON of a ticket: %s", text)
		}
		if text := encodings(key)["slog text"]; !strings.Contains(text, EtypeName(etype)) {
			t.Errorf("slog: %s", text)
		}
	})
	if text := fmt.Sprintf("%v %+v %#v %s", Key{}, Key{}, Key{}, Key{}); text != "[no key] [no key] [no key] [no key]" {
		t.Errorf("the zero key prints %s", text)
	}
}

// encodings writes v in every way that programs log.
func encodings(v any) map[string]string {
	out := map[string]string{}
	for name, encode := range map[string]func(any) ([]byte, error){
		"json": json.Marshal,
		"xml":  xml.Marshal,
	} {
		b, err := encode(v)
		out[name] = string(b)
		if err != nil {
			out[name] += err.Error() // errors may quote the value
		}
	}
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "v", v)
	out["slog text"], out["slog json"] = text.String(), js.String()
	return out
}

// What goes wrong with a key or a password is told without it.
func TestErrorsDoNotPrintSecrets(t *testing.T) {
	secret := testKey(AES256SHA1).Bytes()
	var errs []error
	note := func(_ any, err error) {
		if err == nil {
			t.Error("no error")
		}
		errs = append(errs, err)
	}
	note(NewKey(AES128SHA1, secret))
	note(NewKey(99, secret))
	note(StringToKey(99, string(secret), string(secret), nil))
	note(StringToKey(AES256SHA1, string(secret), string(secret), secret))
	note(StringToKey(AES256SHA1, string(secret), string(secret), params(0)))
	key := testKey(AES256SHA1)
	note(key.Open(1, secret))
	note(key.Open(1, append(secret, secret...)))
	note(key.OpenData(1, EncryptedData{Etype: 17, Cipher: secret}))
	// A good plaintext that is no message: its key is in it.
	note(OpenAPRep(key, wrapAPRep(key, secret)))
	part := theirKDCRepPart(nil, key, false)
	part.Key.KeyType = 77
	note(ParseEncKDCRepPart(must(part.Marshal())))
	part.Key.KeyType = AES128SHA1
	note(ParseEncKDCRepPart(must(part.Marshal())))
	for _, err := range errs {
		if err == nil {
			continue
		}
		for _, verb := range verbs {
			if form := leaks(fmt.Sprintf(verb, err), secret); form != "" {
				t.Errorf("%v shows the secret as %s", err, form)
			}
		}
	}
	if !errors.Is(errs[len(errs)-2], ErrEtype) {
		t.Errorf("key of an unknown type: %v", errs[len(errs)-2])
	}
}
