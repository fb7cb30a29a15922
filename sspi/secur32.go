package sspi

import (
	"bytes"
	"sync"
	"unsafe"

	"github.com/kerbchain/kerbchain/internal/system"
)

// secur32 are the functions of secur32.dll that this package calls, with C's arguments
// save those that are always the same. What pointers lead to is as C has it.
type secur32 interface {
	// AcquireCredentialsHandle is for outbound credentials, of the user who is logged
	// on where there is no identity.
	AcquireCredentialsHandle(pkg *uint16, who *authIdentity, credential *handle, expiry *timeStamp) status
	QueryCredentialsAttributes(credential *handle, attribute uint32, out unsafe.Pointer) status
	FreeCredentialsHandle(credential *handle) status

	InitializeSecurityContext(credential, context *handle, target *uint16, request uint32, in *bufferDesc,
		made *handle, out *bufferDesc, attributes *uint32, expiry *timeStamp) status
	CompleteAuthToken(context *handle, token *bufferDesc) status
	QueryContextAttributes(context *handle, attribute uint32, out unsafe.Pointer) status
	DeleteSecurityContext(context *handle) status

	MakeSignature(context *handle, qop uint32, message *bufferDesc, number uint32) status
	VerifySignature(context *handle, message *bufferDesc, number uint32, qop *uint32) status
	EncryptMessage(context *handle, qop uint32, message *bufferDesc, number uint32) status
	DecryptMessage(context *handle, message *bufferDesc, number uint32, qop *uint32) status

	QuerySecurityPackageInfo(name *uint16, info **packageInfo) status
	FreeContextBuffer(memory unsafe.Pointer) status

	// UserName is GetUserNameEx with NameSamCompatible.
	UserName() (string, error)
}

// kerberosPackage is MICROSOFT_KERBEROS_NAME_W.
const kerberosPackage = "Kerberos"

// A library is secur32.dll and its package Kerberos.
type library struct {
	secur32
	room      sync.Pool // of *[]byte, each as long as the largest token
	passwords *passwords
}

// use returns the library, if the system has the package.
func use(calls secur32) (*library, error) {
	var info *packageInfo
	name := utf16z(kerberosPackage)
	if err := calls.QuerySecurityPackageInfo(&name[0], &info).call("QuerySecurityPackageInfo"); err != nil {
		return nil, system.Advise("Windows has no package Kerberos: "+err.Error(), "use package kerberos")
	}
	// What the package says may be too little: a token with delegated credentials has
	// up to 64 KiB of them.
	const least = 128 << 10
	largest := max(int(info.maxToken), least)
	calls.FreeContextBuffer(unsafe.Pointer(info))
	lib := &library{secur32: calls, passwords: newPasswords()}
	lib.room.New = func() any {
		room := make([]byte, largest)
		return &room
	}
	return lib, nil
}

// acquire returns a handle of credentials, as whom, and when it ends.
func (l *library) acquire(who *identity) (h handle, name string, ends timeStamp, err *StatusError) {
	pkg := utf16z(kerberosPackage)
	auth, wipe := who.auth()
	defer wipe()
	if err := l.AcquireCredentialsHandle(&pkg[0], auth, &h, &ends).call("AcquireCredentialsHandle"); err != nil {
		return handle{}, "", timeStamp{}, err
	}
	return h, l.nameOf(&h, who), ends, nil
}

// nameOf returns whom credentials are of: as they were asked for, as they say, or as
// Windows names the user of the process; "" where nobody tells.
func (l *library) nameOf(h *handle, who *identity) string {
	if who != nil {
		return who.principal
	}
	var name *uint16
	if l.QueryCredentialsAttributes(h, attrCredentialNames, unsafe.Pointer(&name)) == statusOK {
		defer l.FreeContextBuffer(unsafe.Pointer(name))
		if text := fromUTF16(name); text != "" {
			return text
		}
	}
	text, err := l.UserName()
	if err != nil {
		return ""
	}
	return text
}

// A step is one call of InitializeSecurityContext.
type step struct {
	credential, context handle // context is zero in the first one
	target              string
	request             uint32
	token               []byte // of the server
	bindings            []byte // application data, nil for none
}

// stepped is what a step came to.
type stepped struct {
	context    handle
	token      []byte // ours, nil for none
	attributes uint32
	complete   bool
}

// initiate takes a step. With an error there is no new context, and the old one is
// still to be deleted.
func (l *library) initiate(s step) (out stepped, err *StatusError) {
	var in []buffer
	if s.token != nil {
		in = append(in, of(bufferToken, s.token))
	}
	if s.bindings != nil {
		in = append(in, of(bufferBindings, channelBindings(s.bindings)))
	}
	var from *bufferDesc
	if in != nil {
		from = describe(in...)
	}
	room := l.room.Get().(*[]byte)
	defer l.room.Put(room)
	to := describe(of(bufferToken, *room))
	var old *handle
	if s.context != (handle{}) {
		old, out.context = &s.context, s.context
	}
	target := utf16z(s.target)
	var expiry timeStamp
	got := l.InitializeSecurityContext(&s.credential, old, &target[0], s.request, from, &out.context, to, &out.attributes, &expiry)
	call := "InitializeSecurityContext"
	if got == statusComplete || got == statusCompleteAndContinue {
		out.complete = got == statusComplete
		got, call = l.CompleteAuthToken(&out.context, to), "CompleteAuthToken"
		if got == statusOK && !out.complete {
			got = statusContinue
		}
		if got != statusOK && got != statusContinue && old == nil {
			l.DeleteSecurityContext(&out.context)
		}
	}
	if got != statusOK && got != statusContinue {
		return stepped{}, got.call(call)
	}
	out.complete = got == statusOK
	if n := to.at(0).size; n > 0 {
		out.token = bytes.Clone((*room)[:min(int(n), len(*room))])
	}
	return out, nil
}

// negotiated returns the package that carries out a context, "" where Windows does not
// tell.
func (l *library) negotiated(context handle) string {
	var info negotiationInfo
	if l.QueryContextAttributes(&context, attrNegotiationInfo, unsafe.Pointer(&info)) != statusOK || info.info == nil {
		return ""
	}
	defer l.FreeContextBuffer(unsafe.Pointer(info.info))
	return fromUTF16(info.info.name)
}

// sizes returns how much room the messages of a context take.
func (l *library) sizes(context handle) (s sizes, err *StatusError) {
	err = l.QueryContextAttributes(&context, attrSizes, unsafe.Pointer(&s)).call("QueryContextAttributes")
	return s, err
}

// sign returns a MIC over msg.
func (l *library) sign(context handle, msg []byte) ([]byte, *StatusError) {
	s, err := l.sizes(context)
	if err != nil {
		return nil, err
	}
	// Wine states 37 bytes, and writes up to 40, whatever the buffer's size.
	token := make([]byte, max(s.maxSignature, 64))
	d := describe(of(bufferData, msg), of(bufferToken, token[:s.maxSignature]))
	if err := l.MakeSignature(&context, 0, d, 0).call("MakeSignature"); err != nil {
		return nil, err
	}
	return token[:min(int(d.at(1).size), len(token))], nil
}

// verify checks a MIC of the server over msg.
func (l *library) verify(context handle, msg, mic []byte) *StatusError {
	var qop uint32
	return l.VerifySignature(&context, describe(of(bufferData, msg), of(bufferToken, mic)), 0, &qop).call("VerifySignature")
}

// seal appends to dst a sealed token, of which the first header bytes are the header.
// The padding, if there is any, counts as data.
func (l *library) seal(context handle, dst, plain []byte) (out []byte, header int, err *StatusError) {
	s, err := l.sizes(context)
	if err != nil {
		return nil, 0, err
	}
	token, data, padding := make([]byte, s.trailer), bytes.Clone(plain), make([]byte, s.blockSize)
	d := describe(of(bufferToken, token), of(bufferData, data), of(bufferPadding, padding))
	if err := l.EncryptMessage(&context, 0, d, 0).call("EncryptMessage"); err != nil {
		clear(data)
		return nil, 0, err
	}
	header = min(int(d.at(0).size), len(token))
	out = append(dst, token[:header]...)
	out = append(out, data...)
	return append(out, padding[:min(int(d.at(2).size), len(padding))]...), header, nil
}

// open opens a message where it is, and reports whether it was sealed.
func (l *library) open(context handle, header, data []byte) (plain []byte, sealed bool, err *StatusError) {
	d := describe(of(bufferToken, header), of(bufferData, data))
	var qop uint32
	if err := l.DecryptMessage(&context, d, 0, &qop).call("DecryptMessage"); err != nil {
		return nil, false, err
	}
	// The plaintext may begin later, and be shorter.
	got := d.at(1)
	begin := uintptr(unsafe.Pointer(got.data)) - uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	if whole := uintptr(len(data)); begin > whole || uintptr(got.size) > whole-begin {
		return nil, false, statusInvalidToken.call("DecryptMessage")
	}
	return data[begin : begin+uintptr(got.size)], qop != qopUnsealed, nil
}
