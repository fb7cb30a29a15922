package keyring

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/panics"
)

// callersThread runs op without a change of thread.
func callersThread(op func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return op()
}

// ownThread runs op on a thread that ends with it, and with it the thread's
// keyring and all links in that.
func ownThread(op func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: that ends the thread
		if unix.Gettid() == unix.Getpid() {
			// The main thread would be put to sleep instead. While it is held
			// here, the next goroutine runs on another.
			defer runtime.UnlockOSThread()
			done <- ownThread(op)
			return
		}
		var err error
		defer func() { done <- err }()
		defer panics.Into(&err)
		err = op()
	}()
	return <-done
}
