// Package krb5conf reads krb5.conf as MIT krb5 does, and keeps for every value
// the file and line that gave it.
//
// Two layers: a [Profile] is the tree of sections and relations, a [Config] is
// the settings that a client needs, typed, with MIT's defaults. What MIT's
// parser refuses is a [SyntaxError]; a value that means nothing is a [Warning]
// and the default stands. Nothing here panics, and what a file can make us
// hold is bounded.
//
// The rules are those of MIT krb5: testdata/mit holds what release 1.20.1 makes
// of some 70 files. On purpose this package differs from that release where
//
//   - a final marker (*) shuts out what comes later in the same file and in
//     included files too, and may stand at a relation. That is what the marker
//     is meant for; 1.20 heeds it at sections, and for later files alone.
//   - "R = { kdc = k }" on one line in [realms] or [capaths] is a subsection,
//     with a warning. MIT takes it for a relation whose value is in braces.
//   - a UTF-8 byte order mark is skipped. MIT loses the first section to it.
//   - a file to include that cannot be read is a warning. MIT stops there.
//   - a line may be longer than 2047 bytes.
//   - arcfour-hmac and des3-cbc-sha1 want allow_rc4 and allow_des3, as they do
//     since 1.21.
package krb5conf
