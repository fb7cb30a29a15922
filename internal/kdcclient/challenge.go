package kdcclient

import (
	"errors"
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// encChallenge proves the client's key within FAST (RFC 6113 section 5.4.6).
func (a *asCall) encChallenge(now time.Time) (krb.PAData, error) {
	key, err := krb.ClientChallengeKey(a.fast.key, a.key.Key)
	if err != nil {
		return krb.PAData{}, err
	}
	ctime, cusec := krb.UniqueTime(now)
	value, err := krb.MakeEncChallenge(key, krb.UsageEncChallengeClient, ctime, cusec)
	return krb.PAData{Type: krb.PAEncryptedChallenge, Value: value}, err
}

// checkChallenge verifies the KDC's own challenge, if it answered ours with one. That the
// KDC has the key shows in the reply too, which opens under it.
func (a *asCall) checkChallenge(rep *krb.KDCRep) error {
	value, found := krb.FindPAData(rep.PAData, krb.PAEncryptedChallenge)
	if !a.challenge || !found {
		return nil
	}
	ed, err := krb.ParseEncrypted(value)
	if err != nil {
		return err
	}
	// Heimdal's KDC takes the key that the client's is sealed under. Our own, sent back, is
	// of another usage.
	for _, derive := range []func(armor, client krb.Key) (krb.Key, error){krb.KDCChallengeKey, krb.ClientChallengeKey} {
		var key krb.Key
		if key, err = derive(a.fast.key, a.key.Key); err == nil {
			_, err = krb.OpenEncChallenge(key, krb.UsageEncChallengeKDC, ed)
		}
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("the KDC's challenge does not open under the client's key: %w", err)
}

var errHidden = errors.New("the KDC speaks FAST, and its answer to a request without armour did not say so")
