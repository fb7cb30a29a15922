package sspi

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/kerbchain/kerbchain/internal/system"
)

// open finds the functions, and package Kerberos.
func open() (*library, error) {
	dll := windows.NewLazySystemDLL("secur32.dll")
	d := &dll32{}
	for name, proc := range map[string]**windows.LazyProc{
		"AcquireCredentialsHandleW":   &d.acquireCredentialsHandle,
		"QueryCredentialsAttributesW": &d.queryCredentialsAttributes,
		"FreeCredentialsHandle":       &d.freeCredentialsHandle,
		"InitializeSecurityContextW":  &d.initializeSecurityContext,
		"CompleteAuthToken":           &d.completeAuthToken,
		"QueryContextAttributesW":     &d.queryContextAttributes,
		"DeleteSecurityContext":       &d.deleteSecurityContext,
		"MakeSignature":               &d.makeSignature,
		"VerifySignature":             &d.verifySignature,
		"EncryptMessage":              &d.encryptMessage,
		"DecryptMessage":              &d.decryptMessage,
		"QuerySecurityPackageInfoW":   &d.querySecurityPackageInfo,
		"FreeContextBuffer":           &d.freeContextBuffer,
	} {
		*proc = dll.NewProc(name)
		if err := (*proc).Find(); err != nil {
			return nil, system.Advise(err.Error(), "use package kerberos")
		}
	}
	lib, err := use(d)
	if err != nil {
		return nil, err
	}
	lib.passwords = processPasswords
	return lib, nil
}

// processPasswords are shared by all initiators of the process: an account does not tell
// them apart.
var processPasswords = newPasswords()

// A dll32 is secur32.dll itself.
type dll32 struct {
	acquireCredentialsHandle, queryCredentialsAttributes, freeCredentialsHandle *windows.LazyProc
	initializeSecurityContext, completeAuthToken, queryContextAttributes        *windows.LazyProc
	deleteSecurityContext                                                       *windows.LazyProc
	makeSignature, verifySignature, encryptMessage, decryptMessage              *windows.LazyProc
	querySecurityPackageInfo, freeContextBuffer                                 *windows.LazyProc
}

const credentialOutbound = 2 // SECPKG_CRED_OUTBOUND

func (d *dll32) AcquireCredentialsHandle(pkg *uint16, who *authIdentity, credential *handle, expiry *timeStamp) status {
	r, _, _ := d.acquireCredentialsHandle.Call(0, uintptr(unsafe.Pointer(pkg)), credentialOutbound, 0,
		uintptr(unsafe.Pointer(who)), 0, 0, uintptr(unsafe.Pointer(credential)), uintptr(unsafe.Pointer(expiry)))
	return status(r)
}

func (d *dll32) QueryCredentialsAttributes(credential *handle, attribute uint32, out unsafe.Pointer) status {
	r, _, _ := d.queryCredentialsAttributes.Call(uintptr(unsafe.Pointer(credential)), uintptr(attribute), uintptr(out))
	return status(r)
}

func (d *dll32) FreeCredentialsHandle(credential *handle) status {
	r, _, _ := d.freeCredentialsHandle.Call(uintptr(unsafe.Pointer(credential)))
	return status(r)
}

func (d *dll32) InitializeSecurityContext(credential, context *handle, target *uint16, request uint32, in *bufferDesc,
	made *handle, out *bufferDesc, attributes *uint32, expiry *timeStamp) status {
	const nativeOrder = 0x10 // SECURITY_NATIVE_DREP
	r, _, _ := d.initializeSecurityContext.Call(uintptr(unsafe.Pointer(credential)), uintptr(unsafe.Pointer(context)),
		uintptr(unsafe.Pointer(target)), uintptr(request), 0, nativeOrder, uintptr(unsafe.Pointer(in)), 0,
		uintptr(unsafe.Pointer(made)), uintptr(unsafe.Pointer(out)), uintptr(unsafe.Pointer(attributes)), uintptr(unsafe.Pointer(expiry)))
	return status(r)
}

func (d *dll32) CompleteAuthToken(context *handle, token *bufferDesc) status {
	r, _, _ := d.completeAuthToken.Call(uintptr(unsafe.Pointer(context)), uintptr(unsafe.Pointer(token)))
	return status(r)
}

func (d *dll32) QueryContextAttributes(context *handle, attribute uint32, out unsafe.Pointer) status {
	r, _, _ := d.queryContextAttributes.Call(uintptr(unsafe.Pointer(context)), uintptr(attribute), uintptr(out))
	return status(r)
}

func (d *dll32) DeleteSecurityContext(context *handle) status {
	r, _, _ := d.deleteSecurityContext.Call(uintptr(unsafe.Pointer(context)))
	return status(r)
}

func (d *dll32) MakeSignature(context *handle, qop uint32, message *bufferDesc, number uint32) status {
	r, _, _ := d.makeSignature.Call(uintptr(unsafe.Pointer(context)), uintptr(qop), uintptr(unsafe.Pointer(message)), uintptr(number))
	return status(r)
}

func (d *dll32) VerifySignature(context *handle, message *bufferDesc, number uint32, qop *uint32) status {
	r, _, _ := d.verifySignature.Call(uintptr(unsafe.Pointer(context)), uintptr(unsafe.Pointer(message)), uintptr(number), uintptr(unsafe.Pointer(qop)))
	return status(r)
}

func (d *dll32) EncryptMessage(context *handle, qop uint32, message *bufferDesc, number uint32) status {
	r, _, _ := d.encryptMessage.Call(uintptr(unsafe.Pointer(context)), uintptr(qop), uintptr(unsafe.Pointer(message)), uintptr(number))
	return status(r)
}

func (d *dll32) DecryptMessage(context *handle, message *bufferDesc, number uint32, qop *uint32) status {
	r, _, _ := d.decryptMessage.Call(uintptr(unsafe.Pointer(context)), uintptr(unsafe.Pointer(message)), uintptr(number), uintptr(unsafe.Pointer(qop)))
	return status(r)
}

func (d *dll32) QuerySecurityPackageInfo(name *uint16, info **packageInfo) status {
	r, _, _ := d.querySecurityPackageInfo.Call(uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(info)))
	return status(r)
}

func (d *dll32) FreeContextBuffer(memory unsafe.Pointer) status {
	r, _, _ := d.freeContextBuffer.Call(uintptr(memory))
	return status(r)
}

func (d *dll32) UserName() (string, error) {
	for room := uint32(256); ; {
		name := make([]uint16, room)
		size := room
		err := windows.GetUserNameEx(windows.NameSamCompatible, &name[0], &size)
		if err == nil {
			return windows.UTF16ToString(name), nil
		}
		if !errors.Is(err, windows.ERROR_MORE_DATA) || size <= room {
			return "", err
		}
		room = size
	}
}
