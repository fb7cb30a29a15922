package krb

import (
	"encoding/binary"
	"fmt"
)

// An NTStatus is an error code of Windows (MS-ERREF 2.3.1), by which the KDC of an
// Active Directory domain says more than a KRB-ERROR does. 0 is none.
type NTStatus uint32

// The codes that say why a client gets no ticket.
const (
	StatusNoSuchUser             NTStatus = 0xC0000064
	StatusWrongPassword          NTStatus = 0xC000006A
	StatusLogonFailure           NTStatus = 0xC000006D
	StatusAccountRestriction     NTStatus = 0xC000006E
	StatusInvalidLogonHours      NTStatus = 0xC000006F
	StatusInvalidWorkstation     NTStatus = 0xC0000070
	StatusPasswordExpired        NTStatus = 0xC0000071
	StatusAccountDisabled        NTStatus = 0xC0000072
	StatusTimeDifferenceAtDC     NTStatus = 0xC0000133
	StatusLogonTypeNotGranted    NTStatus = 0xC000015B
	StatusAccountExpired         NTStatus = 0xC0000193
	StatusPasswordMustChange     NTStatus = 0xC0000224
	StatusAccountLockedOut       NTStatus = 0xC0000234
	StatusSmartcardLogonRequired NTStatus = 0xC00002FA
	StatusAuthenticationFirewall NTStatus = 0xC0000413
)

var statusNames = map[NTStatus]string{
	StatusNoSuchUser:             "STATUS_NO_SUCH_USER",
	StatusWrongPassword:          "STATUS_WRONG_PASSWORD",
	StatusLogonFailure:           "STATUS_LOGON_FAILURE",
	StatusAccountRestriction:     "STATUS_ACCOUNT_RESTRICTION",
	StatusInvalidLogonHours:      "STATUS_INVALID_LOGON_HOURS",
	StatusInvalidWorkstation:     "STATUS_INVALID_WORKSTATION",
	StatusPasswordExpired:        "STATUS_PASSWORD_EXPIRED",
	StatusAccountDisabled:        "STATUS_ACCOUNT_DISABLED",
	StatusTimeDifferenceAtDC:     "STATUS_TIME_DIFFERENCE_AT_DC",
	StatusLogonTypeNotGranted:    "STATUS_LOGON_TYPE_NOT_GRANTED",
	StatusAccountExpired:         "STATUS_ACCOUNT_EXPIRED",
	StatusPasswordMustChange:     "STATUS_PASSWORD_MUST_CHANGE",
	StatusAccountLockedOut:       "STATUS_ACCOUNT_LOCKED_OUT",
	StatusSmartcardLogonRequired: "STATUS_SMARTCARD_LOGON_REQUIRED",
	StatusAuthenticationFirewall: "STATUS_AUTHENTICATION_FIREWALL_FAILED",
}

// String returns the name of the code, or its number.
func (s NTStatus) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("NTSTATUS 0x%08X", uint32(s))
}

// extendedError is KERB_ERR_TYPE_EXTENDED (MS-KILE 2.2.1). PA-PW-SALT has the same
// number.
const extendedError = 3

// NTStatus returns the code in the e-data, 0 if there is none. It is a KERB_EXT_ERROR
// (MS-KILE 2.2.2), in a KERB-ERROR-DATA or in a METHOD-DATA, which look alike but for
// one more SEQUENCE.
func (e *KRBError) NTStatus() NTStatus {
	list, err := ParsePADatas(e.Data)
	if err != nil {
		f := OpenFields("KERB-ERROR-DATA", e.Data)
		list = []PAData{{f.Int32(1), f.Octets(2)}}
		if f.Err(true) != nil {
			return 0
		}
	}
	for _, pa := range list {
		// Status, a reserved zero, and flags. A salt of twelve bytes bears no zeros,
		// and no status that is not an error says why a KDC refuses.
		if pa.Type != extendedError || len(pa.Value) != 12 || binary.LittleEndian.Uint32(pa.Value[4:]) != 0 {
			continue
		}
		if s := NTStatus(binary.LittleEndian.Uint32(pa.Value)); s>>30 == 3 {
			return s
		}
	}
	return 0
}

// ExtendedError returns e-data from which NTStatus reads s: a KERB-ERROR-DATA.
func ExtendedError(s NTStatus) []byte {
	b := []byte{0x30, 0x15, 0xa1, 3, 2, 1, extendedError, 0xa2, 0x0e, 4, 12}
	b = binary.LittleEndian.AppendUint32(b, uint32(s))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, 1)
}
