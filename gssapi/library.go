package gssapi

import "fmt"

// A library is a GSS-API library of the machine. Handles are addresses of C's, 0 for
// none, and belong to whoever got them until they are released. Calls may block; they
// are safe for concurrent use, save with one handle at the same time.
//
// Names in methods' comments are those of RFC 2743 and RFC 2744.
type library interface {
	fmt.Stringer // the file that it was loaded from

	// stores reports whether acquire takes stores, and seals whether wrap and unwrap
	// exist.
	stores() bool
	seals() bool
	// oneSocket reports whether calls that use caches of type KCM must not run at once.
	oneSocket() bool

	// canonical returns the name that the mechanism has for a host-based service.
	canonical(service, host string) (string, *StatusError)
	// importName returns a name: a principal, or service@host with hostBased.
	importName(text string, hostBased bool) (name uintptr, err *StatusError)
	// acquire returns credentials to initiate contexts with, of a name, or of any for 0.
	acquire(name uintptr, stores []store) (cred uintptr, err *StatusError)
	// principal returns the name of credentials.
	principal(cred uintptr) (string, *StatusError)

	// initiate begins a context, or takes the next step of one.
	initiate(s step) (stepped, *StatusError)
	// sign and verify are GetMIC and VerifyMIC.
	sign(context uintptr, msg []byte) ([]byte, *StatusError)
	verify(context uintptr, msg, mic []byte) *StatusError
	// wrap appends a sealed message to dst. header is the length of its header.
	wrap(context uintptr, dst, plain []byte) (out []byte, header int, err *StatusError)
	// unwrap opens a message in place.
	unwrap(context uintptr, header, data []byte) (plain []byte, sealed bool, err *StatusError)

	releaseName(name uintptr)
	releaseCred(cred uintptr)
	deleteContext(context uintptr)
}

// A store is where credentials are: its kind, "ccache" or "client_keytab", and its name.
type store struct{ key, value string }

// A step holds the arguments of one call of GSS_Init_sec_context.
type step struct {
	context uintptr // 0 at first
	cred    uintptr
	name    uintptr
	flags   uint32
	binding []byte // application data of the channel bindings, nil for none
	token   []byte // the acceptor's, nil at first
}

// A stepped holds its results. context must be deleted, whatever the status.
type stepped struct {
	context  uintptr
	token    []byte
	flags    uint32 // in effect
	complete bool
}

// Context flags (RFC 2744 appendix A, RFC 5896).
const (
	flagDeleg       uint32 = 1
	flagMutual      uint32 = 2
	flagReplay      uint32 = 4
	flagSequence    uint32 = 8
	flagConf        uint32 = 0x10
	flagInteg       uint32 = 0x20
	flagDelegPolicy uint32 = 0x8000
)
