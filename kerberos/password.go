package kerberos

import "strings"

// SplitPassword takes the form name@REALM:password apart. It reports false,
// and returns the principal as it was, when there is no password in it. The
// password begins after the first colon that follows the realm's @ and may hold
// any characters.
func SplitPassword(principal string) (name string, password Secret, ok bool) {
	at := -1
	for i := 0; i < len(principal); i++ {
		if principal[i] == '\\' {
			i++ // an escaped @ is part of the name
			continue
		}
		if principal[i] == '@' {
			at = i
			break
		}
	}
	if at < 0 {
		return principal, Secret{}, false
	}
	realm, secret, ok := strings.Cut(principal[at:], ":")
	if !ok {
		return principal, Secret{}, false
	}
	return principal[:at] + realm, NewSecret(secret), true
}
