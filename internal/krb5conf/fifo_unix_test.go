//go:build unix

package krb5conf

import "syscall"

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }
