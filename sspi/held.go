package sspi

import (
	"sync"
	"time"
)

// held is what a security context has of Windows. It outlives the context where a call
// that uses it does: who releases it while it is in use has it released when that call
// ends.
type held struct {
	from *credentials

	mu         sync.Mutex
	busy       bool
	unwanted   bool
	context    handle // zero for none
	credential *credential
}

// use lends what is held for one call. It is false where it is released, or another
// call, which nobody waits for, still has it.
func (h *held) use() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy || h.unwanted {
		return false
	}
	h.busy = true
	return true
}

// used gives it back.
func (h *held) used() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	if h.unwanted {
		h.free()
	}
}

// release frees all of it, once.
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
	if !h.busy {
		h.leave()
	}
}

func (h *held) free() {
	if h.context != (handle{}) {
		h.from.lib.DeleteSecurityContext(&h.context)
		h.context = handle{}
	}
	h.leave()
}

func (h *held) leave() {
	if h.credential != nil {
		h.from.leave(h.credential)
		h.credential = nil
	}
}

// keep takes over the context that a step made. Whoever calls it has the use.
func (h *held) keep(context handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.context = context
}

// renew takes a credential in place of one that is stale, and reports whether there is
// another one. Whoever calls it has the use.
func (h *held) renew() bool {
	k, err := h.from.take(time.Now())
	if err != nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.credential
	h.leave()
	h.credential = k
	return k != was
}

// with makes a call that does not wait, on the caller's thread.
func (h *held) with(call func(handle) *StatusError) error {
	if !h.use() {
		return errReleased
	}
	defer h.used()
	if err := call(h.context); err != nil {
		return err
	}
	return nil
}
