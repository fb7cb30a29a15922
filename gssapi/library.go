package gssapi

import "fmt"

// A library is a GSS-API library of the machine. Handles are addresses of C's, 0 for
// none, and belong to whoever got them until they are released. Calls may block; they
// are safe for concurrent use, save with one handle at the same time.
//
// Names in methods' comments are those of RFC 2743 and RFC 2744.
type library interface {
	fmt.Stringer // the file that it was loaded from

	// stores reports whether acquire takes stores, and seals whether there are wrap
	// and unwrap.
	stores() bool
	seals() bool

	// realmOf returns the realm of a host-based service, "" where a KDC is to be
	// asked.
	realmOf(service, host string) (string, *StatusError)
	// importName returns a name: a principal, or service@host with hostBased.
	importName(text string, hostBased bool) (name uintptr, err *StatusError)
	// acquire returns credentials to initiate contexts with, of a name or 0 for any.
	acquire(name uintptr, stores []store) (cred uintptr, err *StatusError)
	// principal returns the name that credentials are of.
	principal(cred uintptr) (string, *StatusError)

	// initiate starts a context, or goes on with one.
	initiate(s step) (stepped, *StatusError)
	// sign and verify are GetMIC and VerifyMIC.
	sign(context uintptr, msg []byte) ([]byte, *StatusError)
	verify(context uintptr, msg, mic []byte) *StatusError
	// wrap appends to dst a sealed message, whose header has that many bytes.
	wrap(context uintptr, dst, plain []byte) (out []byte, header int, err *StatusError)
	// unwrap opens a message where it is.
	unwrap(context uintptr, header, data []byte) (plain []byte, sealed bool, err *StatusError)

	releaseName(name uintptr)
	releaseCred(cred uintptr)
	deleteContext(context uintptr)
}

// A store says where credentials are: "ccache" or "client_keytab", and its name.
type store struct{ key, value string }

// A step is what one call of GSS_Init_sec_context is given.
type step struct {
	context uintptr // 0 at first
	cred    uintptr
	name    uintptr
	flags   uint32
	binding []byte // application data of the channel bindings, nil for none
	token   []byte // the acceptor's, nil at first
}

// What one returns. context is to be deleted, whatever the status.
type stepped struct {
	context  uintptr
	token    []byte
	flags    uint32 // that are in effect
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
