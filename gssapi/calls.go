//go:build (linux && !android && (386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64)) || (darwin && !ios && (amd64 || arm64)) || (freebsd && (amd64 || arm64) && (cgo || gssapi_nocgo))

package gssapi

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/ebitengine/purego"

	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/internal/system"
)

// A cLibrary is a loaded library. Its fields are addresses of C functions. All calls are
// synchronous, none takes a Go function, and all memory that they are given is an
// [arena]'s, which says who owns what.  A buffer that a call sets must be released by
// gss_release_buffer ([call.take]). Handles (names, credentials, contexts) are C's, and
// released by the methods of that name.
type cLibrary struct {
	path    string
	heimdal bool

	importNameFn, canonicalizeFn, displayNameFn, releaseNameFn uintptr
	acquireFn, acquireFromFn, inquireCredFn, releaseCredFn     uintptr
	initFn, deleteFn, getMICFn, verifyMICFn                    uintptr
	wrapIOVFn, unwrapIOVFn, releaseIOVFn                       uintptr
	displayStatusFn, releaseBufferFn                           uintptr
}

// Types of names (RFC 2744 section 4, RFC 1964 section 2.1.1).
const (
	hostBasedService = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"
	krb5Principal    = "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01"
)

const krb5 = string(spnego.KRB5)

// candidates returns the files to try, of which the first that loads is taken.
func candidates(path string) []string {
	switch {
	case path != "":
		return []string{path}
	case runtime.GOOS == "darwin":
		return []string{
			"/System/Library/Frameworks/GSS.framework/GSS",
			"/opt/homebrew/opt/krb5/lib/libgssapi_krb5.dylib", "/usr/local/opt/krb5/lib/libgssapi_krb5.dylib",
		}
	case runtime.GOOS == "freebsd":
		return []string{"libgssapi_krb5.so.2", "/usr/local/lib/libgssapi_krb5.so.2", "libgssapi_krb5.so", "libgssapi.so.10", "libgssapi.so"}
	}
	return []string{"libgssapi_krb5.so.2", "libgssapi.so.3"}
}

// open loads the library.
func open(path string) (library, error) { return load(candidates(path)) }

// load loads the first of some files that can be loaded.
func load(names []string) (library, error) {
	runtime.LockOSThread() // dlerror tells what failed on the same thread
	defer runtime.UnlockOSThread()
	var errs []error
	for _, name := range names {
		handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return bind(name, handle)
	}
	return nil, system.Advise("no GSS-API library can be loaded: "+strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; "),
		"install one (libgssapi-krb5-2 of Debian, krb5-libs of Red Hat), or set Options.Library")
}

// bind finds the functions of a library.
func bind(path string, handle uintptr) (library, error) {
	l := &cLibrary{path: path}
	for name, at := range map[string]*uintptr{
		"gss_import_name": &l.importNameFn, "gss_canonicalize_name": &l.canonicalizeFn, "gss_display_name": &l.displayNameFn,
		"gss_release_name": &l.releaseNameFn, "gss_acquire_cred": &l.acquireFn, "gss_inquire_cred": &l.inquireCredFn,
		"gss_release_cred": &l.releaseCredFn, "gss_init_sec_context": &l.initFn, "gss_delete_sec_context": &l.deleteFn,
		"gss_get_mic": &l.getMICFn, "gss_verify_mic": &l.verifyMICFn, "gss_display_status": &l.displayStatusFn,
		"gss_release_buffer": &l.releaseBufferFn,
	} {
		var err error
		if *at, err = purego.Dlsym(handle, name); err != nil {
			return nil, system.Advise(fmt.Sprintf("%s is no GSS-API library: %v", path, err), "set Options.Library to one, or leave it out")
		}
	}
	l.heimdal = optional(handle, "gsskrb5_set_default_realm") != 0
	l.acquireFromFn = optional(handle, "gss_acquire_cred_from")
	l.wrapIOVFn = optional(handle, "gss_wrap_iov")
	l.unwrapIOVFn = optional(handle, "gss_unwrap_iov")
	l.releaseIOVFn = optional(handle, "gss_release_iov_buffer")
	return l, nil
}

// optional returns the address of a function that not every library has, or 0.
func optional(handle uintptr, name string) uintptr {
	at, err := purego.Dlsym(handle, name)
	if err != nil {
		return 0
	}
	return at
}

func (l *cLibrary) String() string { return l.path }
func (l *cLibrary) stores() bool   { return l.acquireFromFn != 0 }
func (l *cLibrary) seals() bool    { return l.wrapIOVFn != 0 && l.unwrapIOVFn != 0 && l.releaseIOVFn != 0 }

// oneSocket: Heimdal's threads share a socket to the daemon without a lock (unix_socket_ipc
// in lib/ipc). On macOS a Mach port takes its place.
func (l *cLibrary) oneSocket() bool { return l.heimdal && runtime.GOOS != "darwin" }

// A call is one call of C, and the arena of its arguments. The first argument of every
// function is where it puts the minor status.
type call struct {
	*arena
	l     *cLibrary
	minor uintptr
}

// begin returns a call with room for n structures and data bytes.
func (l *cLibrary) begin(n, data int) call {
	c := call{arena: newArena(n+1, data), l: l}
	c.minor = c.out()
	return c
}

// do calls a function, and returns the major status.
func (c call) do(fn uintptr, args ...uintptr) uint32 {
	all := make([]uintptr, 0, 15)
	all = append(append(all, c.minor), args...)
	r, _, _ := purego.SyscallN(fn, all...)
	return uint32(r)
}

// status returns the error of a call that returned major, nil for none. It must run on
// the thread of the call.
func (c call) status(name string, major uint32) *StatusError {
	if !isError(major) {
		return nil
	}
	minor := c.u32(c.minor)
	return &StatusError{Call: name, Major: major, Minor: minor, Text: c.l.text(major, minor)}
}

// take copies a buffer that C has set, and releases it.
func (c call) take(buffer uintptr) []byte {
	length, value := c.word(buffer), c.word(buffer+uintptr(here.word))
	b := fromC(value, length)
	c.do(c.l.releaseBufferFn, buffer)
	return b
}

// Kinds of status for gss_display_status (RFC 2744 section 5.11).
const (
	gssCode  = 1
	mechCode = 2
)

// text returns the library's text for a status: that of the minor status, or if there is
// none, of the major one.
func (l *cLibrary) text(major, minor uint32) string {
	if minor != 0 {
		if t := l.display(minor, mechCode); t != "" {
			return t
		}
	}
	return l.display(major, gssCode)
}

// maxTexts bounds the lines of a status, whose number the library chooses.
const maxTexts = 8

func (l *cLibrary) display(code uint32, kind uintptr) string {
	var lines []string
	c := l.begin(6, 64)
	defer c.free()
	mech, more, text := c.oid(krb5), c.out(), c.put(here.buffer(0, 0))
	for range maxTexts {
		if isError(c.do(l.displayStatusFn, uintptr(code), kind, mech, more, text)) {
			break
		}
		if line := strings.TrimSpace(string(c.take(text))); line != "" {
			lines = append(lines, line)
		}
		if c.u32(more) == 0 {
			break
		}
	}
	return strings.Join(lines, ", ")
}

func (l *cLibrary) canonical(service, host string) (string, *StatusError) {
	name, err := l.importName(service+"@"+host, true)
	if err != nil {
		return "", err
	}
	defer l.releaseName(name)
	c := l.begin(6, 64)
	defer c.free()
	canonical := c.out()
	if err := c.status("gss_canonicalize_name", c.do(l.canonicalizeFn, name, c.oid(krb5), canonical)); err != nil {
		return "", err
	}
	defer l.releaseName(c.word(canonical))
	return l.nameText(c.word(canonical))
}

// nameText returns a name as text.
func (l *cLibrary) nameText(name uintptr) (string, *StatusError) {
	c := l.begin(4, 0)
	defer c.free()
	text := c.put(here.buffer(0, 0))
	if err := c.status("gss_display_name", c.do(l.displayNameFn, name, text, 0)); err != nil {
		return "", err
	}
	return string(c.take(text)), nil
}

func (l *cLibrary) importName(text string, hostBased bool) (uintptr, *StatusError) {
	c := l.begin(8, len(text)+64)
	defer c.free()
	kind := krb5Principal
	if hostBased {
		kind = hostBasedService
	}
	name := c.out()
	if err := c.status("gss_import_name", c.do(l.importNameFn, c.buffer([]byte(text)), c.oid(kind), name)); err != nil {
		return 0, err
	}
	return c.word(name), nil
}

// The usage and the lifetime of credentials (RFC 2744 section 5.2).
const (
	toInitiate = 1
	indefinite = 0xffffffff
)

func (l *cLibrary) acquire(name uintptr, stores []store) (uintptr, *StatusError) {
	data := 64
	for _, s := range stores {
		data += len(s.key) + len(s.value) + 32
	}
	c := l.begin(12+2*len(stores), data)
	defer c.free()
	mechs := c.put(here.buffer(1, c.oid(krb5))) // gss_OID_set_desc has the form of a buffer
	cred := c.out()
	var err *StatusError
	if len(stores) == 0 {
		err = c.status("gss_acquire_cred", c.do(l.acquireFn, name, indefinite, mechs, toInitiate, cred, 0, 0))
	} else {
		var elements []byte // elements of a gss_key_value_set_desc, two pointers each
		for _, s := range stores {
			elements = append(elements, here.buffer(c.text(s.key), c.text(s.value))...)
		}
		set := c.put(here.stores(uint32(len(stores)), c.put(elements)))
		err = c.status("gss_acquire_cred_from", c.do(l.acquireFromFn, name, indefinite, mechs, toInitiate, set, cred, 0, 0))
	}
	if err != nil {
		return 0, err
	}
	return c.word(cred), nil
}

func (l *cLibrary) principal(cred uintptr) (string, *StatusError) {
	c := l.begin(4, 0)
	defer c.free()
	name := c.out()
	if err := c.status("gss_inquire_cred", c.do(l.inquireCredFn, cred, name, 0, 0, 0)); err != nil {
		return "", err
	}
	at := c.word(name)
	if at == 0 {
		return "", nil
	}
	defer l.releaseName(at)
	return l.nameText(at)
}

func (l *cLibrary) initiate(s step) (out stepped, err *StatusError) {
	c := l.begin(20, len(s.token)+len(s.binding)+64)
	defer c.free()
	var bindings, token uintptr
	if s.binding != nil {
		bindings = c.put(here.bindings(uintptr(len(s.binding)), c.put(s.binding)))
	}
	if s.token != nil {
		token = c.buffer(s.token)
	}
	context, ours, flags := c.out(), c.put(here.buffer(0, 0)), c.out()
	c.set(context, s.context)
	major := c.do(l.initFn, s.cred, context, s.name, c.oid(krb5), uintptr(s.flags), 0, bindings, token, 0, ours, flags, 0)
	err = c.status("gss_init_sec_context", major) // before another call on this thread
	out = stepped{context: c.word(context), token: c.take(ours), flags: c.u32(flags), complete: major == 0}
	return out, err
}

func (l *cLibrary) sign(context uintptr, msg []byte) ([]byte, *StatusError) {
	c := l.begin(6, len(msg))
	defer c.free()
	mic := c.put(here.buffer(0, 0))
	if err := c.status("gss_get_mic", c.do(l.getMICFn, context, 0, c.buffer(msg), mic)); err != nil {
		return nil, err
	}
	return c.take(mic), nil
}

func (l *cLibrary) verify(context uintptr, msg, mic []byte) *StatusError {
	c := l.begin(8, len(msg)+len(mic))
	defer c.free()
	major := c.do(l.verifyMICFn, context, c.buffer(msg), c.buffer(mic), 0)
	if err := c.status("gss_verify_mic", major); err != nil {
		return err
	}
	return c.supplementary("gss_verify_mic", major)
}

// supplementary returns the error of a message that is authentic but not the next one.
func (c call) supplementary(name string, major uint32) *StatusError {
	if major&(duplicateToken|oldToken|unseqToken|gapToken) == 0 {
		return nil
	}
	return &StatusError{Call: name, Major: major, Text: c.l.display(major, gssCode)}
}

// The types of buffers of a message, and the flags by which C is asked to allocate one
// and says that it did.
const (
	iovData      = 1
	iovHeader    = 2
	iovPadding   = 9
	iovAllocate  = 0x10000
	iovAllocated = 0x20000
)

// iov puts descriptors one after the other, and returns their addresses.
func (c call) iov(descriptors ...[]byte) []uintptr {
	var all []byte
	for _, d := range descriptors {
		all = append(all, d...)
	}
	first := c.put(all)
	at := make([]uintptr, len(descriptors))
	for i, d := range descriptors {
		at[i] = first + uintptr(i*len(d))
	}
	return at
}

// buffered returns the length and the address of what a descriptor describes.
func (c call) buffered(descriptor uintptr) (length, value uintptr) {
	at := descriptor + uintptr(len(here.iov(0, 0, 0))-2*here.word)
	return c.word(at), c.word(at + uintptr(here.word))
}

func (l *cLibrary) wrap(context uintptr, dst, plain []byte) ([]byte, int, *StatusError) {
	c := l.begin(12, len(plain))
	defer c.free()
	data := c.put(plain)
	conf := c.out()
	iov := c.iov(here.iov(iovHeader|iovAllocate, 0, 0), here.iov(iovData, uintptr(len(plain)), data), here.iov(iovPadding|iovAllocate, 0, 0))
	major := c.do(l.wrapIOVFn, context, 1, 0, conf, iov[0], uintptr(len(iov)))
	if err := c.status("gss_wrap_iov", major); err != nil {
		return nil, 0, err
	}
	defer c.do(l.releaseIOVFn, iov[0], uintptr(len(iov)))
	if c.u32(conf) == 0 {
		return nil, 0, &StatusError{Call: "gss_wrap_iov", Text: "the message was signed and not sealed"}
	}
	length, value := c.buffered(iov[0])
	header := fromC(value, length)
	dst = append(dst, header...)
	dst = append(dst, c.bytes(data, len(plain))...)
	length, value = c.buffered(iov[2])
	return append(dst, fromC(value, length)...), len(header), nil
}

func (l *cLibrary) unwrap(context uintptr, header, data []byte) ([]byte, bool, *StatusError) {
	c := l.begin(12, len(header)+len(data))
	defer c.free()
	conf := c.out()
	head, body := c.put(header), c.put(data)
	iov := c.iov(here.iov(iovHeader, uintptr(len(header)), head), here.iov(iovData, uintptr(len(data)), body), here.iov(iovPadding, 0, 0))
	major := c.do(l.unwrapIOVFn, context, conf, 0, iov[0], uintptr(len(iov)))
	if err := c.status("gss_unwrap_iov", major); err != nil {
		return nil, false, err
	}
	if err := c.supplementary("gss_unwrap_iov", major); err != nil {
		return nil, false, err
	}
	length, _ := c.buffered(iov[1])
	n := copy(data, c.bytes(body, min(int(length), len(data))))
	return data[:n], c.u32(conf) != 0, nil
}

func (l *cLibrary) releaseName(name uintptr)      { l.release(l.releaseNameFn, name) }
func (l *cLibrary) releaseCred(cred uintptr)      { l.release(l.releaseCredFn, cred) }
func (l *cLibrary) deleteContext(context uintptr) { l.release(l.deleteFn, context, 0) }

// release calls fn to release a handle; C takes the handle's address.
func (l *cLibrary) release(fn, handle uintptr, args ...uintptr) {
	if handle == 0 {
		return
	}
	c := l.begin(2, 0)
	defer c.free()
	at := c.out()
	c.set(at, handle)
	c.do(fn, append([]uintptr{at}, args...)...)
}

// set puts a word at an address in the arena.
func (a *arena) set(at, word uintptr) { copy(a.block[at-a.base:], here.begin().ptr(word).bytes()) }
