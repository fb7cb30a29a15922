// Package keytab reads keytab files, the long-term keys of services and of
// programs that log in by themselves, in the formats 0x0501 and 0x0502 of MIT
// krb5 (doc/formats/keytab_file_format of its sources).
//
// A file that ends in the middle of an entry, as while kadmin appends one, gives
// the entries before it, as it does to MIT's tools. Nothing here panics, and what
// a file can make us hold is bounded by [MaxSize].
package keytab
