package fakekdc

import (
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// authElements reads AuthorizationData, nil for none.
func authElements(der []byte) ([]krb.AuthData, error) {
	if der == nil {
		return nil, nil
	}
	return krb.ParseAuthData(der)
}

// ifRelevant returns AuthorizationData of one element inside AD-IF-RELEVANT, and
// of others after it.
func ifRelevant(kind int32, data []byte, more ...krb.AuthData) []byte {
	inside := krb.IfRelevant(krb.AuthData{Type: kind, Data: data})
	return krb.MarshalAuthData(append([]krb.AuthData{inside}, more...)...)
}

// splitAuthData takes the PAC out of authorization data. rest is what remains,
// nil for nothing; kdcOnly says whether to take out too what only a KDC may say.
func splitAuthData(der []byte, kdcOnly bool) (pac, rest []byte, err error) {
	list, err := authElements(der)
	if err != nil {
		return nil, nil, err
	}
	var kept []krb.AuthData
	for _, e := range list {
		if found, ok := findPAC(e); ok {
			if pac == nil {
				pac = found
			}
			continue
		}
		if !kdcOnly || e.Type != krb.ADKDCIssued {
			kept = append(kept, e)
		}
	}
	if len(kept) > 0 {
		rest = krb.MarshalAuthData(kept...)
	}
	return pac, rest, nil
}

// findPAC looks for the PAC in an element, or in the AD-IF-RELEVANT that it is.
func findPAC(e krb.AuthData) (pac []byte, found bool) {
	switch e.Type {
	case krb.ADWin2kPAC:
		return e.Data, true
	case krb.ADIfRelevant:
		inner, err := krb.ParseAuthData(e.Data)
		if err != nil {
			return nil, false // which nobody has to understand
		}
		return krb.FindAuthData(inner, krb.ADWin2kPAC)
	}
	return nil, false
}

// joinAuthData returns the elements of both, nil for none.
func joinAuthData(a, b []byte) ([]byte, error) {
	if a == nil || b == nil {
		return append(a, b...), nil
	}
	first, err := authElements(a)
	if err != nil {
		return nil, err
	}
	second, err := authElements(b)
	if err != nil {
		return nil, err
	}
	return krb.MarshalAuthData(append(first, second...)...), nil
}

// paddingType is one that nobody acts upon; 512 is not assigned.
const paddingType = 512

// pad adds an element of about n bytes inside AD-IF-RELEVANT (RFC 4120 section 5.2.6.1), in
// place of that of the ticket that authorization data came from.
func pad(der []byte, n int) ([]byte, error) {
	list, err := authElements(der)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(e krb.AuthData) bool {
		inner, err := krb.ParseAuthData(e.Data)
		return e.Type == krb.ADIfRelevant && err == nil && len(inner) == 1 && inner[0].Type == paddingType
	})
	return krb.MarshalAuthData(append(list, krb.IfRelevant(krb.AuthData{Type: paddingType, Data: make([]byte, n)}))...), nil
}
