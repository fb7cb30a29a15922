// Package system holds what the initiators over a system's library have in common,
// packages sspi and gssapi: the settings for origin servers and proxies, a security
// context whose steps a library takes, the messages that it seals, and handles that a
// call may still use when nobody wants them any more.
package system
