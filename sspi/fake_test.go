package sspi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
	"unsafe"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// A fake stands for secur32.dll with package Kerberos, for users of a realm. It reads
// and writes memory at the offsets of sspi.h, rather than by this package's structures.
type fake struct {
	t     testing.TB
	realm *fakekdc.Realm
	user  string // who is logged on

	mu       sync.Mutex
	last     uintptr
	creds    map[uintptr]string
	contexts map[uintptr]*fakeContext
	memory   map[unsafe.Pointer]any
	log      []string
	password []uint16 // as it was passed last

	// What it does otherwise than as a rule; set before it is used.
	ends          timeStamp
	refuse        map[string]status // by call; "InitializeSecurityContext 2" is the second step
	once          []status          // of first steps, one after the other, before refuse counts
	token         []byte            // in place of the first one
	pkg           string            // in place of Kerberos
	nameless      bool              // does not know whose credentials are
	completes     bool              // wants CompleteAuthToken
	lateImmediate bool              // the last step tells of no mutual authentication
	plain         []byte            // DecryptMessage finds this in any message
	moves         int               // and puts it so much further
	unsealed      bool              // and says that it was signed alone
	began         func()            // called when a step begins
	acquiring     func()            // called when credentials are acquired
}

type fakeContext struct {
	gss     gss.Context
	request uint32
	granted uint32
}

func newFake(t testing.TB, r *fakekdc.Realm) *fake {
	f := &fake{t: t, realm: r, user: "alice", creds: map[uintptr]string{}, contexts: map[uintptr]*fakeContext{}, memory: map[unsafe.Pointer]any{}}
	return f
}

func (f *fake) open() (*library, error) { return use(f) }

// left returns how many handles and pieces of memory were not given back.
func (f *fake) left() (creds, contexts, memory int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.creds), len(f.contexts), len(f.memory)
}

func (f *fake) calls(name string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.log {
		if l == name {
			n++
		}
	}
	return n
}

// enter notes a call, which the caller ends by unlocking.
func (f *fake) enter(name string) (refused status) {
	f.mu.Lock()
	f.log = append(f.log, name)
	return f.refuse[name]
}

const word = unsafe.Sizeof(uintptr(0))

func u32(p unsafe.Pointer, at uintptr) uint32 { return *(*uint32)(unsafe.Add(p, at)) }

func put32(p unsafe.Pointer, at uintptr, v uint32) { *(*uint32)(unsafe.Add(p, at)) = v }

func pointer(p unsafe.Pointer, at uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Add(p, at))
}

// text reads n units of UTF-16, or up to a zero where n is negative.
func text(p unsafe.Pointer, n int) string {
	var units []uint16
	for i := 0; p != nil && i != n; i++ {
		u := *(*uint16)(unsafe.Add(p, 2*i))
		if n < 0 && u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// A memoryBuffer is a SecBuffer where it is.
type memoryBuffer struct{ at unsafe.Pointer }

func (b memoryBuffer) size() uint32     { return u32(b.at, 0) }
func (b memoryBuffer) setSize(n uint32) { put32(b.at, 0, n) }
func (b memoryBuffer) bytes() []byte {
	return unsafe.Slice((*byte)(pointer(b.at, 8)), b.size())
}

// find returns the buffer of a kind in a SecBufferDesc.
func find(desc *bufferDesc, kind uint32) (b memoryBuffer, ok bool) {
	d := unsafe.Pointer(desc)
	if d == nil || u32(d, 0) != 0 {
		return b, false
	}
	for i := range uintptr(u32(d, 4)) {
		at := unsafe.Add(pointer(d, 8), i*(8+word))
		if u32(at, 4) == kind {
			return memoryBuffer{at}, true
		}
	}
	return b, false
}

// give returns memory that is to be given back.
func (f *fake) give(p unsafe.Pointer, keep ...any) unsafe.Pointer {
	f.memory[p] = keep
	return p
}

func wide(s string) *uint16 {
	u := append(utf16.Encode([]rune(s)), 0)
	return &u[0]
}

func (f *fake) info(name string) *packageInfo {
	p := &packageInfo{maxToken: 12000, name: wide(name)}
	f.give(unsafe.Pointer(p), p.name)
	return p
}

func (f *fake) QuerySecurityPackageInfo(name *uint16, info **packageInfo) status {
	refused := f.enter("QuerySecurityPackageInfo")
	defer f.mu.Unlock()
	if refused != 0 {
		return refused
	}
	if text(unsafe.Pointer(name), -1) != "Kerberos" {
		return 0x80090305
	}
	*info = f.info("Kerberos")
	return 0
}

func (f *fake) FreeContextBuffer(p unsafe.Pointer) status {
	defer f.mu.Unlock()
	f.enter("FreeContextBuffer")
	if _, ok := f.memory[p]; !ok {
		f.t.Error("memory is freed that was not given, or twice")
	}
	delete(f.memory, p)
	return 0
}

func (f *fake) UserName() (string, error) { return `CORP\alice`, nil }

func (f *fake) AcquireCredentialsHandle(pkg *uint16, who *authIdentity, credential *handle, expiry *timeStamp) status {
	if f.acquiring != nil {
		f.acquiring()
	}
	refused := f.enter("AcquireCredentialsHandle")
	defer f.mu.Unlock()
	if refused != 0 {
		return refused
	}
	if text(unsafe.Pointer(pkg), -1) != "Kerberos" {
		return 0x80090305
	}
	user := f.user
	if p := unsafe.Pointer(who); p != nil {
		part := func(i uintptr) string { return text(pointer(p, 2*i*word), int(u32(p, (2*i+1)*word))) }
		if u32(p, 5*word+4) != 2 {
			f.t.Error("flags do not say that the text is UTF-16")
		}
		if domain := part(1); domain != f.realm.Name() {
			return 0xc00000df
		}
		user = part(0)
		f.password = unsafe.Slice((*uint16)(pointer(p, 4*word)), u32(p, 5*word))
		if part(2) != "secret" { // which Windows finds out later
			user = "?" + user
		}
	}
	f.last++
	f.creds[f.last] = user
	*(*[2]uintptr)(unsafe.Pointer(credential)) = [2]uintptr{f.last, 7}
	*expiry = f.ends
	return 0
}

func (f *fake) QueryCredentialsAttributes(credential *handle, attribute uint32, out unsafe.Pointer) status {
	refused := f.enter("QueryCredentialsAttributes")
	defer f.mu.Unlock()
	user, ok := f.creds[f.number(unsafe.Pointer(credential))]
	switch {
	case refused != 0:
		return refused
	case !ok:
		return statusInvalidHandle
	case attribute != 1 || f.nameless:
		return statusUnsupportedFunction
	}
	name := wide(user + "@" + f.realm.Name())
	*(*unsafe.Pointer)(out) = f.give(unsafe.Pointer(name))
	return 0
}

// number returns what a SecHandle holds.
func (f *fake) number(p unsafe.Pointer) uintptr {
	if p == nil {
		return 0
	}
	h := *(*[2]uintptr)(p)
	if h[0] != 0 && h[1] != 7 {
		f.t.Error("a handle was changed")
	}
	return h[0]
}

func (f *fake) FreeCredentialsHandle(credential *handle) status {
	defer f.mu.Unlock()
	f.enter("FreeCredentialsHandle")
	n := f.number(unsafe.Pointer(credential))
	if _, ok := f.creds[n]; !ok {
		f.t.Error("credentials are freed that there are not, or twice")
	}
	delete(f.creds, n)
	return 0
}

func (f *fake) DeleteSecurityContext(context *handle) status {
	defer f.mu.Unlock()
	f.enter("DeleteSecurityContext")
	n := f.number(unsafe.Pointer(context))
	if f.contexts[n] == nil {
		f.t.Error("a context is deleted that there is not, or twice")
	}
	delete(f.contexts, n)
	return 0
}

func (f *fake) InitializeSecurityContext(credential, context *handle, target *uint16, request uint32, in *bufferDesc,
	made *handle, out *bufferDesc, attributes *uint32, expiry *timeStamp) status {
	name := "InitializeSecurityContext"
	if context != nil {
		name += " 2"
	}
	if f.began != nil {
		f.began()
	}
	refused := f.enter(name)
	defer f.mu.Unlock()
	if len(f.once) > 0 && context == nil {
		refused, f.once = f.once[0], f.once[1:]
	}
	user, ok := f.creds[f.number(unsafe.Pointer(credential))]
	result, ready := find(out, 2)
	switch {
	case !ok:
		f.t.Error("credentials were freed while they are used")
		return statusInvalidHandle
	case refused != 0:
		return refused
	case !ready || result.size() < 64<<10:
		return 0x80090321
	case strings.HasPrefix(user, "?"):
		return statusLogonDenied
	case context != nil:
		return f.second(f.contexts[f.number(unsafe.Pointer(context))], in, result, attributes)
	}
	c := &fakeContext{request: request}
	token, s := f.first(c, user, text(unsafe.Pointer(target), -1), in)
	if s != 0 {
		return s
	}
	if f.token != nil {
		token = f.token
	}
	copy(result.bytes(), token)
	result.setSize(uint32(len(token)))
	*attributes = c.granted
	f.last++
	f.contexts[f.last] = c
	*(*[2]uintptr)(unsafe.Pointer(made)) = [2]uintptr{f.last, 7}
	switch {
	case f.completes && request&2 != 0:
		return 0x90314
	case f.completes:
		return 0x90313
	case request&2 != 0:
		return 0x90312
	}
	return 0
}

// first makes the first token, as [MS-KILE] has it.
func (f *fake) first(c *fakeContext, user, spn string, in *bufferDesc) ([]byte, status) {
	name, realm, _ := strings.Cut(spn, "@")
	if realm != "" && realm != f.realm.Name() || !slices.Contains(f.realm.Principals(), name) && !slices.Contains(f.realm.Principals(), name+"@"+f.realm.Name()) {
		return nil, statusTargetUnknown
	}
	cache, err := ccache.Parse(f.realm.CCache(user, name))
	if err != nil {
		f.t.Error(err)
		return nil, 0x80090304
	}
	ticket := func(i int) *krb.Ticket {
		t, err := cache.Credentials[i].Ticket()
		if err != nil {
			f.t.Fatal(err)
		}
		return t
	}
	tgt, service := ticket(0), ticket(1)
	o := gss.Options{Now: time.Now()}
	for windows, ours := range map[uint32]uint32{1: gss.FlagDeleg, 2: gss.FlagMutual, 4: gss.FlagReplay, 8: gss.FlagSequence, 0x10: gss.FlagConf, 0x10000: gss.FlagInteg} {
		if c.request&windows == 0 || windows == 1 && service.Flags&krb.FlagOKAsDelegate == 0 {
			continue
		}
		c.granted |= windows
		o.Flags |= ours
	}
	if o.Flags&gss.FlagDeleg != 0 {
		if o.Delegation, err = krb.MakeKRBCred(service.Key, tgt, o.Now); err != nil {
			f.t.Error(err)
		}
	}
	if b, ok := find(in, 14); ok {
		data, ok := bindingsOf(b.bytes())
		if !ok {
			return nil, 0x80090346
		}
		sum := cbt.Hash(data)
		o.Bindings = &sum
	}
	w := krb.NewWriter(gss.Room(service, o) + spnego.MaxHead)
	if err := c.gss.Init(&w, service, o); err != nil {
		f.t.Error(err)
		return nil, 0x80090304
	}
	return spnego.Frame(spnego.TokAPReq, w.Bytes()), 0
}

// bindingsOf returns the application data of a SEC_CHANNEL_BINDINGS, which has no
// addresses.
func bindingsOf(b []byte) ([]byte, bool) {
	if len(b) < 32 || !bytes.Equal(b[:24], make([]byte, 24)) {
		return nil, false
	}
	length, offset := binary.NativeEndian.Uint32(b[24:]), binary.NativeEndian.Uint32(b[28:])
	if offset != 32 || int(offset+length) != len(b) {
		return nil, false
	}
	return b[offset:], true
}

// second takes the server's token.
func (f *fake) second(c *fakeContext, in *bufferDesc, result memoryBuffer, attributes *uint32) status {
	token, ok := find(in, 2)
	if c == nil || !ok {
		return statusInvalidHandle
	}
	result.setSize(0)
	err := c.gss.Accept(bytes.Clone(token.bytes()))
	switch {
	case errors.Is(err, krb.ErrIntegrity):
		return statusMessageAltered
	case errors.Is(err, gss.ErrTime):
		return 0x80090363
	case err != nil:
		return statusInvalidToken
	}
	*attributes = c.granted
	if f.lateImmediate {
		*attributes &^= 2
	}
	if f.completes {
		return 0x90313
	}
	return 0
}

func (f *fake) CompleteAuthToken(context *handle, token *bufferDesc) status {
	refused := f.enter("CompleteAuthToken")
	defer f.mu.Unlock()
	if _, ok := find(token, 2); !ok || f.contexts[f.number(unsafe.Pointer(context))] == nil {
		return statusInvalidHandle
	}
	return refused
}

func (f *fake) QueryContextAttributes(context *handle, attribute uint32, out unsafe.Pointer) status {
	refused := f.enter("QueryContextAttributes")
	defer f.mu.Unlock()
	c := f.contexts[f.number(unsafe.Pointer(context))]
	switch {
	case refused != 0:
		return refused
	case c == nil:
		return statusInvalidHandle
	case attribute == 0: // SecPkgContext_Sizes: token, signature, block, trailer
		for i, n := range []uint32{12000, 64, 1, 60} {
			put32(out, uintptr(4*i), n)
		}
		return 0
	case attribute == 12: // SecPkgContext_NegotiationInfo: package, state
		name := "Kerberos"
		if f.pkg != "" {
			name = f.pkg
		}
		*(*unsafe.Pointer)(out) = unsafe.Pointer(f.info(name))
		put32(out, word, 0)
		return 0
	}
	return statusUnsupportedFunction
}

// channel returns what protects the messages of a context.
func (f *fake) channel(context *handle) *gss.Channel {
	c := f.contexts[f.number(unsafe.Pointer(context))]
	if c == nil {
		return nil
	}
	ch, err := c.gss.Channel()
	if err != nil {
		return nil
	}
	return ch
}

func (f *fake) MakeSignature(context *handle, qop uint32, message *bufferDesc, number uint32) status {
	refused := f.enter("MakeSignature")
	defer f.mu.Unlock()
	data, ok1 := find(message, 1)
	token, ok2 := find(message, 2)
	ch := f.channel(context)
	if refused != 0 || !ok1 || !ok2 || ch == nil || qop != 0 || number != 0 {
		return max(refused, statusInvalidHandle)
	}
	mic, err := ch.MIC(data.bytes())
	if err != nil || len(mic) > int(token.size()) {
		return 0x80090321
	}
	copy(token.bytes(), mic)
	token.setSize(uint32(len(mic)))
	return 0
}

func (f *fake) VerifySignature(context *handle, message *bufferDesc, number uint32, qop *uint32) status {
	refused := f.enter("VerifySignature")
	defer f.mu.Unlock()
	data, ok1 := find(message, 1)
	token, ok2 := find(message, 2)
	ch := f.channel(context)
	if refused != 0 || !ok1 || !ok2 || ch == nil || number != 0 {
		return max(refused, statusInvalidHandle)
	}
	if ch.VerifyMIC(data.bytes(), token.bytes()) != nil {
		return statusMessageAltered
	}
	return 0
}

// EncryptMessage leaves the data as long as they were: header, confounder and checksum
// are in the token, which is rotated so ([MS-KILE] section 3.4.5.4.1). There is no
// padding.
func (f *fake) EncryptMessage(context *handle, qop uint32, message *bufferDesc, number uint32) status {
	refused := f.enter("EncryptMessage")
	defer f.mu.Unlock()
	data, ok1 := find(message, 1)
	token, ok2 := find(message, 2)
	padding, ok3 := find(message, 9)
	ch := f.channel(context)
	if refused != 0 || !ok1 || !ok2 || !ok3 || ch == nil || qop != 0 || number != 0 {
		return max(refused, statusInvalidHandle)
	}
	out, header, err := ch.Seal(nil, data.bytes())
	if err != nil || header > int(token.size()) {
		return 0x80090321
	}
	copy(token.bytes(), out[:header])
	token.setSize(uint32(header))
	copy(data.bytes(), out[header:])
	padding.setSize(0)
	return 0
}

func (f *fake) DecryptMessage(context *handle, message *bufferDesc, number uint32, qop *uint32) status {
	refused := f.enter("DecryptMessage")
	defer f.mu.Unlock()
	data, ok1 := find(message, 1)
	token, ok2 := find(message, 2)
	ch := f.channel(context)
	if refused != 0 || !ok1 || !ok2 || ch == nil || number != 0 {
		return max(refused, statusInvalidHandle)
	}
	plain, err := f.plain, error(nil)
	if plain == nil {
		plain, err = ch.Open(bytes.Clone(token.bytes()), bytes.Clone(data.bytes()))
	}
	var order *gss.SequenceError
	switch {
	case errors.As(err, &order):
		return statusOutOfSequence
	case errors.Is(err, krb.ErrIntegrity):
		return statusMessageAltered
	case err != nil:
		return statusInvalidToken
	}
	whole := data.bytes()
	*(*unsafe.Pointer)(unsafe.Add(data.at, 8)) = unsafe.Add(pointer(data.at, 8), f.moves)
	if f.moves >= 0 && f.moves < len(whole) {
		copy(whole[f.moves:], plain)
	}
	data.setSize(uint32(len(plain)))
	if f.unsealed {
		*qop = 0x80000001
	}
	return 0
}
