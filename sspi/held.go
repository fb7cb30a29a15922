package sspi

import (
	"time"

	"github.com/kerbchain/kerbchain/internal/system"
)

// held is what a security context has of Windows.
type held struct {
	system.Lease
	from       *credentials
	context    handle // zero for none
	credential *credential
}

func newHeld(from *credentials, k *credential) *held {
	h := &held{from: from, credential: k}
	h.Init(h.free, h.leave)
	return h
}

func (h *held) free() {
	if h.context != (handle{}) {
		h.from.lib.DeleteSecurityContext(&h.context)
		h.context = handle{}
	}
	h.leave()
}

// leave gives the credential back, which an established context needs no longer.
func (h *held) leave() {
	if h.credential != nil {
		h.from.leave(h.credential)
		h.credential = nil
	}
}

// renew takes a credential in place of one that is stale, and reports whether there is
// another one. The caller must have the use.
func (h *held) renew() bool {
	k, err := h.from.take(time.Now())
	if err != nil {
		return false
	}
	was := h.credential
	h.Change(func() {
		h.leave()
		h.credential = k
	})
	return k != was
}

// with makes a call that does not wait, on the caller's thread.
func (h *held) with(call func(handle) *StatusError) error {
	if !h.Use() {
		return system.ErrReleased
	}
	defer h.Used()
	if err := call(h.context); err != nil {
		return err
	}
	return nil
}
