package fakekdc

import (
	"bytes"
	"fmt"
	"io"

	"github.com/kerbchain/kerbchain/internal/secret"
)

// A Caller is who a service has authenticated, with what the ticket and
// the authenticator said.
type Caller struct {
	Name    string // name@REALM, from the ticket
	Service string // name@REALM of the service that the ticket is for
	Etype   int32  // of the session key
	Flags   uint32 // GSS-API context flags
	Mutual  bool   // the client asked for proof of the service
	Bound   bool   // the client's channel bindings are those of the connection
	Aware   bool   // the client says that it knows of channel bindings (KERB_AP_OPTIONS_CBT)

	// Delegated is the ticket-granting ticket that the caller forwarded, for
	// the handler to act with; zero if none was.
	Delegated CacheFile
}

// A CacheFile is the contents of a credential cache file, for
// kerberos.MemoryCaches or a file that KRB5CCNAME names. It holds keys, and does
// not print them. The zero CacheFile is none.
type CacheFile struct{ contents secret.Bytes }

// IsZero reports whether there is nothing.
func (f CacheFile) IsZero() bool { return f.contents.IsZero() }

// Bytes returns the contents, nil for the zero CacheFile. They must not be
// changed.
func (f CacheFile) Bytes() []byte { return f.contents.Reveal() }

// Equal reports whether two hold the same.
func (f CacheFile) Equal(o CacheFile) bool {
	return f.IsZero() == o.IsZero() && bytes.Equal(f.Bytes(), o.Bytes())
}

// Format writes no more than whether there is something.
func (f CacheFile) Format(s fmt.State, _ rune) {
	if f.IsZero() {
		io.WriteString(s, "[no credentials]")
		return
	}
	io.WriteString(s, "[credentials]")
}

// MarshalText returns what Format writes.
func (f CacheFile) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(f)), nil }
