// Package ccache reads and writes credential caches: MIT's FILE format, versions
// 1 to 4, and DIR collections of such files. What it shares with the packages
// below it, which know caches that are no files, are [Store], [Collection] and
// the encoding of single entries.
//
// A cache is whatever lies on somebody's disk, and may be rewritten while it is
// read: every count and length is checked against the bytes that remain,
// nothing panics, and a file that ends too early is told apart
// ([ErrTruncated], [Cache.Torn]), so that a caller can go on with its last good
// copy, or with the entries that are whole. Nothing is appended behind half an
// entry; a file that is written anew is whole. A cache of more than [MaxEntries]
// entries, or [MaxSize] bytes, is refused.
//
// Those who write with locks, as MIT's library does and [FileStore] too, are
// never seen halfway. kinit takes the file away and makes a new one: for a moment
// there is none, or an empty one.
package ccache
