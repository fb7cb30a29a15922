package gss

import (
	"encoding/binary"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// bindingsAware returns the DER of the AuthorizationData that says that the
// client knows of channel bindings: AD-IF-RELEVANT with KERB_AUTH_DATA_AP_OPTIONS
// in it ([MS-KILE] section 3.2.5.8).
func bindingsAware() []byte {
	options := binary.LittleEndian.AppendUint32(nil, krb.APOptionsCBT)
	return krb.MarshalAuthData(krb.IfRelevant(krb.AuthData{Type: krb.ADAPOptions, Data: options}))
}
