package stage

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/middleware"
)

// Field returns the name of the header field in which tokens go to a peer.
func Field(t middleware.Target) string {
	if t.Proxy {
		return "Proxy-Authorization"
	}
	return "Authorization"
}

// Value returns the value of the field in which a token of sc goes (RFC 4559 section
// 4.1).
func Value(sc middleware.SecurityContext, token []byte) string {
	const part = 768 // a multiple of three, so that padding stands at the end alone
	var text [part / 3 * 4]byte
	var b strings.Builder
	scheme := string(SchemeOf(sc))
	b.Grow(len(scheme) + 1 + base64.StdEncoding.EncodedLen(len(token)))
	b.WriteString(scheme)
	b.WriteByte(' ')
	for chunk := range slices.Chunk(token, part) {
		base64.StdEncoding.Encode(text[:], chunk)
		b.Write(text[:base64.StdEncoding.EncodedLen(len(chunk))])
	}
	return b.String()
}

// CloneHeader returns a copy of h that can be written to, be h nil.
func CloneHeader(h http.Header) http.Header {
	if h == nil {
		return make(http.Header)
	}
	return h.Clone()
}

// DropUserInfo returns r without the Authorization header that [http.Client] makes
// of the user info in a URL (http://user:password@host/) before any transport
// sees the request: nobody set it, it would keep Kerberos from being spoken, and a
// redirect can bring it along. r is not changed. A header of any other value is
// the caller's and stays. The stage's name is for the trace.
func DropUserInfo(r *http.Request, stage string) *http.Request {
	const field = "Authorization"
	if r.URL == nil || r.URL.User == nil || !slices.Equal(r.Header[field], []string{basic(r)}) {
		return r
	}
	out := *r
	out.Header = r.Header.Clone()
	delete(out.Header, field)
	note(r, stage, field, true)
	return &out
}

// basic returns the header field that http.Client makes of the user info of r's URL (RFC
// 7617).
func basic(r *http.Request) string {
	password, _ := r.URL.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(r.URL.User.Username()+":"+password))
}

// Has reports whether a header has a field, under its name in any case: net/http
// sends what was put into the map as it stands there.
func Has(h http.Header, field string) bool {
	if len(h[field]) > 0 {
		return true
	}
	for name, values := range h {
		if len(values) > 0 && len(name) == len(field) && strings.EqualFold(name, field) {
			return true
		}
	}
	return false
}

// Own reports whether the caller answers for a peer, by a field Authorization or
// Proxy-Authorization, and tells the trace. No stage has signed r for that peer.
func Own(r *http.Request, stage, field string) bool {
	if !Has(r.Header, field) {
		return false
	}
	note(r, stage, field, false)
	return true
}

// Signed returns the token of sc that r bears in a field, Authorization or
// Proxy-Authorization, and whether it bears one. A request that carries sc may as
// well be made of an older request's context, and bear none.
func Signed(r *http.Request, field string, sc middleware.SecurityContext) (token []byte, ok bool) {
	text, ok := signed(r, field, sc)
	if !ok {
		return nil, false
	}
	token, err := base64.StdEncoding.DecodeString(text)
	return token, err == nil // an error means that no stage wrote it
}

// SignedBytes is [Signed] for those who need no more than the length of the token.
func SignedBytes(r *http.Request, field string, sc middleware.SecurityContext) (n int, ok bool) {
	text, ok := signed(r, field, sc)
	if !ok || len(text)%4 != 0 {
		return 0, false
	}
	const most = 1024 // a multiple of four, so that padding stands at the end alone
	var part [most / 4 * 3]byte
	for len(text) > 0 {
		chunk := text[:min(most, len(text))]
		text = text[len(chunk):]
		got, err := base64.StdEncoding.Decode(part[:], []byte(chunk))
		if err != nil || text != "" && got < len(part) {
			return 0, false
		}
		n += got
	}
	return n, true
}

// signed returns what follows the scheme of sc in a field of r.
func signed(r *http.Request, field string, sc middleware.SecurityContext) (text string, ok bool) {
	if sc == nil {
		return "", false
	}
	text, ok = strings.CutPrefix(r.Header.Get(field), string(SchemeOf(sc)))
	if !ok {
		return "", false
	}
	return strings.CutPrefix(text, " ")
}

func note(r *http.Request, stage, field string, dropped bool) {
	if !middleware.Tracing(r.Context()) {
		return
	}
	middleware.Emit(r.Context(), middleware.CredentialsEvent{Stage: stage, Host: Host(r), Field: field, Dropped: dropped})
}
