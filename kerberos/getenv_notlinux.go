//go:build unix && !linux

package kerberos

func elevated() bool { return idsDiffer() }
