//go:build unix

package kerberos

import "os"

func idsDiffer() bool { return os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() }
