package sspi

import (
	"encoding/binary"
	"unicode/utf16"
	"unsafe"
)

// Structures of sspi.h. Their members are laid out alike in Go and C, for 32 and 64
// bits.

// A handle is a SecHandle. Its zero value is none.
type handle struct{ lower, upper uintptr }

// A timeStamp is a SECURITY_INTEGER: 100 nanoseconds since 1601, in local time.
type timeStamp struct {
	low  uint32
	high int32
}

// An authIdentity is a SEC_WINNT_AUTH_IDENTITY_W. Lengths are in UTF-16 units, without
// the zero at the end.
type authIdentity struct {
	user           *uint16
	userLength     uint32
	domain         *uint16
	domainLength   uint32
	password       *uint16
	passwordLength uint32
	flags          uint32
}

const authIdentityUnicode = 2

// A buffer is a SecBuffer.
type buffer struct {
	size, kind uint32
	data       *byte
}

// Kinds of buffers.
const (
	bufferData     = 1
	bufferToken    = 2
	bufferPadding  = 9
	bufferBindings = 14
)

// A bufferDesc is a SecBufferDesc of version 0.
type bufferDesc struct {
	version, count uint32
	buffers        *buffer
}

// A packageInfo is a SecPkgInfoW.
type packageInfo struct {
	capabilities   uint32
	version, rpcID uint16
	maxToken       uint32
	name, comment  *uint16
}

// negotiationInfo is a SecPkgContext_NegotiationInfoW.
type negotiationInfo struct {
	info  *packageInfo
	state uint32
}

// sizes are a SecPkgContext_Sizes.
type sizes struct{ maxToken, maxSignature, blockSize, trailer uint32 }

// Attributes of contexts and, where said, of credentials.
const (
	attrSizes           = 0
	attrNegotiationInfo = 12
	attrCredentialNames = 1 // of credentials: a SecPkgCredentials_NamesW, which is one pointer
)

// Flags of InitializeSecurityContext, which are the same on the way back.
const (
	flagDelegate        = 0x1
	flagMutual          = 0x2
	flagReplay          = 0x4
	flagSequence        = 0x8
	flagConfidentiality = 0x10
	flagIntegrity       = 0x10000
)

// qopUnsealed is SECQOP_WRAP_NO_ENCRYPT: a message that is signed and not sealed.
const qopUnsealed = 0x80000001

// describe returns a description of buffers, in their memory.
func describe(b ...buffer) *bufferDesc {
	return &bufferDesc{count: uint32(len(b)), buffers: unsafe.SliceData(b)}
}

// of returns a buffer of a kind, in the memory of b.
func of(kind uint32, b []byte) buffer {
	return buffer{uint32(len(b)), kind, unsafe.SliceData(b)}
}

// at returns one of the buffers.
func (d *bufferDesc) at(i int) *buffer { return &unsafe.Slice(d.buffers, d.count)[i] }

// channelBindings returns a SEC_CHANNEL_BINDINGS: eight numbers, of which the last two
// are length and offset of the application data that follow.
func channelBindings(data []byte) []byte {
	const head = 8 * 4
	out := make([]byte, head, head+len(data))
	binary.NativeEndian.PutUint32(out[6*4:], uint32(len(data)))
	binary.NativeEndian.PutUint32(out[7*4:], head)
	return append(out, data...)
}

// utf16z returns text in UTF-16 with a zero at the end.
func utf16z(text string) []uint16 { return append(utf16.Encode([]rune(text)), 0) }

// fromUTF16 returns the text that ends with a zero.
func fromUTF16(p *uint16) string {
	if p == nil {
		return ""
	}
	const most = 1 << 15
	n := 0
	for n < most && *(*uint16)(unsafe.Add(unsafe.Pointer(p), 2*n)) != 0 {
		n++
	}
	return string(utf16.Decode(unsafe.Slice(p, n)))
}

// auth returns what Windows is told of a user. clear wipes the password in it.
func (i *identity) auth() (a *authIdentity, wipe func()) {
	if i == nil {
		return nil, func() {}
	}
	user, domain, password := utf16z(i.user), utf16z(i.domain), utf16z(i.password.Reveal())
	return &authIdentity{
		user: &user[0], userLength: uint32(len(user) - 1),
		domain: &domain[0], domainLength: uint32(len(domain) - 1),
		password: &password[0], passwordLength: uint32(len(password) - 1),
		flags: authIdentityUnicode,
	}, func() { clear(password) }
}
