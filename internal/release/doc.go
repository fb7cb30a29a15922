// Package release tests what a stranger does first: fetch the module, install the
// command, and copy a program out of the README. It is a module of its own, so
// that what it needs is nobody else's dependency.
package release
