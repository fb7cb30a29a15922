package gssapi

import (
	"runtime"

	"github.com/kerbchain/kerbchain/internal/system"
)

// held holds a security context's handles of the library.
type held struct {
	system.Lease
	lib library
	handles
}

// handles are 0 where there is none.
type handles struct{ context, name, cred uintptr }

func newHeld(lib library) *held {
	h := &held{lib: lib}
	h.Init(h.free, h.settle)
	return h
}

func (h *held) free() {
	was := h.handles
	h.handles = handles{}
	if was.context != 0 {
		h.lib.deleteContext(was.context)
	}
	if was.cred != 0 {
		h.lib.releaseCred(was.cred)
	}
	if was.name != 0 {
		h.lib.releaseName(was.name)
	}
}

// settle leaves the context alone.
func (h *held) settle() {
	keep := h.context
	h.context = 0
	h.free()
	h.context = keep
}

// keep takes the context that a step made. The caller must have the handles in use.
func (h *held) keep(context uintptr) { h.Change(func() { h.context = context }) }

// rename takes the name of another service, to begin anew with.
func (h *held) rename(name uintptr) {
	h.Change(func() {
		was := h.handles
		h.handles = handles{name: name, cred: was.cred}
		h.lib.releaseName(was.name)
		if was.context != 0 {
			h.lib.deleteContext(was.context)
		}
	})
}

// with makes a call that does not wait, on the caller's thread.
func (h *held) with(call func() *StatusError) error {
	if !h.Use() {
		return system.ErrReleased
	}
	defer h.Used()
	runtime.LockOSThread() // the library keeps the text of an error by thread
	defer runtime.UnlockOSThread()
	if err := call(); err != nil {
		return err
	}
	return nil
}
