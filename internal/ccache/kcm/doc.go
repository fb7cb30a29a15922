// Package kcm reads and writes credential caches that a KCM daemon keeps:
// sssd-kcm, the default of Fedora and RHEL, or Heimdal's kcm.
//
// The protocol is Heimdal's, spoken over a stream socket. A request is a length
// of 32 bits, the version 02 00, an operation of 16 bits and its parameters; a
// reply is a length, a status and that many bytes, of which the first four are
// the result. All integers are big-endian, names end in a NUL byte, principals
// and credentials are in the encoding of the FILE format's version 4. Status and
// result are com_err codes of Kerberos or numbers of system errors; sssd uses
// either for the same thing.
//
// The two dialects differ in what they have beyond Heimdal's first operations:
// GET_CRED_LIST gives a whole cache at once (sssd of late), REPLACE puts a
// whole cache in place. Each is tried first and done in single steps where the
// daemon does not know it.
//
// Nothing is kept between calls. Each call dials, talks and hangs up; a
// connection that the daemon closed before it answered is dialled anew once.
// Every wait ends with the call's context. A reply is at most 10 MiB, and memory
// is taken as its bytes arrive.
package kcm
