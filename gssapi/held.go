package gssapi

import (
	"runtime"
	"sync"
)

// held holds a security context's handles of the library. It outlives the context if a
// call still uses it: a release while it is in use takes effect when that call ends.
type held struct {
	lib library

	mu       sync.Mutex
	busy     bool
	unwanted bool
	handles
}

// handles are 0 where there is none.
type handles struct{ context, name, cred uintptr }

// use lends the handles for one call. It is false if they are released, or if a call that
// nobody waits for still uses them.
func (h *held) use() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy || h.unwanted {
		return false
	}
	h.busy = true
	return true
}

// used ends the use of the handles.
func (h *held) used() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	if h.unwanted {
		h.free()
	}
}

// release releases all handles, once.
func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unwanted = true
	if !h.busy {
		h.free()
	}
}

// settle releases what an established context no longer needs.
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

// keep takes the context that a step made. The caller must have the handles in use.
func (h *held) keep(context uintptr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.context = context
}

// rename takes the name of another service, to begin anew with.
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

// with lends the handles for a call that does not wait, on the caller's thread.
func (h *held) with(call func(*held) *StatusError) error {
	if !h.use() {
		return errReleased
	}
	defer h.used()
	runtime.LockOSThread() // the library keeps the text of an error by thread
	defer runtime.UnlockOSThread()
	if err := call(h); err != nil {
		return err
	}
	return nil
}
