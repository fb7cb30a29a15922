//go:build !unix

package kerberos

func elevated() bool { return false }
