// Package regularfile reads files that other programs write to while they are
// read, credential caches and keytabs: regular ones alone, under the locks that
// MIT krb5 takes, and none that is larger than its reader expects.
package regularfile
