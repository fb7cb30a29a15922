package pac

import "time"

// LogonInfo is KERB_VALIDATION_INFO ([MS-PAC] section 2.5).
type LogonInfo struct {
	Time        time.Time // of the logon
	PasswordSet time.Time
	Name        string
	RID         uint32   // of the user
	Group       uint32   // RID of the primary one
	Groups      []uint32 // RIDs
	Account     uint32   // Account...
	Server      string   // whose KDC it was
	Domain      string   // its short name
	SID         [3]uint32
}

// Properties of accounts, USER_* of [MS-SAMR] section 2.2.1.12.
const (
	AccountNormal       uint32 = 0x10
	AccountNotDelegated uint32 = 0x4000
	AccountNoPreauth    uint32 = 0x10000
)

// Marshal returns KERB_VALIDATION_INFO of a user of the domain S-1-5-21 and the three
// numbers of SID.
func (l *LogonInfo) Marshal() []byte {
	const (
		never   = 1<<63 - 1 // a time
		enabled = 7         // SE_GROUP_* of all groups
	)
	n := newNDR()
	at := func(t uint64) { n.u32(uint32(t), uint32(t>>32)) }
	at(fileTime(l.Time))        // logon
	at(never)                   // logoff
	at(never)                   // kick off
	at(fileTime(l.PasswordSet)) // password last set
	at(fileTime(l.PasswordSet)) // password can change
	at(never)                   // password must change
	n.text(l.Name)
	for range 5 { // full name, script, profile, home directory and drive
		n.text("")
	}
	n.u16(0) // logons
	n.u16(0) // bad passwords
	n.u32(l.RID, l.Group, uint32(len(l.Groups)))
	n.pointer(true)
	n.later(func() {
		n.u32(uint32(len(l.Groups)))
		for _, g := range l.Groups {
			n.u32(g, enabled)
		}
	})
	n.u32(0)                     // flags
	n.bytes(make([]byte, 16)...) // session key
	n.text(l.Server)
	n.text(l.Domain)
	n.pointer(true)
	n.later(func() {
		n.u32(4)
		n.bytes(1, 4, 0, 0, 0, 0, 0, 5)
		n.u32(21, l.SID[0], l.SID[1], l.SID[2])
	})
	n.u32(0, 0, l.Account, 0)
	at(0)
	at(0)
	n.u32(0, 0)
	n.u32(0) // further identifiers
	n.pointer(false)
	n.pointer(false) // groups of the resource
	n.u32(0)
	n.pointer(false)
	return n.finish()
}
