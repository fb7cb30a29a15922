// Package ccache reads and writes credential caches in MIT's FILE format,
// versions 1 to 4.
//
// A cache is whatever lies on somebody's disk, and may be rewritten while it is
// read: every count and length is checked against the bytes that remain,
// nothing panics, and a file that ends too early is told apart
// ([ErrTruncated]), so that a caller can go on with its last good copy.
package ccache
