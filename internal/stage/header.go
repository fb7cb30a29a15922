package stage

import (
	"encoding/base64"

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
	return string(SchemeOf(sc)) + " " + base64.StdEncoding.EncodeToString(token)
}
