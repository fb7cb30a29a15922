// Package keyring keeps credential caches in the key retention service of the
// Linux kernel (keyrings(7)), as MIT krb5 does with caches of type KEYRING. On
// other systems [Open] returns a [*ccache.UnsupportedTypeError].
//
// # Names
//
// A name is KEYRING:anchor:collection, which stands for several caches of which
// one is the primary, or KEYRING:anchor:collection:cache for one of them.
// KEYRING:name is short for KEYRING:legacy:name. The anchor says which keyring
// of the kernel holds the collection, and so who sees it:
//
//   - persistent: all processes of a user, also after logout (persistent-keyring(7)).
//     The collection is a user id, empty for one's own. Where the kernel has no
//     persistent keyrings, the user's own one is taken.
//   - user: all processes of the user, as long as one is there (user-keyring(7)).
//   - session: the processes of one login (session-keyring(7)); if there is no such
//     keyring, or it is the user's default one, all the user's processes without a session.
//   - legacy: as session, in a form that krb5 before 1.12 reads.
//   - process, thread: see below.
//
// # Layout
//
// A collection is a keyring _krb_COLLECTION below the anchor (persistent: _krb).
// It holds one keyring for each cache, and a key krb_ccache:primary: version 1,
// length and name of the primary cache, the numbers as four bytes, big-endian.
// Without that key the primary cache bears the name of the collection, or "tkt"
// if that is empty. A cache holds keys of type user or big_key: __krb5_princ__,
// __krb5_time_offsets__ (seconds and microseconds, four bytes each, big-endian),
// and one key for each credential, named by its server: a cache cannot hold two
// tickets for one server. Records are encoded as in version 4 of the FILE format.
//
// # Times
//
// The kernel drops a credential when it ends, and a cache when the last of its
// credentials does. What has run out or was revoked is not there: errors wrap
// [io/fs.ErrNotExist].
//
// # Threads
//
// In the kernel, keyrings are credentials of a thread. Each operation runs on
// one thread from start to end:
//
//   - With the anchors session, legacy, process and thread it is the thread of
//     the calling goroutine. All threads of a process share its session keyring,
//     unless one was made to join another (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
//   - With persistent and user it is a thread made for the operation, which ends
//     with it (some 50 microseconds). Those keyrings let a thread read only what is
//     also linked to a keyring of its own, and such a link, left behind in each
//     thread of a Go program, would use up the user's quota of keys. The thread has
//     the user ids of the process, not those of a caller that changed its thread's.
//
// A process or thread keyring is empty after execve(2). A process keyring is
// shared by threads that were started by a thread that had it already, which in
// a Go program is left to chance: mostly each thread makes its own. A cache at
// these anchors can therefore be used by a goroutine that holds
// [runtime.LockOSThread] from the making of the cache (by Replace, or by C code
// that it calls) to the last use. For others it is not there, and what an
// unlocked goroutine makes may be out of its reach a moment later. No other
// process ever sees such a cache.
//
// # What it costs
//
// An operation is a few system calls and two for each key (one for State), of
// about a microsecond each. Load may wait, for at most 31 milliseconds, for a
// cache that another program is just writing. Any operation may wait, for at most
// 255 milliseconds for a key or link, if the user's quota is used up by keys that
// the kernel is about to free. These waits end with the context; there are no
// others.
package keyring
