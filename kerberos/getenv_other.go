//go:build !linux

package kerberos

func elevated() bool { return idsDiffer() }
