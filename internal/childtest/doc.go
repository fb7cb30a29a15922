// Package childtest lets a test have a second process: the test binary itself,
// started anew with a task. Locks on files are between processes, and a limit on
// the size of files would be one for all tests.
package childtest
