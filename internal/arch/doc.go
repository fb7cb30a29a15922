// Package arch holds no code, only the tests that keep the house in order: who
// may import whom, which third-party module has its door where, that packages keep
// no state, and that docs/api.txt lists
// what they export. Its rules are those of docs/architecture.md; change both together.
package arch
