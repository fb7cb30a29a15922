package gssapi

import (
	"runtime"
	"sync"
)

// held is what a security context has of the library. It outlives the context where a
// call that uses it does: who releases it while it is in use has it released when that
// call ends.
type held struct {
	lib library

	mu       sync.Mutex
	busy     bool
	unwanted bool
	handles
}

// handles are each 0 where there is none.
type handles struct{ context, name, cred uintptr }

// use lends the handles for one call. It is false where they are released, or another
// call, which nobody waits for, still has them.
func (h *held) use() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy || h.unwanted {
		return false
	}
	h.busy = true
	return true
}

// used gives them back.
func (h *held) used() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	if h.unwanted {
		h.free()
	}
}

// release gives all of it back to the library, once.
func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unwanted = true
	if !h.busy {
		h.free()
	}
}

// settle gives back what an established context needs no longer.
func (h *held) settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy || h.unwanted {
		return
	}
	keep := h.context
	h.context = 0
	h.free()
	h.context = keep
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

// keep takes over the context that a step made. Whoever calls it has the handles in
// use.
func (h *held) keep(context uintptr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.context = context
}

// rename takes over the name of another service, to begin anew with.
func (h *held) rename(name uintptr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.handles
	h.handles = handles{name: name, cred: was.cred}
	h.lib.releaseName(was.name)
	if was.context != 0 {
		h.lib.deleteContext(was.context)
	}
}

// with makes a call of the library that does not wait, with the handles, on the
// caller's thread.
func (h *held) with(call func(*held) *StatusError) error {
	if !h.use() {
		return errReleased
	}
	defer h.used()
	runtime.LockOSThread() // where the library keeps the text of an error
	defer runtime.UnlockOSThread()
	if err := call(h); err != nil {
		return err
	}
	return nil
}
