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
