//go:build interop

package interop

import "syscall"

// attributes make a server end when the tests do, however they end.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGTERM}
}
