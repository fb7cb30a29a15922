package kerberos

import "os"

// SecureGetenv is [os.Getenv], but finds nothing in a program that runs with more
// rights than the user who started it, such as a setuid one (AT_SECURE on Linux; on
// other systems real and effective ids that differ). The user's variables must not
// choose the credentials and the configuration of such a program. MIT krb5 uses
// secure_getenv of glibc, which does the same.
func SecureGetenv(name string) string { return getenv(name, elevated()) }

func getenv(name string, elevated bool) string {
	if elevated {
		return ""
	}
	return os.Getenv(name)
}

// idsDiffer reports whether the process runs as another user or group than started it.
// Where a system has no such ids, all are -1.
func idsDiffer() bool { return os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() }
